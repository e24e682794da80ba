//! Kinds as this face serves them. Each is stored as itself, but for one: the Events of
//! events.k8s.io/v1 are a view on core/v1 Events, translated here on the way in and out.

use api::kind::{EVENT_V1, KindInfo};
use api::status::{self, StatusError};
use bytes::Bytes;
use prost::Message;
use proto::{core_v1, events_v1};

use super::event_view;
use crate::cache::CachedObject;
use crate::object::AnyObject;
use crate::registry::{Decoded, Registry, Resource, Target};

/// One served kind: its names, and the resource that holds its objects.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub info: &'static KindInfo,
    pub resource: &'static Resource,
}

/// A served kind and what of it is addressed.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub served: Served,
    pub target: Target<'a>,
}

/// The names of all served kinds, in the order of discovery.
pub fn kinds(registry: &Registry) -> Vec<&'static KindInfo> {
    registry.resources().iter().map(|resource| resource.info).chain([&EVENT_V1]).collect()
}

impl Served {
    pub fn find(registry: &Registry, group: &str, version: &str, plural: &str) -> Option<Served> {
        if (group, version, plural) == (EVENT_V1.group, EVENT_V1.version, EVENT_V1.resource) {
            let resource = registry.resource("", "v1", "events")?;
            return Some(Served { info: &EVENT_V1, resource });
        }
        registry.resource(group, version, plural).map(|resource| Served { info: resource.info, resource })
    }

    fn is_view(&self) -> bool {
        std::ptr::eq(self.info, &EVENT_V1)
    }

    /// Decodes a request's JSON into what is stored.
    pub fn decode_json(&self, json: &[u8]) -> Result<Decoded, proto::json::Error> {
        if !self.is_view() {
            return self.resource.decode_json(json);
        }
        let decoded = proto::json::decode::<events_v1::Event>(json)?;
        Ok(Decoded {
            object: Box::new(event_view::stored(decoded.value)),
            api_version: decoded.api_version,
            kind: decoded.kind,
            problems: decoded.problems,
        })
    }

    /// Decodes a protobuf message into what is stored.
    pub fn decode_proto(&self, raw: &[u8]) -> Result<AnyObject, StatusError> {
        if !self.is_view() {
            return self.resource.decode_proto(raw);
        }
        match events_v1::Event::decode(raw) {
            Ok(event) => Ok(Box::new(event_view::stored(event))),
            Err(error) => Err(status::bad_request(format!("unable to decode an Event from protobuf: {error}"))),
        }
    }

    fn view(&self, object: &AnyObject) -> Option<events_v1::Event> {
        let event = object.downcast_ref::<core_v1::Event>().filter(|_| self.is_view())?;
        Some(event_view::shown(event.clone()))
    }

    /// The JSON of a stored object, as this kind.
    pub fn json(&self, object: &AnyObject) -> Vec<u8> {
        match self.view(object) {
            Some(event) => proto::json::to_vec(&event),
            None => object.json(),
        }
    }

    /// The protobuf message of a stored object, as this kind.
    pub fn message(&self, object: &AnyObject) -> Vec<u8> {
        match self.view(object) {
            Some(event) => event.encode_to_vec(),
            None => object.encode(),
        }
    }

    /// As [`Served::json`], shared with other watchers of the same state where it is stored as served.
    pub fn cached_json(&self, object: &CachedObject) -> Bytes {
        match self.is_view() {
            true => Bytes::from(self.json(&object.decode())),
            false => object.json_shared(),
        }
    }

    /// As [`Served::message`], of an object in the cache.
    pub fn cached_message(&self, object: &CachedObject) -> Bytes {
        match self.is_view() {
            true => Bytes::from(self.message(&object.decode())),
            false => object.message(),
        }
    }
}
