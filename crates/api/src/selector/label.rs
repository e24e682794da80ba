//! Label selectors: requirements that all must hold.

use std::collections::BTreeMap;
use std::fmt;

use proto::meta_v1;

use crate::field::{self, Error, Path};
use crate::names;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `in (a,b)`: the label is there and has one of the values.
    In,
    /// `notin (a,b)`: the label is absent or has none of the values.
    NotIn,
    /// `=a`.
    Equals,
    /// `==a`.
    DoubleEquals,
    /// `!=a`: the label is absent or has another value.
    NotEquals,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
    /// `>7`: the label is a greater integer.
    GreaterThan,
    /// `<7`: the label is a smaller integer.
    LessThan,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

/// Requirements that all must hold; none at all select everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Requirement {
    /// A requirement, checked.
    ///
    /// # Errors
    /// What is wrong with key, number of values or values, as one line.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, String> {
        let mut errors = Vec::new();
        let problems = names::label_key(key);
        if !problems.is_empty() {
            errors.push(Error::invalid(&Path::new("key"), key, &problems.join("; ")));
        }
        let at = Path::new("values");
        let wrong_count = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                "for 'in', 'notin' operators, values set can't be empty"
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                "exact-match compatibility requires one single value"
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                "values set must be empty for exists and does not exist"
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                "for 'Gt', 'Lt' operators, exactly one value is required"
            }
            _ => "",
        };
        if !wrong_count.is_empty() {
            errors.push(Error::invalid(&at, &values, wrong_count));
        }
        for (i, value) in values.iter().enumerate() {
            let at = at.index(i);
            let integer = matches!(operator, Operator::GreaterThan | Operator::LessThan);
            if integer && value.parse::<i64>().is_err() {
                errors.push(Error::invalid(&at, value, "for 'Gt', 'Lt' operators, the value must be an integer"));
            }
            let problems = names::label_value(value);
            if !problems.is_empty() {
                errors.push(Error::invalid(&at.key(key), value, &problems.join("; ")));
            }
        }
        if errors.is_empty() {
            Ok(Requirement { key: key.to_string(), operator, values })
        } else {
            Err(field::summary(&errors))
        }
    }

    /// The label that it is about.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether a label with this value (`None`: no such label) satisfies it.
    pub fn admits(&self, value: Option<&str>) -> bool {
        let one_of = |value: &str| self.values.iter().any(|have| have == value);
        let compare = |value: Option<&str>| {
            let (have, want) = (value?.parse::<i64>().ok()?, self.values.first()?.parse::<i64>().ok()?);
            Some(have.cmp(&want))
        };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(one_of),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(one_of),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compare(value).is_some_and(|order| order.is_gt()),
            Operator::LessThan => compare(value).is_some_and(|order| order.is_lt()),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&str> = self.values.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        let (key, values) = (&self.key, sorted.join(","));
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

impl LabelSelector {
    /// Selects everything.
    pub fn everything() -> Self {
        LabelSelector::default()
    }

    /// Selects nothing.
    pub fn nothing() -> Self {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    /// Reads the query form: `a=b,c!=d,e in (f,g),h,!i`.
    ///
    /// # Errors
    /// Kubernetes' text, such as `unable to parse requirement: found '=', expected: identifier`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = super::parse::requirements(text)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector { requirements, nothing: false })
    }

    /// From the selector of an object: none selects nothing, an empty one everything.
    ///
    /// # Errors
    /// What is wrong with it, as one line.
    pub fn from_meta(selector: Option<&meta_v1::LabelSelector>) -> Result<Self, String> {
        let Some(selector) = selector else { return Ok(LabelSelector::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in &selector.match_labels {
            requirements.push(Requirement::new(key, Operator::Equals, vec![value.clone()])?);
        }
        for expression in &selector.match_expressions {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{} is not a valid label selector operator", field::quote(other))),
            };
            requirements.push(Requirement::new(&expression.key, operator, expression.values.clone())?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector { requirements, nothing: false })
    }

    /// The one that selects exactly these labels.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Self {
        let requirements = labels.iter().map(|(key, value)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: vec![value.clone()],
        });
        LabelSelector { requirements: requirements.collect(), nothing: false }
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// The requirements, ordered by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.admits(labels.get(&r.key).map(String::as_str)))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}
