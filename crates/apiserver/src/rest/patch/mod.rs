//! The three patches, as pure functions on values.
//!
//! A patch sees the current object as JSON and gives the wanted object as JSON;
//! decoding, defaulting, validation and the precondition stay with the registry.

pub mod json;
pub mod merge;
mod schema;
pub mod strategic;

#[cfg(test)]
mod property_tests;

use serde_json::Value;

/// Why a patch could not be applied, by the HTTP status that it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchError {
    /// 400: it is no patch of this type.
    BadRequest(String),
    /// 413: too many operations.
    TooLarge(String),
    /// 422: a proper patch that does not fit the object.
    Unprocessable(String),
    /// 500: what Kubernetes answers to a directive that it cannot interpret.
    Internal(String),
}

/// How a PATCH body is to be read, from its Content-Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Merge,
    Strategic,
    /// Server-side apply: known by name, refused for now.
    Apply,
}

impl PatchType {
    /// By the media type without its parameters; `None` is a 415.
    pub fn from_media_type(media_type: &str) -> Option<PatchType> {
        Some(match media_type {
            "application/json-patch+json" => PatchType::Json,
            "application/merge-patch+json" => PatchType::Merge,
            "application/strategic-merge-patch+json" => PatchType::Strategic,
            "application/apply-patch+yaml" => PatchType::Apply,
            _ => return None,
        })
    }

    /// Applies `patch` to `current`, whose message is `message` (for merge keys),
    /// such as `k8s.io.api.batch.v1.Job`.
    pub fn apply(self, current: Value, patch: &Value, message: &str) -> Result<Value, PatchError> {
        match self {
            PatchType::Json => json::apply(current, patch),
            PatchType::Merge => merge::apply(current, patch),
            PatchType::Strategic => strategic::apply(current, patch, message),
            PatchType::Apply => Err(PatchError::BadRequest("server-side apply is not supported yet".to_string())),
        }
    }
}

/// Go's word for the kind of a JSON value, as its decoder's errors use it.
pub fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
