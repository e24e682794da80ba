//! One version of one key as it lies on disk.
//!
//! The first byte says what the record is (and so versions its layout); then follows an `mvccpb.KeyValue`. Of a
//! deletion only key and mod_revision are set.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use proto::mvccpb::KeyValue;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// A record, decoded. Its byte fields share the buffer that they were read from.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The key was written.
    Put(KeyValue),
    /// The key was deleted.
    Delete(KeyValue),
}

impl Record {
    /// The key and its counters, whatever happened to it.
    pub fn kv(&self) -> &KeyValue {
        match self {
            Self::Put(kv) | Self::Delete(kv) => kv,
        }
    }

    /// Whether the key was written anew, not over an earlier value.
    pub fn creates(&self) -> bool {
        matches!(self, Self::Put(kv) if kv.create_revision == kv.mod_revision)
    }

    /// Bytes to write to disk.
    pub fn encode(&self) -> Bytes {
        let (tag, kv) = match self {
            Self::Put(kv) => (PUT, kv),
            Self::Delete(kv) => (DELETE, kv),
        };
        let mut buffer = BytesMut::with_capacity(1 + kv.encoded_len());
        buffer.put_u8(tag);
        kv.encode_raw(&mut buffer);
        buffer.freeze()
    }

    /// Reads a record; `None` where the bytes are none.
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        let tag = bytes.split_to(1)[0];
        let kv = KeyValue::decode(bytes).ok()?;
        match tag {
            PUT => Some(Self::Put(kv)),
            DELETE => Some(Self::Delete(kv)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip() {
        let kv = KeyValue { key: "a".into(), mod_revision: 7, ..Default::default() };
        for record in [Record::Put(kv.clone()), Record::Delete(kv)] {
            assert_eq!(Record::decode(record.encode()), Some(record));
        }
        assert_eq!(Record::decode(Bytes::new()), None);
        assert_eq!(Record::decode(Bytes::from_static(b"\x09")), None);
    }
}
