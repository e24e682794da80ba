//! Tables: what `kubectl get` prints is computed here, not in kubectl.
//!
//! ```text
//! Accept: application/json;as=Table;v=v1;g=meta.k8s.io
//!   {"kind":"Table","columnDefinitions":[{name,type,format,description,priority}],
//!    "rows":[{"cells":["pi","Complete","1/1",...],"object":{PartialObjectMetadata}}]}
//! ```
//!
//! One file per kind gives its columns and its cells, in the same order; priority 1
//! marks the columns that only `-o wide` shows, whose cells are always sent.

mod cluster;
mod cron_job;
mod event;
mod format;
mod job;
mod node;
mod pod;
mod service;
mod stored;

use api::time::Instant;
use serde_json::{Value, json};

use crate::object::AnyObject;

/// One column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// OpenAPI type of the cells: string, integer, boolean, date.
    pub cell: &'static str,
    /// `name` marks the column by which rows are addressed.
    pub format: &'static str,
    pub description: &'static str,
    /// 0: always shown; 1: only with `-o wide`.
    pub priority: u8,
}

const fn column(name: &'static str, cell: &'static str, description: &'static str) -> Column {
    Column { name, cell, format: "", description, priority: 0 }
}

const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { name, cell: "string", format: "", description, priority: 1 }
}

const NAME: Column = Column {
    name: "Name",
    cell: "string",
    format: "name",
    description: "The object's name, unique among its kind in its namespace.",
    priority: 0,
};

const AGE: Column = column("Age", "string", "How long ago the object was created.");

/// What stands in the `object` of each row (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// From the query parameter; `None` for a value that does not exist.
    pub fn parse(text: &str) -> Option<Include> {
        Some(match text {
            "" | "Metadata" => Include::Metadata,
            "None" => Include::None,
            "Object" => Include::Object,
            _ => return None,
        })
    }
}

/// Metadata of a table: that of the list it stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableMeta {
    pub resource_version: String,
    pub continue_token: String,
    pub remaining: Option<i64>,
}

/// Columns of `kind` in `group`.
pub fn columns(group: &str, kind: &str) -> &'static [Column] {
    match (group, kind) {
        ("", "Pod") => pod::COLUMNS,
        ("batch", "Job") => job::COLUMNS,
        ("batch", "CronJob") => cron_job::COLUMNS,
        ("", "Node") => node::COLUMNS,
        ("", "Event") | ("events.k8s.io", "Event") => event::COLUMNS,
        ("", "Namespace") => cluster::NAMESPACE_COLUMNS,
        ("coordination.k8s.io", "Lease") => cluster::LEASE_COLUMNS,
        ("", "Service") => service::COLUMNS,
        ("", "ConfigMap") => stored::CONFIG_MAP_COLUMNS,
        ("", "Secret") => stored::SECRET_COLUMNS,
        ("", "ServiceAccount") => stored::SERVICE_ACCOUNT_COLUMNS,
        ("", "PodTemplate") => stored::POD_TEMPLATE_COLUMNS,
        _ => cluster::DEFAULT_COLUMNS,
    }
}

/// Cells of `object` at `now`, one for each of its kind's columns.
pub fn cells(object: &AnyObject, now: Instant) -> Vec<Value> {
    let object = &**object;
    macro_rules! kinds {
        ($($message:ty => $cells:path),* $(,)?) => {
            $(if let Some(object) = object.downcast_ref::<$message>() {
                return $cells(object, now);
            })*
        };
    }
    kinds! {
        proto::core_v1::Pod => pod::cells,
        proto::batch_v1::Job => job::cells,
        proto::batch_v1::CronJob => cron_job::cells,
        proto::core_v1::Node => node::cells,
        proto::core_v1::Event => event::cells,
        proto::core_v1::Namespace => cluster::namespace_cells,
        proto::coordination_v1::Lease => cluster::lease_cells,
        proto::core_v1::Service => service::cells,
        proto::core_v1::ConfigMap => stored::config_map_cells,
        proto::core_v1::Secret => stored::secret_cells,
        proto::core_v1::ServiceAccount => stored::service_account_cells,
        proto::core_v1::PodTemplate => stored::pod_template_cells,
    }
    cluster::default_cells(object.metadata())
}

/// The table of `objects`, all of one kind. `version` is that of meta.k8s.io (`v1`).
/// `with_columns` is false after a watch's first event.
pub fn table<'a>(
    (group, kind): (&str, &str),
    objects: impl IntoIterator<Item = &'a AnyObject>,
    meta: &TableMeta,
    (include, version): (Include, &str),
    with_columns: bool,
    now: Instant,
) -> Value {
    let rows: Vec<Value> = objects.into_iter().map(|object| row(object, include, version, now)).collect();
    let definitions = match with_columns {
        true => Value::Array(columns(group, kind).iter().map(definition).collect()),
        false => Value::Null,
    };
    let mut metadata = json!({"resourceVersion": meta.resource_version});
    if !meta.continue_token.is_empty() {
        metadata["continue"] = json!(meta.continue_token);
    }
    if let Some(remaining) = meta.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": column.cell,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}

fn row(object: &AnyObject, include: Include, version: &str, now: Instant) -> Value {
    let shown = match include {
        Include::None => Value::Null,
        Include::Metadata => partial_metadata(object, version),
        Include::Object => serde_json::from_slice(&object.json()).unwrap_or(Value::Null),
    };
    json!({"cells": cells(object, now), "object": shown})
}

/// `PartialObjectMetadata` of an object.
pub fn partial_metadata(object: &AnyObject, version: &str) -> Value {
    let metadata = proto::json::to_vec(object.metadata());
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": serde_json::from_slice::<Value>(&metadata).unwrap_or(Value::Null),
    })
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
