//! A hash of the history, to compare members: over the records that reads can see from the compacted revision
//! up to the one asked for, in order of revision.

use super::{Disk, DiskError, Failure, Refused, Revision, View};
use crate::machine::Record;

/// The answer to a hash request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvHash {
    /// CRC-32C over revision and record of each.
    pub hash: u32,
    /// Compacted revision that the hash begins with.
    pub compacted: i64,
    /// Revision that it ends with.
    pub revision: i64,
}

impl<D: Disk + ?Sized> View<D> {
    /// Hashes the history up to `revision` (0 or less: the newest).
    pub fn hash(&self, revision: i64) -> Result<KvHash, Refused> {
        let (visible, compacted) = (self.shared().visible(), self.shared().compacted());
        if revision > visible {
            return Err(Failure::FutureRevision.into());
        }
        if revision > 0 && revision < compacted {
            return Err(Failure::Compacted.into());
        }
        let until = if revision <= 0 { visible } else { revision };
        let mut hash = 0;
        let mut damaged = None;
        self.disk().records(Revision::default(), &mut |at, bytes| {
            if at.main > until {
                return false;
            }
            let Some(record) = Record::decode(bytes.clone()) else {
                damaged = Some(at);
                return false;
            };
            // Not yet pruned garbage must not count: members prune at their own pace.
            if self.shared().index.read().visible_from(&record.kv().key, at, compacted) {
                hash = crc32c::crc32c_append(hash, &at.main.to_be_bytes());
                hash = crc32c::crc32c_append(hash, &at.sub.to_be_bytes());
                hash = crc32c::crc32c_append(hash, &bytes);
            }
            true
        })?;
        match damaged {
            Some(at) => Err(DiskError::damaged(at).into()),
            None => Ok(KvHash { hash, compacted, revision: until }),
        }
    }
}
