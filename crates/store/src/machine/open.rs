//! Rebuilding the machine from its disk.

use std::sync::Arc;

use bytes::Bytes;
use proto::raftsman_store_v1 as pb;

use super::{Batch, Disk, DiskError, FIRST_REVISION, Group, Index, Leases, Machine, Record, Revision, Shared, Version};
use crate::keys::FORMAT;

/// What lies on disk beside the records, as read by the owner of the database.
#[derive(Debug, Default)]
pub struct Stored {
    /// Where the machine stood; `None` for an empty database.
    pub progress: Option<pb::Progress>,
    /// Leases by id.
    pub leases: Vec<(i64, pb::Lease)>,
    /// What members published.
    pub published: Vec<pb::Publish>,
    /// Alarms.
    pub alarms: Vec<(u64, i32)>,
    /// Members' reports of their content.
    pub reports: Vec<pb::HashReport>,
}

/// A machine's state as read from a disk, before it is anybody's.
pub struct Loaded {
    progress: pb::Progress,
    index: Index,
    leases: Leases,
    group: Group,
}

impl<D: Disk> Machine<D> {
    /// Opens the machine on `disk`: reads every record once, in order of revision, to rebuild the index and the
    /// keys of each lease.
    pub fn open(disk: Arc<D>, stored: Stored) -> Result<Self, DiskError> {
        let Loaded { progress, index, leases, group } = load(&*disk, stored)?;
        Ok(Self {
            shared: Arc::new(Shared::new(index, leases, group, &progress)),
            disk,
            progress,
            batch: Batch::default(),
            pending: Default::default(),
        })
    }

    /// Starts over from what was loaded from another disk, whose content `swap` puts in the place of this one's.
    /// Readers keep the same `Shared`, and see the old state until both are exchanged; if `swap` fails nothing
    /// has changed.
    pub fn replace<E>(&mut self, loaded: Loaded, swap: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let shared = self.shared.clone();
        let alone = shared.exchange();
        swap()?;
        self.batch = Batch::default();
        *self.shared.index.write() = loaded.index;
        *self.shared.leases.write() = loaded.leases;
        *self.shared.group.write() = loaded.group;
        self.progress = loaded.progress;
        self.publish();
        drop(alone);
        Ok(())
    }
}

/// Reads the state that lies on `disk`.
pub fn load<D: Disk>(disk: &D, stored: Stored) -> Result<Loaded, DiskError> {
    let empty = pb::Progress { format: FORMAT, revision: FIRST_REVISION, ..Default::default() };
    let progress = stored.progress.unwrap_or(empty);
    if progress.format > FORMAT {
        return Err(DiskError(format!("it has format {}, this version knows up to {FORMAT}", progress.format)));
    }
    let mut leases = Leases::default();
    for (id, terms) in stored.leases {
        leases.set(id, terms);
    }
    let index = rebuild(disk, &progress, &mut leases)?;
    let group = Group {
        cluster_id: progress.cluster_id,
        cluster_version: progress.cluster_version,
        published: stored.published.into_iter().map(|publish| (publish.member_id, publish)).collect(),
        alarms: stored.alarms.into_iter().collect(),
        reports: stored.reports.into_iter().map(|report| (report.member_id, report)).collect(),
    };
    Ok(Loaded { progress, index, leases, group })
}

fn rebuild<D: Disk>(disk: &D, progress: &pb::Progress, leases: &mut Leases) -> Result<Index, DiskError> {
    let mut index = Index::default();
    let mut failure = None;
    disk.records(Revision::default(), &mut |at, bytes| {
        if at.main > progress.revision {
            failure = Some(DiskError(format!(
                "a record lies at revision {}, after the newest {}",
                at.main, progress.revision
            )));
            return false;
        }
        let Some(record) = Record::decode(bytes) else {
            failure = Some(DiskError::damaged(at));
            return false;
        };
        note(&mut index, leases, at, &record);
        true
    })?;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(index),
    }
}

fn note(index: &mut Index, leases: &mut Leases, at: Revision, record: &Record) {
    // The record's key shares the buffer of its value; the index must not keep values alive.
    let key = Bytes::copy_from_slice(&record.kv().key);
    match record {
        Record::Put(kv) => {
            leases.attach(&key, kv.lease);
            index.push(&key, Version { at, created: kv.create_revision, version: kv.version });
        }
        Record::Delete(_) => {
            leases.detach(&key);
            index.push(&key, Version { at, created: 0, version: 0 });
        }
    }
}
