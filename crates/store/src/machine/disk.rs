//! What the machine needs of a database: reads by key, and one batch of writes per step.
//!
//! The machine computes; whoever owns it writes the batch. The real disk is RocksDB (`raft/state/`), tests use
//! an ordered map in memory.

use bytes::Bytes;

use super::{Record, Revision};

/// Reads of what was written by earlier batches.
pub trait Disk: Send + Sync + 'static {
    /// The record written at `revision`, as bytes; `None` where there is none.
    fn record(&self, revision: Revision) -> Result<Option<Bytes>, DiskError>;

    /// Visits all records from `from` on, in order of revision; `visit` says whether to go on.
    fn records(&self, from: Revision, visit: &mut dyn FnMut(Revision, Bytes) -> bool) -> Result<(), DiskError>;
}

/// A read that failed, or bytes that cannot be what was written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("state database: {0}")]
pub struct DiskError(pub String);

impl DiskError {
    /// A record that does not decode.
    pub fn damaged(revision: Revision) -> Self {
        Self(format!("the record at revision {}.{} is damaged", revision.main, revision.sub))
    }
}

/// Writes of one batch, in order; they reach the disk together or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    /// Key and value; no value deletes the key.
    pub writes: Vec<(Box<[u8]>, Option<Bytes>)>,
}

impl Batch {
    /// Writes `value` under `key`.
    pub fn put(&mut self, key: &[u8], value: Bytes) {
        self.writes.push((key.into(), Some(value)));
    }

    /// Deletes `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.writes.push((key.into(), None));
    }
}

/// Reads and decodes a record.
pub fn read<D: Disk + ?Sized>(disk: &D, revision: Revision) -> Result<Option<Record>, DiskError> {
    match disk.record(revision)? {
        None => Ok(None),
        Some(bytes) => Record::decode(bytes).map(Some).ok_or_else(|| DiskError::damaged(revision)),
    }
}
