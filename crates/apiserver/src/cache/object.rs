//! One object as the watch cache keeps it: the stored bytes, and what selectors ask for.
//!
//! The decoded struct is not kept (a decoded Pod is several times its message); it was decoded once, on arrival, to
//! read the selectable fields. The stored message has no resourceVersion, for the store's revision is it. Readers of
//! protobuf get it without a new encoding: protobuf merges repeated occurrences of a message field, so the stored message
//! followed by `metadata { resource_version }` is the object with its version.
//!
//! ```text
//!   0a 52 ....metadata....  12 .. ..spec..  1a .. ..status..  | 0a 04 32 02 '4' '1'
//!   ------------- raw, shared by all readers --------------   | suffix, made on the spot
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::{BufMut, Bytes};
use parking_lot::Mutex;
use prost::Message;

use crate::object::AnyObject;
use crate::registry::Resource;

/// Field selectors' view of an object: name and value, only those that are not empty.
pub type Fields = Vec<(&'static str, Box<str>)>;

/// One revision of one object. Shared (`Arc`) by the cache, its ring of events, lists and watches.
pub struct CachedObject {
    resource: &'static Resource,
    /// `namespace/name`, or `name` for kinds without namespaces: the key in the cache.
    key: Box<str>,
    revision: i64,
    raw: Bytes,
    fields: Box<[(&'static str, Box<str>)]>,
    /// The JSON while some watcher is sending it; gone when the last of them is done.
    json: Mutex<Weak<Vec<u8>>>,
}

/// As much of every kind as label selectors and owners need; the rest of the message is skipped, not decoded.
#[derive(Clone, PartialEq, Message)]
struct Outline {
    #[prost(message, optional, tag = "1")]
    metadata: Option<OutlineMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct OutlineMetadata {
    #[prost(string, tag = "5")]
    uid: String,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
}

impl CachedObject {
    /// From the stored message (without envelope) at `revision`.
    ///
    /// # Errors
    /// When the message is not one of this kind.
    pub fn new(resource: &'static Resource, key: &str, raw: Bytes, revision: i64) -> Result<Self, prost::DecodeError> {
        let object = resource.strategy.decode(&raw)?;
        let fields = resource.strategy.fields(&*object).into_boxed_slice();
        Ok(CachedObject { resource, key: key.into(), revision, raw, fields, json: Mutex::default() })
    }

    /// The same state under another revision: an object's last state, at the revision of its deletion.
    pub(crate) fn at(&self, revision: i64) -> Self {
        CachedObject {
            resource: self.resource,
            key: self.key.clone(),
            revision,
            raw: self.raw.clone(),
            fields: self.fields.clone(),
            json: Mutex::default(),
        }
    }

    /// Its kind.
    pub fn resource(&self) -> &'static Resource {
        self.resource
    }

    /// `namespace/name`, or `name`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its namespace; empty for kinds that have none.
    pub fn namespace(&self) -> &str {
        self.key.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.key.split_once('/').map_or(&self.key, |(_, name)| name)
    }

    /// The revision that wrote this state: its resourceVersion.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The stored message, without resourceVersion.
    pub(crate) fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Bytes that this entry holds, about.
    pub(crate) fn weight(&self) -> usize {
        self.raw.len() + self.key.len() + 256
    }

    /// The value of a selectable field; `""` when unset.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value)
    }

    fn outline(&self) -> OutlineMetadata {
        Outline::decode(self.raw.clone()).ok().and_then(|outline| outline.metadata).unwrap_or_default()
    }

    /// Its labels, read from the bytes.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.outline().labels
    }

    /// Its uid, read from the bytes.
    pub fn uid(&self) -> String {
        self.outline().uid
    }

    /// The object, with its resourceVersion.
    pub fn decode(&self) -> AnyObject {
        let mut object = self.resource.strategy.decode(&self.raw).expect("these bytes were decoded on arrival");
        object.metadata_mut().resource_version = self.revision.to_string();
        object
    }

    /// The REST JSON, encoded now.
    pub fn json(&self) -> Bytes {
        Bytes::from(self.decode().json())
    }

    /// The REST JSON, encoded once for all watchers that send this state at about the same time.
    pub fn json_shared(&self) -> Bytes {
        let mut kept = self.json.lock();
        let json = kept.upgrade().unwrap_or_else(|| Arc::new(self.decode().json()));
        *kept = Arc::downgrade(&json);
        Bytes::from_owner(Shared(json))
    }

    /// Length of what [`CachedObject::put_message`] writes.
    pub fn message_len(&self) -> usize {
        self.raw.len() + Suffix::new(self.revision).len()
    }

    /// Writes the message with its resourceVersion; see the module's picture.
    pub fn put_message(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.raw);
        Suffix::new(self.revision).put(buffer);
    }

    /// The message with its resourceVersion.
    pub fn message(&self) -> Bytes {
        let mut buffer = Vec::with_capacity(self.message_len());
        self.put_message(&mut buffer);
        buffer.into()
    }
}

impl std::fmt::Debug for CachedObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} @{}", self.resource, self.key, self.revision)
    }
}

struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// `metadata { resource_version: "N" }` as bytes: field 1, a message of field 6, a string.
struct Suffix {
    digits: [u8; 20],
    start: usize,
}

impl Suffix {
    fn new(revision: i64) -> Self {
        let (mut digits, mut start, mut rest) = ([0; 20], 20, revision.unsigned_abs());
        loop {
            start -= 1;
            digits[start] = b'0' + u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        Suffix { digits, start }
    }

    fn len(&self) -> usize {
        4 + self.digits.len() - self.start
    }

    fn put(&self, buffer: &mut impl BufMut) {
        let digits = &self.digits[self.start..];
        let length = u8::try_from(digits.len()).expect("at most 20");
        buffer.put_slice(&[0x0a, length + 2, 0x32, length]);
        buffer.put_slice(digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::core_v1::ConfigMap;

    #[test]
    fn the_suffix_is_the_resource_version() {
        for revision in [1, 9, 10, 41, 1_234_567_890_123] {
            let stored = ConfigMap {
                metadata: Some(proto::meta_v1::ObjectMeta { name: "a".into(), ..Default::default() }),
                data: [("k".to_string(), "v".to_string())].into(),
                ..Default::default()
            };
            let mut bytes = stored.encode_to_vec();
            let suffix = Suffix::new(revision);
            let before = bytes.len();
            suffix.put(&mut bytes);
            assert_eq!(bytes.len() - before, suffix.len());
            let read = ConfigMap::decode(&bytes[..]).expect("a message");
            let metadata = read.metadata.expect("metadata");
            assert_eq!((metadata.name.as_str(), metadata.resource_version), ("a", revision.to_string()));
            assert_eq!(read.data, stored.data);
        }
    }
}
