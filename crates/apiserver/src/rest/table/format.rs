//! How cells show times, containers and selectors.

use std::collections::BTreeMap;

use api::time::Instant;
use proto::core_v1::Container;
use proto::meta_v1::{LabelSelector, ObjectMeta, Time};
use serde_json::{Value, json};

pub const NONE: &str = "<none>";

/// How long ago `time` was; `<unknown>` without one.
pub fn since(time: &Option<Time>, now: Instant) -> String {
    ago(api::time::opt(time), now)
}

pub fn ago(at: Option<Instant>, now: Instant) -> String {
    at.map_or_else(|| "<unknown>".to_string(), |at| api::duration::human(now - at))
}

pub fn name(metadata: &Option<ObjectMeta>) -> Value {
    json!(metadata.as_ref().map_or("", |metadata| metadata.name.as_str()))
}

pub fn age(metadata: &Option<ObjectMeta>, now: Instant) -> Value {
    json!(since(&metadata.as_ref().and_then(|m| m.creation_timestamp), now))
}

pub fn deleting(metadata: &Option<ObjectMeta>) -> bool {
    metadata.as_ref().is_some_and(|m| api::time::opt(&m.deletion_timestamp).is_some())
}

/// Names and images of containers, each joined by commas.
pub fn containers(containers: &[Container]) -> (String, String) {
    let join = |part: fn(&Container) -> &str| containers.iter().map(part).collect::<Vec<_>>().join(",");
    (join(|c| c.name.as_str()), join(|c| c.image.as_str()))
}

pub fn labels(labels: &BTreeMap<String, String>) -> String {
    match labels.is_empty() {
        true => NONE.to_string(),
        false => labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","),
    }
}

/// A selector in the text form of `-l`.
pub fn selector(selector: &Option<LabelSelector>) -> String {
    let Some(selector) = selector else { return NONE.to_string() };
    let mut parts: Vec<String> = selector.match_labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    for requirement in &selector.match_expressions {
        let key = &requirement.key;
        let mut values = requirement.values.clone();
        values.sort();
        let values = values.join(",");
        parts.push(match requirement.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        });
    }
    parts.sort();
    match parts.is_empty() {
        true => NONE.to_string(),
        false => parts.join(","),
    }
}

pub fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}
