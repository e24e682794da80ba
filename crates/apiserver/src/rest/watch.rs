//! Watches: one JSON object a line for as long as the client listens.
//!
//! ```text
//! {"type":"ADDED","object":{"kind":"Job",...}}
//! {"type":"BOOKMARK","object":{"kind":"Job",...,"metadata":{"resourceVersion":"42"}}}
//! {"type":"ERROR","object":{"kind":"Status","code":410,...}}      and the end
//! ```
//!
//! An object's JSON is encoded once, however many clients watch it.

use std::time::Duration;

use api::status::StatusError;
use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use serde_json::{Value, json};

use super::answer::Wanted;
use super::negotiate::{Encoding, View};
use super::served::{Place, Served};
use super::table::{self, TableMeta};
use super::{Call, answer, envelope, query};
use crate::registry::{WatchEvent, WatchItem};

/// A watch without a time limit ends after this long, and up to as long again.
const DEFAULT_SECONDS: u64 = 1_800;

pub async fn serve(call: Call, place: Place<'_>) -> Result<Response, StatusError> {
    let wanted = call.wanted()?;
    let options = query::watch_options(&call.query, place.served.info)?;
    let mark_end = options.mark_initial_end;
    let bookmarks = options.bookmarks;
    let asked = call.query.number("timeoutSeconds")?.and_then(|seconds| u64::try_from(seconds).ok());
    // Spread, so that a thousand watches of one restart do not end together.
    let spread = u64::from(call.ctx.now.timestamp_subsec_micros()) % DEFAULT_SECONDS;
    let limit = asked.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_SECONDS + spread);
    let stream = call.registry().watch(&call.ctx, place.target, options).await?;
    let mut writer = Writer { served: place.served, wanted, mark_end, bookmarks, first: true };
    let content_type = match writer.protobuf() {
        true => "application/vnd.kubernetes.protobuf;stream=watch",
        false => "application/json",
    };
    let lines = stream
        .map(move |item| Ok::<Bytes, std::convert::Infallible>(writer.write(&item)))
        .filter(|chunk| std::future::ready(chunk.as_ref().is_ok_and(|bytes| !bytes.is_empty())))
        .take_until(tokio::time::sleep(Duration::from_secs(limit)));
    Ok(answer::bytes(200, content_type, Body::from_stream(lines)))
}

/// Turns the items of one watch into bytes.
struct Writer {
    served: Served,
    wanted: Wanted,
    mark_end: bool,
    bookmarks: bool,
    /// No table was sent yet: the first one carries the columns.
    first: bool,
}

impl Writer {
    fn protobuf(&self) -> bool {
        self.wanted.form.encoding == Encoding::Protobuf && self.wanted.form.view == View::Object
    }

    fn write(&mut self, item: &WatchItem) -> Bytes {
        let mut out = BytesMut::new();
        match item {
            WatchItem::Initial(events) | WatchItem::Events { events, .. } => {
                for event in events {
                    self.event(&mut out, event);
                }
            }
            WatchItem::InitialEnd { revision } if self.mark_end => self.bookmark(&mut out, *revision, true),
            WatchItem::InitialEnd { .. } => {}
            WatchItem::Bookmark { revision } if self.bookmarks => self.bookmark(&mut out, *revision, false),
            WatchItem::Bookmark { .. } => {}
            WatchItem::Error(status) if self.protobuf() => {
                let object = envelope::wrap("v1", "Status", prost::Message::encode_to_vec(&**status));
                out.put(envelope::watch_frame("ERROR", &object));
            }
            WatchItem::Error(status) => line(&mut out, "ERROR", &answer::status_json(status)),
        }
        out.freeze()
    }

    fn event(&mut self, out: &mut BytesMut, event: &WatchEvent) {
        let word = event.event_type.as_str();
        let info = self.served.info;
        match &self.wanted.form.view {
            View::Object if self.protobuf() => {
                let object = envelope::wrap(&info.api_version(), info.kind, self.served.cached_message(&event.object));
                out.put(envelope::watch_frame(word, &object));
            }
            View::Object => line(out, word, &self.served.cached_json(&event.object)),
            View::PartialMetadata(version) => {
                let shown = table::partial_metadata(&event.object.decode(), version);
                line(out, word, shown.to_string().as_bytes());
            }
            View::Table(version) => {
                let object = event.object.decode();
                let meta = TableMeta { resource_version: event.object.revision().to_string(), ..TableMeta::default() };
                let shown = (self.wanted.include, version.as_str());
                let kind = (info.group, info.kind);
                let now = chrono::Utc::now();
                let table = table::table(kind, std::iter::once(&object), &meta, shown, self.first, now);
                self.first = false;
                line(out, word, table.to_string().as_bytes());
            }
        }
    }

    fn bookmark(&mut self, out: &mut BytesMut, revision: i64, initial_end: bool) {
        let info = self.served.info;
        let mut metadata = proto::meta_v1::ObjectMeta { resource_version: revision.to_string(), ..Default::default() };
        if initial_end {
            metadata.annotations.insert("k8s.io/initial-events-end".to_string(), "true".to_string());
        }
        let value: Value = match &self.wanted.form.view {
            View::Object if self.protobuf() => {
                let mut raw = BytesMut::new();
                prost::encoding::message::encode(1, &metadata, &mut raw);
                let object = envelope::wrap(&info.api_version(), info.kind, raw.freeze());
                out.put(envelope::watch_frame("BOOKMARK", &object));
                return;
            }
            View::Table(version) => {
                let meta = TableMeta { resource_version: revision.to_string(), ..TableMeta::default() };
                let shown = (self.wanted.include, version.as_str());
                let kind = (info.group, info.kind);
                table::table(kind, std::iter::empty(), &meta, shown, false, self.wanted.now)
            }
            View::PartialMetadata(version) => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": bookmark_metadata(&metadata),
            }),
            View::Object => json!({
                "kind": info.kind,
                "apiVersion": info.api_version(),
                "metadata": bookmark_metadata(&metadata),
            }),
        };
        line(out, "BOOKMARK", value.to_string().as_bytes());
    }
}

fn bookmark_metadata(metadata: &proto::meta_v1::ObjectMeta) -> Value {
    let mut value = json!({"resourceVersion": metadata.resource_version, "creationTimestamp": null});
    if !metadata.annotations.is_empty() {
        value["annotations"] = json!(metadata.annotations);
    }
    value
}

fn line(out: &mut BytesMut, event_type: &str, object: &[u8]) {
    out.reserve(object.len() + 40);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(event_type.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
}
