//! Events: LAST SEEN TYPE REASON OBJECT MESSAGE.

use api::time::Instant;
use proto::core_v1::Event;
use serde_json::{Value, json};

use super::{Column, NAME, column, format, wide};

pub const COLUMNS: &[Column] = &[
    column("Last Seen", "string", "How long ago it happened last."),
    column("Type", "string", "Normal or Warning."),
    column("Reason", "string", "Why, in one word for machines."),
    column("Object", "string", "What it happened to."),
    wide("Subobject", "The part of that object."),
    wide("Source", "Who told of it."),
    column("Message", "string", "What happened, for people."),
    wide("First Seen", "How long ago it happened first."),
    wide("Count", "How often it happened."),
    Column { priority: 1, ..NAME },
];

pub fn cells(event: &Event, now: Instant) -> Vec<Value> {
    let involved = event.involved_object.clone().unwrap_or_default();
    let kind = involved.kind.to_lowercase();
    let object = match involved.name.as_str() {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let started = api::time::opt(&event.first_timestamp)
        .or_else(|| event.event_time.as_ref().and_then(api::time::from_micro_time));
    let repeated = event.series.as_ref();
    let last = repeated
        .and_then(|series| series.last_observed_time.as_ref())
        .and_then(api::time::from_micro_time)
        .or_else(|| api::time::opt(&event.last_timestamp))
        .or(started);
    let count = match repeated {
        Some(series) => series.count,
        None if event.count == 0 => 1,
        None => event.count,
    };
    vec![
        json!(format::ago(last, now)),
        json!(event.r#type),
        json!(event.reason),
        json!(object),
        json!(involved.field_path),
        json!(source(event)),
        json!(event.message.trim()),
        json!(format::ago(started, now)),
        json!(count.to_string()),
        format::name(&event.metadata),
    ]
}

fn source(event: &Event) -> String {
    let source = event.source.clone().unwrap_or_default();
    let (component, instance) = match source.component.as_str() {
        "" => (event.reporting_component.clone(), event.reporting_instance.clone()),
        _ => (source.component, source.host),
    };
    match instance.is_empty() {
        true => component,
        false => format!("{component}, {instance}"),
    }
}
