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
}

impl<D: Disk> Machine<D> {
    /// Opens the machine on `disk`: reads every record once, in order of revision, to rebuild the index and the
    /// keys of each lease.
    pub fn open(disk: Arc<D>, stored: Stored) -> Result<Self, DiskError> {
        let (progress, index, leases, group) = load(&*disk, stored)?;
        Ok(Self {
            shared: Arc::new(Shared::new(index, leases, group, &progress)),
            disk,
            progress,
            batch: Batch::default(),
            pending: Default::default(),
        })
    }

    /// Starts over from a disk whose content was replaced; readers keep the same `Shared`.
    pub fn reopen(&mut self, stored: Stored) -> Result<(), DiskError> {
        let (progress, index, leases, group) = load(&*self.disk, stored)?;
        self.batch = Batch::default();
        *self.shared.index.write() = index;
        *self.shared.leases.write() = leases;
        *self.shared.group.write() = group;
        self.progress = progress;
        self.publish();
        Ok(())
    }
}

fn load<D: Disk>(disk: &D, stored: Stored) -> Result<(pb::Progress, Index, Leases, Group), DiskError> {
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
    };
    Ok((progress, index, leases, group))
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
