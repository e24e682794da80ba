//! Field selectors: `spec.nodeName=n1,status.phase!=Failed`. Which fields a kind knows is told by [`crate::fields`].

use std::fmt;

/// One comparison of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field's path.
    pub field: String,
    /// The value compared with.
    pub value: String,
    /// True for `=`, false for `!=`.
    pub equal: bool,
}

/// Comparisons that all must hold; none at all select everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

/// Why a field selector is refused; the text of a 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// A term without `=`, `==` or `!=`.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    NoOperator {
        /// The whole selector.
        selector: String,
        /// The term.
        term: String,
    },
    /// A backslash before what needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A bare `=` in a value; the number is its code point.
    #[error("invalid field selector: unescaped character in value: {0}")]
    Unescaped(u32),
    /// A field that this kind cannot be selected by.
    #[error("{0}")]
    Unsupported(String),
}

impl FieldSelector {
    /// Reads the query form. In values `\`, `,` and `=` are written with a backslash.
    ///
    /// # Errors
    /// Kubernetes' text.
    pub fn parse(text: &str) -> Result<Self, InvalidField> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some((field, equal, value)) = split_term(part) else {
                return Err(InvalidField::NoOperator { selector: text.to_string(), term: part.to_string() });
            };
            terms.push(FieldTerm { field: field.to_string(), value: unescape(value)?, equal });
        }
        Ok(FieldSelector { terms })
    }

    /// The selector of all objects whose `field` is `value`.
    pub fn equal(field: &str, value: &str) -> Self {
        FieldSelector { terms: vec![FieldTerm { field: field.to_string(), value: value.to_string(), equal: true }] }
    }

    /// The comparisons.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The only value that `field` may have, where the selector says so.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }

    /// Whether an object is selected whose fields `value` tells; a field that is not set is `""`.
    pub fn matches<'a>(&self, value: impl Fn(&str) -> &'a str) -> bool {
        self.terms.iter().all(|term| (value(&term.field) == term.value) == term.equal)
    }

    /// Renames and checks each field.
    pub(crate) fn map_fields(
        mut self,
        rename: impl Fn(&str) -> Result<&'static str, InvalidField>,
    ) -> Result<Self, InvalidField> {
        for term in &mut self.terms {
            term.field = rename(&term.field)?.to_string();
        }
        Ok(self)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}{}", term.field, if term.equal { "=" } else { "!=" })?;
            for c in term.value.chars() {
                if matches!(c, '\\' | ',' | '=') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Splits at commas that no backslash stands before.
fn split_terms(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(move |c| {
        let comma = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        comma
    })
    .collect()
}

/// Splits at the first operator.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let bytes = term.as_bytes();
    let at = (0..bytes.len()).find(|&i| bytes[i] == b'=' || bytes[i..].starts_with(b"!="))?;
    let (field, rest) = term.split_at(at);
    if let Some(value) = rest.strip_prefix("!=") {
        return Some((field, false, value));
    }
    let rest = rest.strip_prefix('=')?;
    Some((field, true, rest.strip_prefix('=').unwrap_or(rest)))
}

fn unescape(value: &str) -> Result<String, InvalidField> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => plain.push(c),
                Some(c) => return Err(InvalidField::Escape(format!("\\{c}"))),
                None => return Err(InvalidField::Escape("\\".to_string())),
            },
            ',' | '=' => return Err(InvalidField::Unescaped(c as u32)),
            c => plain.push(c),
        }
    }
    Ok(plain)
}
