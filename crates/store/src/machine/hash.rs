//! A hash of the history, to compare members: over the records that reads can see from the compacted revision
//! up to the one asked for, in order of revision.

use super::{Disk, DiskError, Failure, Refused, Revision, View};
use crate::machine::Record;

/// Records hashed before others get their turn.
const STEP_RECORDS: usize = 10_000;

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
        loop {
            let (visible, compacted) = (self.shared().visible(), self.shared().compacted());
            if revision > visible {
                return Err(Failure::FutureRevision.into());
            }
            if revision > 0 && revision < compacted {
                return Err(Failure::Compacted.into());
            }
            let until = if revision <= 0 { visible } else { revision };
            let exchanges = self.shared().exchanges();
            let hash = self.hash_between(compacted, until)?;
            // A compaction meanwhile may have removed what belongs to the hash, and another state is not the same one.
            if self.shared().compacted() == compacted && self.shared().exchanges() == exchanges {
                return Ok(KvHash { hash, compacted, revision: until });
            }
        }
    }

    fn hash_between(&self, compacted: i64, until: i64) -> Result<u32, DiskError> {
        let mut hash = 0;
        let mut next = Some(Revision::default());
        while let Some(from) = next.take() {
            let mut records = 0;
            let mut damaged = None;
            let _whole = self.shared().hold();
            self.disk().records(from, &mut |at, bytes| {
                if at.main > until {
                    return false;
                }
                if records == STEP_RECORDS {
                    next = Some(at);
                    return false;
                }
                records += 1;
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
            if let Some(at) = damaged {
                return Err(DiskError::damaged(at));
            }
        }
        Ok(hash)
    }
}
