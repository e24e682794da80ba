//! Commit: the one write path to the store (design D2).
//!
//! ```text
//!  Commit of three groups                     one etcd Txn, one raft entry, one revision
//!    group 1: pod a, pod b, job x    -->      Then: [ Txn{ If a==0, b==0, x==41, claim==7  Then Put a, Put b, Put x  Else Range ... }
//!    group 2: pod c (stale)                           Txn{ If c==12                        Then Put c                Else Range c   }
//!    group 3: delete pod d                            Txn{ If d==30                        Then Delete d             Else Range d   } ]
//! ```
//!
//! Groups are independent: group 2 fails alone, its `Else` tells which key was found at which revision. This module knows
//! keys and bytes only; what is written, and under which condition, the registry has decided before.

mod txn;

use std::sync::Arc;

use bytes::Bytes;
use tonic::Status;

use crate::metrics::Store;
use crate::storage::Storage;

/// Writes and preconditions of one group, the fence not counted.
pub const MAX_GROUP_OPERATIONS: usize = 99;
/// Groups of one Commit.
pub const MAX_GROUPS: usize = 28;
/// Bytes of all values of one Commit, unless it is a single write.
pub const MAX_BYTES: usize = 1 << 20;

/// What a stock etcd takes in one Txn: groups and the widest group's compares or operations together.
pub const MAX_TXN_OPERATIONS: usize = 128;

/// One compare: the key's mod_revision must be this; 0 means that there is no such key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The key in the store.
    pub key: String,
    /// Its mod_revision.
    pub revision: i64,
}

/// One write to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Stores the value, under a store lease unless 0.
    Put {
        /// The key in the store.
        key: String,
        /// The stored value, envelope included.
        value: Bytes,
        /// The store lease it hangs on.
        lease: i64,
    },
    /// Removes the key.
    Delete {
        /// The key in the store.
        key: String,
    },
    /// Removes all keys with this prefix, which ends in `/`.
    DeleteUnder {
        /// The prefix in the store.
        prefix: String,
    },
}

impl Change {
    /// The key that it writes.
    pub fn key(&self) -> &str {
        match self {
            Change::Put { key, .. } | Change::Delete { key } | Change::DeleteUnder { prefix: key } => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Change::Put { key, value, .. } => key.len() + value.len(),
            Change::Delete { key } | Change::DeleteUnder { prefix: key } => key.len(),
        }
    }
}

/// A group, ready to be sent: all of it happens, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreparedGroup {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// Then all of these are done; keys are distinct.
    pub changes: Vec<Change>,
}

impl PreparedGroup {
    /// Its compares or its operations, whichever are more.
    pub fn width(&self) -> usize {
        self.conditions.len().max(self.changes.len())
    }

    /// Bytes that this group adds to the Txn, about.
    pub fn bytes(&self) -> usize {
        self.changes.iter().map(Change::bytes).sum()
    }
}

/// What became of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Written, at this revision.
    Done {
        /// The revision of every object of the group.
        revision: i64,
    },
    /// Nothing was written: these conditions found another mod_revision (0: no such key).
    Conflict {
        /// Index of the condition and the mod_revision found.
        found: Vec<(usize, i64)>,
        /// The store's revision when it looked.
        revision: i64,
    },
}

/// Sends Commits to the store.
#[derive(Clone)]
pub struct Committer {
    storage: Arc<Storage>,
    metrics: Store,
}

impl Committer {
    /// A committer on this store.
    pub(crate) fn new(storage: Arc<Storage>, metrics: Store) -> Self {
        Committer { storage, metrics }
    }

    /// The store, for reads beside Commits.
    pub(crate) fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// Sends all groups as one Txn; answers one outcome a group, in order.
    ///
    /// # Errors
    /// The store's. After `Unavailable` or `DeadlineExceeded` the outcome is unknown.
    pub async fn commit(&self, groups: &[PreparedGroup]) -> Result<Vec<Outcome>, Status> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.storage.txn(txn::request(groups)).await?;
        let outcomes = txn::outcomes(groups, answer)?;
        let done = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done { .. })).count();
        self.metrics.committed(done, outcomes.len() - done);
        Ok(outcomes)
    }
}
