//! The group's members as raft has them, and changes of them. Whether a change is allowed is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::type_config::TypeConfigExt;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::{Node, ProposeError};
use crate::raft::network::Lane;
use crate::raft::types::{LogId, Members, Peer, TypeConfig};

/// How long a change of members may take.
const RESHAPE_MAX: Duration = Duration::from_secs(7);
/// Pause before a change that was not taken is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A member of the group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Its id.
    pub id: u64,
    /// Its name, where it was a founder; others say theirs when they start.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Whether it has no vote.
    pub learner: bool,
    /// Whether it is to have one as soon as it has caught up.
    pub joins_as_voter: bool,
}

/// A change of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reshape {
    /// A new member, without a vote.
    Learner {
        /// Its id, never used before.
        id: u64,
        /// Where its peers reach it.
        peer_urls: Vec<String>,
        /// Whether it is to have a vote as soon as it has caught up.
        joins_as_voter: bool,
    },
    /// A learner gets its vote.
    Vote(u64),
    /// A member is gone.
    Gone(u64),
    /// A member's peers reach it elsewhere.
    Moved {
        /// Its id.
        id: u64,
        /// Where.
        peer_urls: Vec<String>,
    },
    /// What a leader that failed left half done is done: two sets of voters become the newer one.
    Settled,
}

impl fmt::Display for Reshape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reshape::Learner { id, peer_urls, joins_as_voter: true } => {
                write!(f, "{id:x} at {} joins, to vote when it has caught up", peer_urls.join(","))
            }
            Reshape::Learner { id, peer_urls, .. } => write!(f, "{id:x} at {} joins as learner", peer_urls.join(",")),
            Reshape::Vote(id) => write!(f, "{id:x} gets its vote"),
            Reshape::Gone(id) => write!(f, "{id:x} is removed"),
            Reshape::Moved { id, peer_urls } => write!(f, "{id:x} is at {}", peer_urls.join(",")),
            Reshape::Settled => f.write_str("an earlier change is completed"),
        }
    }
}

/// What the leader knows of a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contact {
    /// Last entry that its log has in common with the leader's.
    pub matched: Option<u64>,
    /// How long ago it answered.
    pub heard: Option<Duration>,
}

impl Node {
    /// The group's members, by id.
    pub fn members(&self) -> Vec<Membership> {
        list(&self.membership())
    }

    /// Whether this member belongs to the group without a vote.
    pub fn is_learner(&self) -> bool {
        let metrics = self.reach.raft.metrics();
        let metrics = metrics.borrow_watched();
        // Cheap for all others; who is of no group is called a learner, too.
        metrics.state.is_learner()
            && metrics.membership_config.membership().get_node(&self.id()).is_some()
            && metrics.membership_config.voter_ids().all(|voter| voter != self.id())
    }

    /// Whether voters are being exchanged: there are two sets of them.
    pub fn is_unsettled(&self) -> bool {
        let metrics = self.reach.raft.metrics();
        let metrics = metrics.borrow_watched();
        let effective = &metrics.membership_config;
        effective.membership().get_joint_config().len() > 1 && *effective == metrics.committed_membership_config
    }

    /// Whether the committed membership has a member with this id.
    pub fn has_member(&self, id: u64) -> bool {
        let metrics = self.reach.raft.metrics();
        metrics.borrow_watched().committed_membership_config.nodes().any(|(member, _)| *member == id)
    }

    /// What the leader knows of each other member; `None` where this member does not lead.
    pub fn contacts(&self) -> Option<BTreeMap<u64, Contact>> {
        let metrics = self.reach.raft.metrics();
        let metrics = metrics.borrow_watched();
        let replication = metrics.replication.as_ref()?;
        let heartbeat = metrics.heartbeat.as_ref()?;
        let now = TypeConfig::now();
        let heard = |id: &u64| heartbeat.get(id)?.as_ref().map(|at| now - **at);
        let contact = |(id, matched): (&u64, &Option<_>)| {
            let matched = matched.as_ref().map(|id: &LogId| id.index);
            (*id, Contact { matched, heard: heard(id) })
        };
        Some(replication.iter().map(contact).collect())
    }

    /// The connection to the leader; `None` where this member leads or knows of none.
    pub fn leader_channel(&self) -> Option<Channel> {
        let leader = self.leadership().borrow().leader.filter(|leader| *leader != self.id())?;
        let membership = self.membership();
        let peer = membership.get_node(&leader)?;
        Some(self.reach.network.links.channel(leader, peer, Lane::Leader))
    }

    /// Carries out a change; answers the members after it. Only the leader can.
    pub async fn reshape(&self, change: Reshape) -> Result<Vec<Membership>, ProposeError> {
        let deadline = Instant::now() + RESHAPE_MAX;
        loop {
            let now = self.membership();
            // Voters that are not in the new set are gone, not learners.
            let write = self.reach.raft.change_membership(request(&now, &change), false);
            let written = tokio::time::timeout_at(deadline, write).await.map_err(|_| ProposeError::TimedOut)?;
            match written {
                Ok(response) => return Ok(response.membership.as_ref().map(list).unwrap_or_default()),
                Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
                    // Another change is under way.
                    tracing::debug!("a change of members is not taken: {error}");
                }
                Err(error) => {
                    // Voters change in two steps, and the next leader may complete what this one began.
                    let begun = self.membership() != now;
                    return Err(if begun { ProposeError::Unknown } else { refused(&error) });
                }
            }
            if Instant::now() + RETRY_PAUSE >= deadline {
                return Err(ProposeError::TimedOut);
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    fn membership(&self) -> Members {
        let metrics = self.reach.raft.metrics();
        metrics.borrow_watched().membership_config.membership().clone()
    }
}

fn list(membership: &Members) -> Vec<Membership> {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let member = |(id, peer): (&u64, &Peer)| Membership {
        id: *id,
        name: peer.name.clone(),
        peer_urls: peer.peer_urls.clone(),
        learner: !voters.contains(id),
        joins_as_voter: peer.joins_as_voter,
    };
    membership.nodes().map(member).collect()
}

/// A change in openraft's words.
fn request(now: &Members, change: &Reshape) -> ChangeMembers<u64, Peer> {
    match change {
        Reshape::Learner { id, peer_urls, joins_as_voter } => {
            let peer = Peer { name: String::new(), peer_urls: peer_urls.clone(), joins_as_voter: *joins_as_voter };
            ChangeMembers::AddNodes(BTreeMap::from([(*id, peer)]))
        }
        Reshape::Vote(id) => ChangeMembers::AddVoterIds(BTreeSet::from([*id])),
        Reshape::Gone(id) if now.voter_ids().any(|voter| voter == *id) => {
            ChangeMembers::RemoveVoters(BTreeSet::from([*id]))
        }
        Reshape::Gone(id) => ChangeMembers::RemoveNodes(BTreeSet::from([*id])),
        Reshape::Moved { id, peer_urls } => {
            let known = now.get_node(id).cloned().unwrap_or_default();
            ChangeMembers::SetNodes(BTreeMap::from([(*id, Peer { peer_urls: peer_urls.clone(), ..known })]))
        }
        Reshape::Settled => ChangeMembers::ReplaceAllVoters(now.get_joint_config().last().cloned().unwrap_or_default()),
    }
}

fn refused(error: &RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ProposeError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => ProposeError::NoLeader,
        RaftError::APIError(_) => ProposeError::Unknown,
        RaftError::Fatal(_) => ProposeError::Stopped,
    }
}
