//! The messages of the kinds' services, which all have one form: only the object's type differs, and that stays bytes.
//!
//! ```text
//!  JobCreateRequest  {1: job, 2: dry_run, 3: field_manager}      JobWatchResponse {1: revision, 2: {1: type, 2: job, 3: status}}
//!  JobDeleteResponse {1: job | 2: status}                        JobList          {1: metadata, 2: items}
//! ```

use bytes::{BufMut, Bytes};
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use proto::meta_v1::{ListMeta, ObjectMeta, Status};

use crate::cache::CachedObject;
use crate::registry::{Listed, Resource, WatchEvent, WatchItem};

/// Create, Update and UpdateStatus of any kind.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub object: Bytes,
    #[prost(string, repeated, tag = "2")]
    pub dry_run: Vec<String>,
    #[prost(string, tag = "3")]
    pub field_manager: String,
}

/// `1: the object` or `2: status` of a delete's answer.
pub(super) fn delete_response(number: u8, message: &[u8]) -> Bytes {
    let mut buffer = Vec::with_capacity(message.len() + 8);
    put_head(number, message.len(), &mut buffer);
    buffer.put_slice(message);
    buffer.into()
}

/// The list of a kind.
pub(super) fn list(listed: &Listed) -> Bytes {
    let metadata = ListMeta {
        resource_version: listed.revision.to_string(),
        r#continue: listed.continue_token.clone(),
        remaining_item_count: listed.remaining,
        ..ListMeta::default()
    };
    let size: usize = listed.items.iter().map(|item| item.message_len() + 6).sum();
    let mut buffer = Vec::with_capacity(size + 64);
    put_head(1, metadata.encoded_len(), &mut buffer);
    buffer.put_slice(&metadata.encode_to_vec());
    for item in &listed.items {
        put_object(2, item, &mut buffer);
    }
    buffer.into()
}

/// One message of a watch; `None` for what this watcher is not told.
pub(super) fn watch_response(resource: &Resource, item: &WatchItem, mark_initial_end: bool) -> Option<Bytes> {
    let mut buffer = Vec::new();
    match item {
        WatchItem::Initial(events) => put_events(events, &mut buffer),
        WatchItem::Events { revision, events } => {
            put_revision(*revision, &mut buffer);
            put_events(events, &mut buffer);
        }
        WatchItem::InitialEnd { revision } => {
            put_revision(*revision, &mut buffer);
            put_event("BOOKMARK", 2, &bookmark(resource, *revision, mark_initial_end), &mut buffer);
        }
        WatchItem::Bookmark { revision } => {
            put_revision(*revision, &mut buffer);
            put_event("BOOKMARK", 2, &bookmark(resource, *revision, false), &mut buffer);
        }
        WatchItem::Error(status) => put_event("ERROR", 3, &Status::encode_to_vec(status), &mut buffer),
    }
    (!buffer.is_empty()).then(|| buffer.into())
}

/// An object of the kind with nothing but a resourceVersion: every kind has its metadata in field 1.
fn bookmark(_resource: &Resource, revision: i64, initial_end: bool) -> Vec<u8> {
    let mut metadata = ObjectMeta { resource_version: revision.to_string(), ..ObjectMeta::default() };
    if initial_end {
        metadata.annotations.insert("k8s.io/initial-events-end".to_string(), "true".to_string());
    }
    let mut buffer = Vec::new();
    put_head(1, metadata.encoded_len(), &mut buffer);
    buffer.put_slice(&metadata.encode_to_vec());
    buffer
}

fn put_revision(revision: i64, buffer: &mut Vec<u8>) {
    buffer.put_u8(1 << 3);
    encode_varint(revision.unsigned_abs(), buffer);
}

fn put_events(events: &[WatchEvent], buffer: &mut Vec<u8>) {
    for event in events {
        let word = event.event_type.as_str();
        let object = event.object.message_len();
        put_head(2, field_len(word.len()) + field_len(object), buffer);
        put_head(1, word.len(), buffer);
        buffer.put_slice(word.as_bytes());
        put_object(2, &event.object, buffer);
    }
}

fn put_event(word: &str, number: u8, message: &[u8], buffer: &mut Vec<u8>) {
    put_head(2, field_len(word.len()) + field_len(message.len()), buffer);
    put_head(1, word.len(), buffer);
    buffer.put_slice(word.as_bytes());
    put_head(number, message.len(), buffer);
    buffer.put_slice(message);
}

fn put_object(number: u8, object: &CachedObject, buffer: &mut Vec<u8>) {
    put_head(number, object.message_len(), buffer);
    object.put_message(buffer);
}

/// Tag and length of a length-delimited field; numbers here are below 16.
fn put_head(number: u8, length: usize, buffer: &mut Vec<u8>) {
    buffer.put_u8((number << 3) | 2);
    encode_varint(length as u64, buffer);
}

fn field_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::registry::EventType;
    use proto::core_v1::{ConfigMap, ConfigMapList};
    use proto::raftsman_v1::{ConfigMapDeleteResponse, ConfigMapWatchResponse, config_map_delete_response};

    fn resource() -> &'static Resource {
        crate::strategy::resources().iter().find(|resource| resource.info.kind == "ConfigMap").expect("served")
    }

    fn cached(name: &str, revision: i64) -> Arc<CachedObject> {
        let metadata = ObjectMeta { name: name.into(), namespace: "a".into(), ..ObjectMeta::default() };
        let map = ConfigMap { metadata: Some(metadata), ..ConfigMap::default() };
        let object = CachedObject::new(resource(), &format!("a/{name}"), map.encode_to_vec().into(), revision);
        Arc::new(object.expect("a message"))
    }

    #[test]
    fn spliced_messages_are_what_the_generated_types_read() {
        let items = vec![cached("x", 7), cached("y", 300)];
        let bytes = list(&Listed { items: items.clone(), revision: 301, ..Listed::default() });
        let read = ConfigMapList::decode(bytes).expect("a list");
        assert_eq!(read.metadata.expect("metadata").resource_version, "301");
        assert_eq!(read.items[1].metadata.as_ref().expect("metadata").resource_version, "300");

        let event = WatchEvent { event_type: EventType::Modified, object: items[0].clone() };
        let item = WatchItem::Events { revision: 301, events: vec![event] };
        let read =
            ConfigMapWatchResponse::decode(watch_response(resource(), &item, false).expect("told")).expect("read");
        assert_eq!((read.revision, read.events[0].r#type.as_str()), (301, "MODIFIED"));
        let map = read.events[0].config_map.as_ref().expect("an object");
        assert_eq!(map.metadata.as_ref().expect("metadata").name, "x");

        let end = watch_response(resource(), &WatchItem::InitialEnd { revision: 5 }, true).expect("told");
        let read = ConfigMapWatchResponse::decode(end).expect("read");
        let map = read.events[0].config_map.as_ref().expect("an object");
        assert_eq!(map.metadata.as_ref().expect("metadata").annotations["k8s.io/initial-events-end"], "true");

        let read = ConfigMapDeleteResponse::decode(delete_response(1, &items[0].message())).expect("read");
        assert!(matches!(read.result, Some(config_map_delete_response::Result::ConfigMap(_))));
    }
}
