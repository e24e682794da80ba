//! The table of kinds: each served kind with what the generic registry needs to know of it.

use api::kind::KindInfo;

use super::StatusError;
use crate::object::AnyObject;
use crate::strategy::{self, Strategy};

/// One served kind: its names and its strategy.
pub struct Resource {
    /// Names, scope and short names.
    pub info: &'static KindInfo,
    pub(crate) strategy: &'static dyn Strategy,
    /// Its objects go by themselves after an hour (events).
    pub(crate) expires: bool,
    /// Where its objects lie in the table of caches.
    pub(crate) index: usize,
}

/// An object decoded from a request's JSON, and what a strict decoder minds in it.
pub struct Decoded {
    /// The object.
    pub object: AnyObject,
    /// `apiVersion` and `kind` as written in the body; empty when absent.
    pub api_version: String,
    /// See `api_version`.
    pub kind: String,
    /// `unknown field "spec.x"`, `duplicate field "spec.x"`, in the order met.
    pub problems: Vec<String>,
}

impl Resource {
    /// Decodes a request's JSON.
    ///
    /// # Errors
    /// The decoder's, with Go's text.
    pub fn decode_json(&self, body: &[u8]) -> Result<Decoded, proto::json::Error> {
        self.strategy.decode_json(body)
    }

    /// Decodes a protobuf message (without the `k8s\0` envelope).
    ///
    /// # Errors
    /// 400 BadRequest.
    pub fn decode_proto(&self, raw: &[u8]) -> Result<AnyObject, StatusError> {
        self.strategy.decode(raw).map_err(|error| {
            api::status::bad_request(format!("unable to decode a {} from protobuf: {error}", self.info.kind))
        })
    }
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resource({}/{} {})", self.info.group, self.info.version, self.info.resource)
    }
}

/// All kinds.
pub(crate) fn all() -> &'static [Resource] {
    strategy::resources()
}

/// The kind served as group, version and plural.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    all().iter().find(|r| r.info.resource == plural && r.info.group == group && r.info.version == version)
}

/// The kind whose object this is.
pub(crate) fn of(info: &'static KindInfo) -> Option<&'static Resource> {
    find(info.group, info.version, info.resource)
}
