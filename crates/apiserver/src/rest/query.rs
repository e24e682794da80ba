//! Query parameters and what they mean.

use api::field::{self, Error as FieldError, Path};
use api::kind::KindInfo;
use api::status::StatusError;

use super::path::decoded;
use crate::registry::{ListOptions, WatchOptions, WatchStart, WriteOptions};

/// The parameters of a request, decoded, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parts that are not percent-encoded UTF-8 are dropped, as Go does.
    pub fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|part| !part.is_empty()).filter_map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?))
        });
        Query(pairs.collect())
    }

    /// The first value of `name`; empty when absent.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// A boolean as Kubernetes reads it: everything but `false`, `0` and absence is true.
    pub fn flag(&self, name: &str) -> bool {
        self.has(name) && !matches!(self.get(name).to_ascii_lowercase().as_str(), "false" | "0")
    }

    /// A number; `None` when absent or empty.
    pub fn number(&self, name: &str) -> Result<Option<i64>, StatusError> {
        match self.get(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                let problem = format!("strconv.ParseInt: parsing {}: invalid syntax", field::quote(text));
                api::status::bad_request(problem)
            }),
        }
    }
}

/// What a write does about unknown and duplicate fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// The options of a create, update or patch; `kind` is `CreateOptions` and so on.
pub fn write_options(query: &Query, kind: &str) -> Result<(WriteOptions, FieldValidation), StatusError> {
    let mut errors = Vec::new();
    let dry_run = dry_run(&query.all("dryRun"), &mut errors);
    let validation = match query.get("fieldValidation") {
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        "Warn" | "" => FieldValidation::Warn,
        other => {
            errors.push(FieldError::not_supported(&Path::new("fieldValidation"), other, &["Ignore", "Strict", "Warn"]));
            FieldValidation::Warn
        }
    };
    let field_manager = query.get("fieldManager").to_string();
    if field_manager.len() > 128 {
        errors.push(FieldError::too_long(&Path::new("fieldManager"), 128));
    }
    match errors.is_empty() {
        true => Ok((WriteOptions { dry_run, field_manager }, validation)),
        false => Err(api::status::invalid_kind("meta.k8s.io", kind, "", &errors)),
    }
}

fn dry_run(values: &[String], errors: &mut Vec<FieldError>) -> bool {
    for value in values.iter().filter(|value| *value != "All") {
        errors.push(FieldError::not_supported(&Path::new("dryRun"), value, &["All"]));
    }
    !values.is_empty()
}

/// The options of a list.
pub fn list_options(query: &Query, info: &KindInfo) -> Result<ListOptions, StatusError> {
    query.number("timeoutSeconds")?;
    if query.has("sendInitialEvents") {
        let detail = "sendInitialEvents is forbidden for list";
        let error = FieldError::forbidden(&Path::new("sendInitialEvents"), detail);
        return Err(api::status::invalid_kind("meta.k8s.io", "ListOptions", "", &[error]));
    }
    let (labels, fields) = selectors(query, info)?;
    Ok(ListOptions {
        labels,
        fields,
        limit: query.number("limit")?.unwrap_or(0),
        continue_token: query.get("continue").to_string(),
        freshness: crate::registry::Freshness::parse(query.get("resourceVersion"), query.get("resourceVersionMatch"))?,
    })
}

type Selectors = (Option<api::selector::LabelSelector>, Option<api::selector::FieldSelector>);

fn selectors(query: &Query, info: &KindInfo) -> Result<Selectors, StatusError> {
    let labels = match query.get("labelSelector") {
        "" => None,
        text => Some(
            api::selector::LabelSelector::parse(text).map_err(|error| api::status::bad_request(error.to_string()))?,
        ),
    };
    let fields = match query.get("fieldSelector") {
        "" => None,
        text => Some(api::fields::parse(info, text).map_err(|error| api::status::bad_request(error.to_string()))?),
    };
    Ok((labels, fields))
}

/// The options of a watch. A watch with `sendInitialEvents` must say which state it wants.
pub fn watch_options(query: &Query, info: &KindInfo) -> Result<WatchOptions, StatusError> {
    let (labels, fields) = selectors(query, info)?;
    let version = query.get("resourceVersion");
    let revision = match version {
        "" | "0" => 0,
        text => text
            .parse::<i64>()
            .map_err(|_| api::status::bad_request(format!("Invalid value: {}", field::quote(text))))?,
    };
    let initial = query.flag("sendInitialEvents");
    let start = match (query.has("sendInitialEvents"), initial, version) {
        (true, true, "") => WatchStart::Consistent,
        (true, true, "0") | (false, _, "0") => WatchStart::Any,
        (true, true, _) => WatchStart::InitialNotOlderThan(revision),
        (false, _, "") => WatchStart::Consistent,
        _ => WatchStart::After(revision),
    };
    let mut errors = Vec::new();
    let matching = query.get("resourceVersionMatch");
    if query.has("sendInitialEvents") && matching != "NotOlderThan" {
        errors.push(match matching {
            "" => FieldError::forbidden(
                &Path::new("resourceVersionMatch"),
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            other => FieldError::not_supported(&Path::new("resourceVersionMatch"), other, &["NotOlderThan"]),
        });
    } else if !query.has("sendInitialEvents") && !matching.is_empty() {
        errors.push(FieldError::forbidden(
            &Path::new("resourceVersionMatch"),
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ));
    }
    if !errors.is_empty() {
        return Err(api::status::invalid_kind("meta.k8s.io", "ListOptions", "", &errors));
    }
    let bookmarks = query.flag("allowWatchBookmarks");
    Ok(WatchOptions { labels, fields, start, bookmarks, mark_initial_end: initial && bookmarks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&limit=500&watch&dryRun=All&dryRun=x+y&bad=%ff");
        assert_eq!(query.get("labelSelector"), "a=b,c");
        assert_eq!(query.number("limit").expect("a number"), Some(500));
        assert!(query.flag("watch") && !query.flag("follow") && !query.has("bad"));
        assert_eq!(query.all("dryRun"), ["All", "x y"]);
    }

    #[test]
    fn unknown_values_are_invalid_options() {
        let query = Query::parse("dryRun=Some&fieldValidation=Loose");
        let error = write_options(&query, "CreateOptions").expect_err("invalid");
        assert_eq!(error.code(), 422);
        assert!(error.message().contains("dryRun: Unsupported value: \"Some\""), "{error}");
        assert!(error.message().contains("fieldValidation: Unsupported value: \"Loose\""), "{error}");
    }

    #[test]
    fn where_watches_start() {
        let start = |text: &str| watch_options(&Query::parse(text), &api::kind::JOB).expect("valid").start;
        assert_eq!(start("watch=true"), WatchStart::Consistent);
        assert_eq!(start("resourceVersion=0"), WatchStart::Any);
        assert_eq!(start("resourceVersion=7"), WatchStart::After(7));
        let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(start(initial), WatchStart::Consistent);
        assert_eq!(start(&format!("{initial}&resourceVersion=7")), WatchStart::InitialNotOlderThan(7));
        assert_eq!(
            watch_options(&Query::parse("sendInitialEvents=true"), &api::kind::JOB).expect_err("no match").code(),
            422
        );
    }
}
