//! Where objects lie in the store, and the envelope around their bytes.
//!
//! ```text
//! key    /registry/jobs/default/pi                    /registry/nodes/n1
//! value  k8s\0 | 0a <typeMeta: apiVersion, kind> | 12 <the message> | 1a 00 | 22 00
//! ```
//!
//! The envelope is Kubernetes' own (the same on the wire for `application/vnd.kubernetes.protobuf`): four magic bytes and
//! a message with the type and the raw bytes; its two last fields, content encoding and type, are empty.

use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

use crate::kind::KindInfo;

/// The prefix that Kubernetes uses and that we use unless told otherwise.
pub const DEFAULT_PREFIX: &str = "/registry";

/// The first bytes of every envelope.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// The key of one object; `namespace` is ignored for kinds that have none.
pub fn key(prefix: &str, info: &KindInfo, namespace: &str, name: &str) -> String {
    if info.namespaced {
        format!("{prefix}/{}/{namespace}/{name}", info.resource)
    } else {
        format!("{prefix}/{}/{name}", info.resource)
    }
}

/// The prefix of all keys of a kind, or of those in one namespace where `namespace` is not empty.
pub fn range_prefix(prefix: &str, info: &KindInfo, namespace: &str) -> String {
    if info.namespaced && !namespace.is_empty() {
        format!("{prefix}/{}/{namespace}/", info.resource)
    } else {
        format!("{prefix}/{}/", info.resource)
    }
}

/// Namespace (empty where the kind has none) and name that a key of this kind holds.
pub fn parse_key<'a>(prefix: &str, info: &KindInfo, key: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = key.strip_prefix(prefix)?.strip_prefix('/')?.strip_prefix(info.resource)?.strip_prefix('/')?;
    let (namespace, name) = if info.namespaced { rest.split_once('/')? } else { ("", rest) };
    let whole = !name.is_empty() && !name.contains('/') && (!info.namespaced || !namespace.is_empty());
    whole.then_some((namespace, name))
}

/// What an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `batch/v1`; may be empty in a request.
    pub api_version: &'a str,
    /// `Job`; may be empty in a request.
    pub kind: &'a str,
    /// The message's bytes.
    pub raw: &'a [u8],
}

/// Why bytes are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The magic bytes are missing.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// The message after them is damaged, or not of this form.
    #[error("the protobuf envelope is malformed")]
    Malformed,
}

/// Wraps the message `raw` of the given type.
pub fn wrap(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_len = field_len(api_version.len()) + field_len(kind.len());
    let mut out = Vec::with_capacity(MAGIC.len() + field_len(type_len) + field_len(raw.len()) + 4);
    out.extend_from_slice(MAGIC);
    out.push(0x0a);
    encode_varint(type_len as u64, &mut out);
    put_field(0x0a, api_version.as_bytes(), &mut out);
    put_field(0x12, kind.as_bytes(), &mut out);
    put_field(0x12, raw, &mut out);
    out.extend_from_slice(&[0x1a, 0, 0x22, 0]);
    out
}

/// Looks into an envelope; the parts borrow from `bytes`.
///
/// # Errors
/// When the bytes are no envelope. An encoding (compressed content) is Malformed: nobody writes one.
pub fn unwrap(bytes: &[u8]) -> Result<Envelope<'_>, EnvelopeError> {
    let message = bytes.strip_prefix(MAGIC.as_slice()).ok_or(EnvelopeError::NoMagic)?;
    let mut envelope = Envelope { api_version: "", kind: "", raw: &[] };
    for_each_field(message, |number, value| {
        match number {
            1 => for_each_field(value, |number, value| {
                let text = std::str::from_utf8(value).map_err(|_| EnvelopeError::Malformed)?;
                match number {
                    1 => envelope.api_version = text,
                    2 => envelope.kind = text,
                    _ => {}
                }
                Ok(())
            })?,
            2 => envelope.raw = value,
            3 if !value.is_empty() => return Err(EnvelopeError::Malformed),
            _ => {}
        }
        Ok(())
    })?;
    Ok(envelope)
}

fn field_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn put_field(tag: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Walks a message whose fields are all length-delimited.
fn for_each_field<'a>(
    mut message: &'a [u8],
    mut visit: impl FnMut(u64, &'a [u8]) -> Result<(), EnvelopeError>,
) -> Result<(), EnvelopeError> {
    while !message.is_empty() {
        let tag = decode_varint(&mut message).map_err(|_| EnvelopeError::Malformed)?;
        let len = decode_varint(&mut message).map_err(|_| EnvelopeError::Malformed)?;
        let len = usize::try_from(len).map_err(|_| EnvelopeError::Malformed)?;
        if tag & 7 != 2 || len > message.len() {
            return Err(EnvelopeError::Malformed);
        }
        let (value, rest) = message.split_at(len);
        message = rest;
        visit(tag >> 3, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kind::{JOB, NODE};

    #[test]
    fn keys_follow_the_resource() {
        assert_eq!(key("/registry", &JOB, "default", "pi"), "/registry/jobs/default/pi");
        assert_eq!(key("/registry", &NODE, "", "n1"), "/registry/nodes/n1");
        assert_eq!(range_prefix("/registry", &JOB, ""), "/registry/jobs/");
        assert_eq!(range_prefix("/registry", &JOB, "a"), "/registry/jobs/a/");
        assert_eq!(parse_key("/registry", &JOB, "/registry/jobs/default/pi"), Some(("default", "pi")));
        assert_eq!(parse_key("/registry", &NODE, "/registry/nodes/n1"), Some(("", "n1")));
        for wrong in ["/registry/jobs/pi", "/registry/jobs/a/b/c", "/registry/jobs/a/", "/registry/cronjobs/a/b", "/r"]
        {
            assert_eq!(parse_key("/registry", &JOB, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_envelope_has_kubernetes_bytes() {
        let bytes = wrap("v1", "Pod", b"xy");
        assert_eq!(bytes, b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x02xy\x1a\x00\x22\x00");
        assert_eq!(unwrap(&bytes), Ok(Envelope { api_version: "v1", kind: "Pod", raw: b"xy" }));
        assert_eq!(unwrap(b"{}"), Err(EnvelopeError::NoMagic));
        assert_eq!(unwrap(b"k8s\0\x0a\xff"), Err(EnvelopeError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut all = MAGIC.to_vec();
            all.extend(bytes);
            let _ = unwrap(&all);
        }
    }
}
