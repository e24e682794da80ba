//! The one type configuration of openraft that the store uses, and short names for its types.

use std::fmt;
use std::sync::Arc;

use proto::raftsman_store_v1 as pb;

use crate::machine::{Failure, Reply};

openraft::declare_raft_types!(
    /// Members are numbers drawn at random; terms have one leader each, so that a term can serve as a fence.
    pub TypeConfig:
        D = Proposal,
        R = Answer,
        NodeId = u64,
        Node = Peer,
        Term = u64,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
);

pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
pub type Payload = openraft::alias::PayloadOf<TypeConfig>;
pub type Members = openraft::Membership<u64, Peer>;
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub type Responder = openraft::storage::ApplyResponder<TypeConfig>;

/// A command on its way through the log. Decoded once: log, replication and machine share it.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal(pub Arc<pb::Command>);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use pb::command::Change;
        f.write_str(match &self.0.change {
            None => "nothing",
            Some(Change::Put(_)) => "put",
            Some(Change::DeleteRange(_)) => "delete-range",
            Some(Change::Txn(_)) => "txn",
            Some(Change::Compact(_)) => "compact",
            Some(Change::LeaseGrant(_)) => "lease-grant",
            Some(Change::LeaseRevoke(_)) => "lease-revoke",
            Some(Change::LeaseCheckpoint(_)) => "lease-checkpoint",
            Some(Change::Alarm(_)) => "alarm",
            Some(Change::Found(_)) => "found",
            Some(Change::Publish(_)) => "publish",
            Some(Change::HashReport(_)) => "hash-report",
        })
    }
}

/// What the machine made of a proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Reply, or why the machine refused.
    pub reply: Result<Reply, Failure>,
    /// Store's revision after it.
    pub revision: i64,
}

/// What the group knows of a member: how to reach it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Name given at its start.
    pub name: String,
    /// Where it listens to its peers.
    pub peer_urls: Vec<String>,
    /// Whether it is without a vote only until it has caught up.
    pub joins_as_voter: bool,
}
