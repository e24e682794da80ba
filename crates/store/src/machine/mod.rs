//! The replicated state machine: a multi-version key-value store with leases.
//!
//! ```text
//!   committed command --> Machine::step --> reply, events          (computed, not yet on disk)
//!                             |
//!                         Machine::seal --> Batch                  (one for many commands)
//!                             |   the owner writes the batch
//!                         Machine::publish --> readers see it
//!
//!   readers --> View::range at the visible revision: index in memory for the places, disk for the values
//! ```
//!
//! The machine is a pure function of its state and the command: no clock, no randomness, no iteration over hash
//! maps, nothing local to a member. Two machines that took the same commands hold the same bytes.
//! It is synchronous and knows neither raft nor gRPC.

mod brief;
pub mod check;
mod command;
mod compact;
mod disk;
mod failure;
mod hash;
mod index;
mod lease;
mod member;
mod open;
mod range;
mod record;
mod revision;
mod sort;
mod txn;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use prost::Message;
use proto::etcdserverpb as etcd;
use proto::raftsman_store_v1 as pb;

pub use brief::is_brief;
pub use compact::prune_step;
pub use disk::{Batch, Disk, DiskError, read};
pub use failure::Failure;
pub use index::{Index, KeyRange, Version};
pub use lease::Leases;
pub use open::{Loaded, Stored, load};
pub use record::Record;
pub use revision::Revision;
pub use view::{Refused, View};

use crate::keys;

/// Revision of a store that nothing was ever written to.
pub const FIRST_REVISION: i64 = 1;

/// What a command answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Nothing but that it was applied.
    Done,
    /// Of a put.
    Put(etcd::PutResponse),
    /// Of a range deletion.
    DeleteRange(etcd::DeleteRangeResponse),
    /// Of a transaction.
    Txn(etcd::TxnResponse),
    /// Of a compaction.
    Compact(etcd::CompactionResponse),
    /// Of a lease grant.
    LeaseGrant(etcd::LeaseGrantResponse),
    /// Of a lease revocation.
    LeaseRevoke(etcd::LeaseRevokeResponse),
    /// Of an alarm request.
    Alarm(etcd::AlarmResponse),
}

/// One change of one key, as watchers will see it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The key's new version, or its deletion.
    pub record: Record,
    /// Where the version before lies; `None` if the key did not exist.
    pub previous: Option<Revision>,
}

/// What a step did.
#[derive(Debug)]
pub struct Outcome {
    /// The answer, or why nothing was done.
    pub reply: Result<Reply, Failure>,
    /// Changes, in order, all of one revision.
    pub events: Vec<Event>,
    /// Store's revision after the step.
    pub revision: i64,
}

/// What members share that is neither key nor lease.
#[derive(Debug, Default, Clone)]
pub struct Group {
    /// Drawn once, when the group was founded; 0 before.
    pub cluster_id: u64,
    /// Behaviour that all members have in common.
    pub cluster_version: u32,
    /// What each member said of itself.
    pub published: BTreeMap<u64, pb::Publish>,
    /// Raised alarms: member and kind.
    pub alarms: BTreeSet<(u64, i32)>,
    /// What each member last reported of its content.
    pub reports: BTreeMap<u64, pb::HashReport>,
}

impl Group {
    /// Whether an alarm of that kind is raised by any member.
    pub fn alarmed(&self, kind: etcd::AlarmType) -> bool {
        self.alarms.iter().any(|(_, raised)| *raised == kind as i32)
    }

    /// Why an alarm forbids a change: everything when members disagree, growth when there is no space.
    pub fn forbidden(&self, grows: bool) -> Option<Failure> {
        if self.alarmed(etcd::AlarmType::Corrupt) {
            return Some(Failure::Corrupt);
        }
        (grows && self.alarmed(etcd::AlarmType::Nospace)).then_some(Failure::NoSpace)
    }
}

