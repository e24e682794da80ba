//! This member of the raft group, in the store's own words.

mod barrier;
mod forward;
mod membership;
mod propose;
mod settings;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use proto::raftsman_store_v1 as pb;
use tokio::sync::watch;

use self::barrier::Barrier;
use self::forward::Forward;
use self::settings::settings;
use super::log::LogStore;
use super::network::{Identity, Links, MESSAGE_BYTES_MAX, Network, PeerService};
use super::pending::Pending;
use super::state::{Handle, SnapshotDir, StateMachine};
use super::types::{Peer, TypeConfig};
use crate::metrics::Metrics;

pub use self::barrier::ReadError;
pub use self::forward::LeaderCalls;
pub use self::membership::{Membership, Reshape};
pub use self::propose::ProposeError;

/// How long a member that was asked to lead may take until it does.
const TRANSFER_MAX: Duration = Duration::from_secs(2);

/// What a member needs to start.
pub struct NodeConfig {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Its connections to the others.
    pub links: Arc<Links>,
    /// Where snapshots lie.
    pub snapshots: SnapshotDir,
    /// Entries between two snapshots; 0 is the default.
    pub snapshot_entries: u64,
    /// Its proposals, which the machine's worker answers.
    pub pending: Arc<Pending>,
    /// Where proposals are counted.
    pub metrics: Metrics,
}

/// Who leads, and in which term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leadership {
    /// Term of the group as this member knows it.
    pub term: u64,
    /// The leader, if one is known.
    pub leader: Option<u64>,
}

/// Where raft stands on this member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Term and leader.
    pub leadership: Leadership,
    /// Last entry of the log.
    pub last_index: u64,
    /// Last entry applied.
    pub applied_index: u64,
    /// Whether this member only learns.
    pub learner: bool,
}

/// Raft here, and the way to the others.
pub struct Reach {
    id: u64,
    raft: Raft<TypeConfig, StateMachine>,
    network: Network,
    leadership: watch::Receiver<Leadership>,
}

impl Reach {
    fn leadership_now(&self) -> Leadership {
        *self.leadership.borrow()
    }

    /// The way to the member that leads; `None` where the membership does not know it.
    fn calls(&self, leader: u64) -> Option<LeaderCalls> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let peer = metrics.membership_config.membership().get_node(&leader)?;
        Some(LeaderCalls::new(&self.network, leader, peer))
    }
}

/// This member.
pub struct Node {
    reach: Arc<Reach>,
    pending: Arc<Pending>,
    forward: Forward,
    barrier: Barrier,
    snapshots: SnapshotDir,
    fault: watch::Receiver<Option<String>>,
    metrics: Metrics,
}

impl Node {
    /// Starts raft on an open log and machine. It takes no part in anything before `open`.
    pub async fn start(config: NodeConfig, log: LogStore, worker: Handle) -> Result<Self, io::Error> {
        let id = config.identity.member();
        let settings = Arc::new(settings(config.snapshot_entries).validate().map_err(io::Error::other)?);
        let snapshots = config.snapshots.clone();
        let machine = StateMachine::new(worker, config.snapshots);
        let fault = log.fault();
        let network = Network { identity: config.identity, links: config.links };
        let raft = Raft::new(id, settings, network.clone(), log, machine).await.map_err(io::Error::other)?;
        let leadership = follow(&raft, network.links.clone());
        let reach = Arc::new(Reach { id, raft, network, leadership });
        Ok(Self {
            barrier: Barrier::start(reach.clone()),
            forward: Forward::new(config.pending.clone()),
            pending: config.pending,
            snapshots,
            fault,
            metrics: config.metrics,
            reach,
        })
    }

    /// Whether this member has been in a group before.
    pub async fn initialized(&self) -> Result<bool, io::Error> {
        self.reach.raft.is_initialized().await.map_err(io::Error::other)
    }

    /// Founds the group of `members`, all with a vote. Only one of them may do it, once.
    pub async fn initialize(&self, members: Vec<Membership>) -> Result<(), io::Error> {
        let members: BTreeMap<u64, Peer> = members
            .into_iter()
            .map(|member| (member.id, Peer { name: member.name, peer_urls: member.peer_urls, ..Default::default() }))
            .collect();
        self.reach.raft.initialize(members).await.map_err(io::Error::other)
    }

    /// Takes part from now on: answers raft's calls, votes and stands for election.
    pub async fn open(&self) -> Result<(), io::Error> {
        let raft = &self.reach.raft;
        self.reach.network.identity.open();
        raft.runtime_config().elect(true);
        if raft.is_initialized().await.map_err(io::Error::other)? && raft.voter_ids().eq([self.id()]) {
            // Alone, there is nobody to wait for.
            raft.trigger().elect(false).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// This member's id.
    pub fn id(&self) -> u64 {
        self.reach.id
    }

    /// Who this member is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.reach.network.identity
    }

    /// Raft's calls, for the peer port.
    pub fn service(&self) -> pb::peer_server::PeerServer<PeerService> {
        let service = PeerService {
            identity: self.identity().clone(),
            raft: self.reach.raft.clone(),
            snapshots: self.snapshots.clone(),
        };
        pb::peer_server::PeerServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Returns when this member has applied everything that was acknowledged anywhere before the call.
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        self.barrier.pass().await
    }

    /// The entry that a follower must have applied to read everything acknowledged before the call.
    pub async fn read_index(&self) -> Result<pb::LogId, ReadError> {
        self.barrier.index().await.map(|id| super::codec::log_id(&id))
    }

    /// Whether this member leads, as a quorum confirmed after the call began.
    pub async fn confirm_leadership(&self) -> Result<(), ReadError> {
        self.barrier.index().await.map(|_| ())
    }

    /// The way to the leader; `None` where this member leads or knows of none.
    pub fn leader_calls(&self) -> Option<LeaderCalls> {
        let leader = self.reach.leadership_now().leader?;
        if leader == self.id() { None } else { self.reach.calls(leader) }
    }

    /// Whether this member leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.reach.leadership_now().leader == Some(self.id())
    }

