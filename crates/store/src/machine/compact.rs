//! Physically forgetting what a compaction made unreadable.
//!
//! The command itself only moves the compacted revision. This walks the records written since the last time, in
//! order of revision: whatever became garbage at or before `to` is an older version of a key written in that
//! stretch, or a deletion in it. It runs beside the machine in small steps, is local to a member, and may be
//! repeated after a crash.

use super::{Disk, DiskError, Record, Revision, Shared};

/// Records looked at in one step, so that the index is locked for a moment only.
pub const PRUNE_STEP: usize = 1000;

/// Looks at records from `from` up to main revision `to`; answers the records to delete from the disk, and where
/// to go on (`None` when `to` is reached).
pub fn prune_step<D: Disk + ?Sized>(
    shared: &Shared,
    disk: &D,
    from: Revision,
    to: i64,
) -> Result<(Vec<Revision>, Option<Revision>), DiskError> {
    let mut keys = Vec::with_capacity(PRUNE_STEP);
    let mut next = None;
    let mut damaged = None;
    disk.records(from, &mut |at, bytes| {
        if at.main > to {
            return false;
        }
        if keys.len() == PRUNE_STEP {
            next = Some(at);
            return false;
        }
        match Record::decode(bytes) {
            Some(record) => keys.push(record.kv().key.clone()),
            None => damaged = Some(at),
        }
        damaged.is_none()
    })?;
    if let Some(at) = damaged {
        return Err(DiskError::damaged(at));
    }
    let mut dropped = Vec::new();
    let mut index = shared.index.write();
    for key in keys {
        dropped.extend(index.prune(&key, to));
    }
    Ok((dropped, next))
}
