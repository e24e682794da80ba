//! Kubernetes' protobuf content type: `k8s\0`, then `runtime.Unknown{typeMeta, raw}`.
//!
//! ```text
//! 6b 38 73 00 | 0a .. {apiVersion, kind} | 12 .. the message
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use proto::runtime::{TypeMeta, Unknown};

use super::served::Served;
use crate::cache::CachedObject;

/// What every protobuf body begins with.
pub const MAGIC: &[u8] = b"k8s\0";

/// A message of `kind` in its envelope.
pub fn wrap(api_version: &str, kind: &str, raw: impl Into<Vec<u8>>) -> Bytes {
    let type_meta = TypeMeta { api_version: api_version.to_string(), kind: kind.to_string() };
    let unknown = Unknown { type_meta: Some(type_meta), raw: raw.into(), ..Default::default() };
    let mut buffer = BytesMut::with_capacity(MAGIC.len() + unknown.encoded_len());
    buffer.put_slice(MAGIC);
    unknown.encode(&mut buffer).expect("a growing buffer has room");
    buffer.freeze()
}

/// The envelope around a body; the error is Go's text.
pub fn unwrap(body: &[u8]) -> Result<Unknown, String> {
    let Some(rest) = body.strip_prefix(MAGIC) else {
        let start = body.iter().take(4).map(|byte| byte.to_string()).collect::<Vec<_>>().join(" ");
        return Err(match body.is_empty() {
            true => "empty data".to_string(),
            false => format!(
                "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0], got [{start}]"
            ),
        });
    };
    Unknown::decode(rest).map_err(|error| error.to_string())
}

/// A list message of any kind: `{metadata = 1, items = 2}`, whose items are copied as stored.
pub fn list(metadata: &proto::meta_v1::ListMeta, served: Served, items: &[std::sync::Arc<CachedObject>]) -> Bytes {
    let size: usize = items.iter().map(|item| item.message_len() + 6).sum();
    let mut buffer = BytesMut::with_capacity(size + metadata.encoded_len() + 8);
    prost::encoding::message::encode(1, metadata, &mut buffer);
    for item in items {
        let message = served.cached_message(item);
        prost::encoding::encode_key(2, prost::encoding::WireType::LengthDelimited, &mut buffer);
        prost::encoding::encode_varint(message.len() as u64, &mut buffer);
        buffer.put_slice(&message);
    }
    buffer.freeze()
}

/// A frame of a protobuf watch: a length of four bytes (big-endian), then the
/// envelope's WatchEvent `{type = 1, object = 2 {raw = 1}}`, `object` being an envelope itself.
pub fn watch_frame(event_type: &str, object: &Bytes) -> Bytes {
    #[derive(Clone, PartialEq, Message)]
    struct RawExtension {
        #[prost(bytes = "bytes", tag = "1")]
        raw: Bytes,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Event {
        #[prost(string, tag = "1")]
        event_type: String,
        #[prost(message, optional, tag = "2")]
        object: Option<RawExtension>,
    }
    let event = Event { event_type: event_type.to_string(), object: Some(RawExtension { raw: object.clone() }) };
    let body = wrap("meta.k8s.io/v1", "WatchEvent", event.encode_to_vec());
    let mut buffer = BytesMut::with_capacity(body.len() + 4);
    buffer.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    buffer.put_slice(&body);
    buffer.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let got = unwrap(&wrap("batch/v1", "Job", &b"abc"[..])).expect("an envelope");
        assert_eq!(got.raw, &b"abc"[..]);
        assert_eq!(got.type_meta, Some(TypeMeta { api_version: "batch/v1".into(), kind: "Job".into() }));
        assert!(unwrap(b"{\"a\":1}").expect_err("JSON").contains("expected prefix"));
        assert!(unwrap(b"k8s\0\xff").is_err());
    }
}