    /// Where raft stands.
    pub fn status(&self) -> Status {
        let metrics = self.reach.raft.metrics();
        let metrics = metrics.borrow_watched();
        Status {
            leadership: Leadership { term: metrics.current_term, leader: metrics.current_leader },
            last_index: metrics.last_log_index.unwrap_or(0),
            applied_index: metrics.last_applied.map_or(0, |id| id.index),
            learner: metrics.state.is_learner(),
        }
    }

    /// Follows term and leader.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.reach.leadership.clone()
    }

    /// Returns when this member can't go on, with the reason.
    pub async fn failed(&self) -> String {
        let mut fault = self.fault.clone();
        let mut server = self.reach.raft.server_metrics();
        tokio::select! {
            // Ends with the log's writer, which ends with raft.
            broken = fault.wait_for(Option::is_some) => drop(broken),
            () = async { while server.changed().await.is_ok() {} } => {}
        }
        if let Some(text) = &*self.fault.borrow() {
            return format!("the raft log can't be written: {text}");
        }
        let metrics = self.reach.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.running_state.as_ref().err().map_or_else(|| "raft has ended".into(), ToString::to_string)
    }

    /// Hands leadership to another member; answers whether that one leads in time.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), ProposeError> {
        self.reach.raft.trigger().transfer_leader(to).await.map_err(|_| ProposeError::Stopped)?;
        let mut leadership = self.leadership();
        let led = leadership.wait_for(|now| now.leader == Some(to));
        match tokio::time::timeout(TRANSFER_MAX, led).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ProposeError::Stopped),
            Err(_) => Err(ProposeError::TimedOut),
        }
    }

    /// Leads no more and never again: gives leadership to the voter whose log is most like this member's.
    pub async fn hand_over(&self) {
        self.reach.raft.runtime_config().elect(false);
        for to in self.heirs() {
            match self.transfer_leader(to).await {
                Ok(()) => return tracing::info!("member {to:x} leads now"),
                Err(error) => tracing::warn!("member {to:x} did not take over: {error}"),
            }
        }
    }

    /// The other voters, the one with the longest log first; none if this member does not lead.
    fn heirs(&self) -> Vec<u64> {
        let metrics = self.reach.raft.metrics();
        let metrics = metrics.borrow_watched();
        let Some(replication) = &metrics.replication else { return Vec::new() };
        let voters = metrics.membership_config.voter_ids().filter(|id| *id != self.id());
        let mut heirs: Vec<_> = voters.map(|id| (replication.get(&id).copied().flatten(), id)).collect();
        heirs.sort();
        heirs.into_iter().rev().map(|(_, id)| id).collect()
    }

    /// Stops raft; what was acknowledged is on disk.
    pub async fn shutdown(&self) {
        if let Err(error) = self.reach.raft.shutdown().await {
            tracing::warn!("raft did not stop cleanly: {error}");
        }
    }
}

/// Follows raft's metrics for term and leader, and where members are, for as long as raft runs. Those of the server change
/// with these only, while the others change with each entry, several times.
fn follow(raft: &Raft<TypeConfig, StateMachine>, links: Arc<Links>) -> watch::Receiver<Leadership> {
    let mut metrics = raft.server_metrics();
    let (changes, follow) = watch::channel(leadership(&metrics.borrow_watched()));
    tokio::spawn(async move {
        let mut seen = None;
        while metrics.changed().await.is_ok() && !changes.is_closed() {
            let (now, membership) = {
                let metrics = metrics.borrow_watched();
                (leadership(&metrics), metrics.membership_config.clone())
            };
            changes.send_if_modified(|known| std::mem::replace(known, now) != now);
            // openraft keeps the streams to a member whose address changes.
            if seen.replace(*membership.log_id()) != Some(*membership.log_id()) {
                membership.nodes().for_each(|(id, peer)| links.moved(*id, &peer.peer_urls));
            }
        }
    });
    follow
}

/// Term and leader that belong together: the vote is the last one on disk, and may be older than the leader.
fn leadership(metrics: &RaftServerMetrics<TypeConfig>) -> Leadership {
    let vote = metrics.vote;
    let voted = |leader: &u64| vote.committed && vote.leader_id.voted_for == *leader;
    Leadership { term: vote.leader_id.term, leader: metrics.current_leader.filter(voted) }
}