/// State that readers look at while the machine goes on.
///
/// Lock order: whole, index, leases, group. The machine is the only writer of all but the index's pruning.
#[derive(Debug, Default)]
pub struct Shared {
    /// Keys and their versions, possibly newer than `visible`: a reader asks at the visible revision.
    pub index: RwLock<Index>,
    /// Leases; not versioned.
    pub leases: RwLock<Leases>,
    /// The rest.
    pub group: RwLock<Group>,
    visible: AtomicI64,
    compacted: AtomicI64,
    /// Held alone while the state and its disk are exchanged for others.
    whole: RwLock<()>,
    exchanges: AtomicU64,
}

impl Shared {
    fn new(index: Index, leases: Leases, group: Group, progress: &pb::Progress) -> Self {
        Self {
            index: RwLock::new(index),
            leases: RwLock::new(leases),
            group: RwLock::new(group),
            visible: AtomicI64::new(progress.revision),
            compacted: AtomicI64::new(first(progress)),
            whole: RwLock::default(),
            exchanges: AtomicU64::new(0),
        }
    }

    /// Keeps state and disk together: whoever looks a place up here and then reads the disk holds this meanwhile,
    /// and takes no other lock that is held while this one is asked for.
    pub fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.whole.read()
    }

    /// Whether a read would have to wait for nobody, as far as can be told now.
    pub fn readable(&self) -> bool {
        self.whole.try_read().is_some() && self.index.try_read().is_some()
    }

    /// The same of a write.
    pub fn writable(&self) -> bool {
        self.whole.try_read().is_some() && self.index.try_write().is_some()
    }

    /// How often state and disk were exchanged for others (a snapshot of the leader's).
    pub fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::Acquire)
    }

    fn exchange(&self) -> RwLockWriteGuard<'_, ()> {
        let alone = self.whole.write();
        self.exchanges.fetch_add(1, Ordering::AcqRel);
        alone
    }

    /// The newest revision whose batch is written.
    pub fn visible(&self) -> i64 {
        self.visible.load(Ordering::Acquire)
    }

    /// Revisions before this one are forgotten; it itself can still be read. -1 before the first compaction.
    pub fn compacted(&self) -> i64 {
        self.compacted.load(Ordering::Acquire)
    }
}

/// The compacted revision as etcd has it: -1 before the first compaction, which may be one at 0.
fn first(progress: &pb::Progress) -> i64 {
    if progress.compacted == 0 && !progress.compacted_at_zero { -1 } else { progress.compacted }
}

/// The machine: takes commands in the log's order. One owner.
pub struct Machine<D> {
    shared: Arc<Shared>,
    disk: Arc<D>,
    progress: pb::Progress,
    batch: Batch,
    /// Records of the batch that is not on disk yet, for reads by later steps of the same batch.
    pending: HashMap<Revision, Record>,
}

impl<D: Disk> Machine<D> {
    /// State for readers.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Where the machine stands: the last log entry that it took, and its revision.
    pub fn progress(&self) -> &pb::Progress {
        &self.progress
    }

    /// Takes the entry `id`. An error is fatal: the disk can't be read.
    pub fn step(&mut self, id: pb::LogId, command: &pb::Command) -> Result<Outcome, DiskError> {
        self.progress.applied = Some(id);
        self.run(command)
    }

    /// Takes an entry that changes nothing here but how far the machine is: blank, or `membership`.
    pub fn skip(&mut self, id: pb::LogId, membership: Option<pb::StoredMembership>) {
        self.progress.applied = Some(id);
        if let Some(membership) = membership {
            self.batch.put(keys::state::MEMBERSHIP, membership.encode_to_vec().into());
        }
    }

    /// Everything that the steps since the last call write; to be written at once, before `publish`.
    pub fn seal(&mut self) -> Batch {
        let mut batch = std::mem::take(&mut self.batch);
        batch.put(keys::state::PROGRESS, self.progress.encode_to_vec().into());
        batch
    }

    /// The sealed batch is written: readers see it from now on.
    pub fn publish(&mut self) {
        self.pending.clear();
        self.shared.compacted.store(first(&self.progress), Ordering::Release);
        self.shared.visible.store(self.progress.revision, Ordering::Release);
    }
}

#[cfg(test)]
mod model_tests;
