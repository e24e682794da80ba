//! This member of the raft group, in the store's own words.

mod barrier;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, ForwardReason, RaftError};
use openraft::{Config, Raft, SnapshotPolicy};
use proto::raftsman_store_v1 as pb;
use tokio::sync::watch;
use tokio::time::Instant;

use self::barrier::Barrier;
use super::log::LogStore;
use super::network::Network;
use super::state::{Handle, StateMachine};
use super::types::{Peer, Proposal, TypeConfig};
use crate::machine::{Failure, Reply};

pub use self::barrier::ReadError;

/// How long a proposal may take before its outcome counts as unknown: etcd's five seconds and two elections.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(7);
/// Pause before a proposal that was not taken is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Entries between two snapshots, and entries kept behind the newest for members that lag.
const SNAPSHOT_ENTRIES: u64 = 50_000;
const KEEP_ENTRIES: u64 = 5_000;

/// What a member needs to start.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Its own id.
    pub id: u64,
    /// Its name, as in `--initial-cluster`.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Folder of snapshots.
    pub snapshots: PathBuf,
}

/// Why a proposal has no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
    /// The machine refused it.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// It was not taken: this member does not lead, and the leader is that one, if known.
    #[error("not leader")]
    NotLeader(Option<u64>),
    /// Taken, but the leader changed: nobody knows whether it will be applied.
    #[error("leader changed")]
    Unknown,
    /// Not answered in time: nobody knows whether it will be applied.
    #[error("request timed out")]
    TimedOut,
    /// The member has stopped.
    #[error("server stopped")]
    Stopped,
}

/// Whether this member leads, and in which term.
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

/// A member of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Whether it has no vote.
    pub learner: bool,
}

/// This member.
pub struct Node {
    raft: Raft<TypeConfig, StateMachine>,
    barrier: Barrier,
    fault: watch::Receiver<Option<String>>,
    id: u64,
}

impl Node {
    /// Starts raft on an open log and machine, and founds a group of this one member if it has none.
    pub async fn start(config: NodeConfig, log: LogStore, worker: Handle) -> Result<Self, std::io::Error> {
        let settings = Arc::new(settings().validate().map_err(std::io::Error::other)?);
        let machine = StateMachine::new(worker, &config.snapshots)?;
        let fault = log.fault();
        let raft = Raft::new(config.id, settings, Network, log, machine).await.map_err(std::io::Error::other)?;
        if !raft.is_initialized().await.map_err(std::io::Error::other)? {
            let peer = Peer { name: config.name, peer_urls: config.peer_urls };
            raft.initialize(BTreeMap::from([(config.id, peer)])).await.map_err(std::io::Error::other)?;
        } else if raft.voter_ids().eq([config.id]) {
            // Alone, there is nobody to wait for.
            raft.trigger().elect(false).await.map_err(std::io::Error::other)?;
        }
        Ok(Self { barrier: Barrier::start(raft.clone()), raft, fault, id: config.id })
    }

    /// This member's id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Proposes a change and waits until it is applied here.
    pub async fn propose(&self, change: pb::command::Change) -> Result<Reply, ProposeError> {
        let command = Arc::new(pb::Command { change: Some(change) });
        let deadline = Instant::now() + PROPOSAL_TIMEOUT;
        loop {
            let attempt = self.raft.client_write(Proposal(command.clone()));
            let written = tokio::time::timeout_at(deadline, attempt).await.map_err(|_| ProposeError::TimedOut)?;
            match written.map_err(classify) {
                Ok(response) => return Ok(response.data.reply?),
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::NotTaken(error)) if Instant::now() + RETRY_PAUSE >= deadline => return Err(error),
                Err(Attempt::NotTaken(_)) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Returns when this member has applied everything that was committed anywhere before the call.
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        self.barrier.pass().await
    }

    /// Where raft stands.
    pub fn status(&self) -> Status {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        Status {
            leadership: leadership(&metrics),
            last_index: metrics.last_log_index.unwrap_or(0),
            applied_index: metrics.last_applied.map_or(0, |id| id.index),
            learner: metrics.state.is_learner(),
        }
    }

    /// Follows term and leader.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        let mut metrics = self.raft.metrics();
        let (changes, follow) = watch::channel(leadership(&metrics.borrow_watched()));
        tokio::spawn(async move {
            while metrics.changed().await.is_ok() {
                let now = leadership(&metrics.borrow_watched());
                changes.send_if_modified(|known| std::mem::replace(known, now) != now);
                if changes.is_closed() {
                    return;
                }
            }
        });
        follow
    }

    /// The group's members, by id.
    pub fn members(&self) -> Vec<Membership> {
        let metrics = self.raft.metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let member = |(id, peer): (&u64, &Peer)| Membership {
            id: *id,
            name: peer.name.clone(),
            peer_urls: peer.peer_urls.clone(),
            learner: !voters.contains(id),
        };
        membership.nodes().map(member).collect()
    }

    /// Returns when this member can't go on, with the reason.
    pub async fn failed(&self) -> String {
        let mut fault = self.fault.clone();
        let mut metrics = self.raft.metrics();
        loop {
            if let Some(text) = fault.borrow_and_update().clone() {
                return format!("the raft log can't be written: {text}");
            }
            if let Err(error) = &metrics.borrow_and_update().running_state
                && !matches!(error, Fatal::Stopped)
            {
                return error.to_string();
            }
            tokio::select! {
                changed = fault.changed() => if changed.is_err() { return "the log's writer has ended".into() },
                changed = metrics.changed() => if changed.is_err() { std::future::pending::<()>().await },
            }
        }
    }

    /// Hands leadership to another member; answers whether that one leads in time.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), ProposeError> {
        self.raft.trigger().transfer_leader(to).await.map_err(|_| ProposeError::Stopped)?;
        let mut leadership = self.leadership();
        let led = leadership.wait_for(|now| now.leader == Some(to));
        match tokio::time::timeout(PROPOSAL_TIMEOUT, led).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ProposeError::Stopped),
            Err(_) => Err(ProposeError::TimedOut),
        }
    }

    /// Stops raft; what was acknowledged is on disk.
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!("raft did not stop cleanly: {error}");
        }
    }
}

fn leadership(metrics: &openraft::RaftMetrics<TypeConfig>) -> Leadership {
    Leadership { term: metrics.current_term, leader: metrics.current_leader }
}

/// A failed try.
enum Attempt {
    Final(ProposeError),
    /// Certainly not in the log: may be tried again.
    NotTaken(ProposeError),
}

fn classify(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Attempt {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => match (forward.reason, forward.leader_id) {
            // Another member leads: it is for the caller to go there.
            (ForwardReason::NotLeader, Some(leader)) => Attempt::Final(ProposeError::NotLeader(Some(leader))),
            (_, leader) => Attempt::NotTaken(ProposeError::NotLeader(leader)),
        },
        RaftError::APIError(_) => Attempt::Final(ProposeError::Unknown),
        RaftError::Fatal(_) => Attempt::Final(ProposeError::Stopped),
    }
}

fn settings() -> Config {
    Config {
        cluster_name: "raftsman".into(),
        heartbeat_interval: 100,
        election_timeout_min: 400,
        election_timeout_max: 800,
        // A leader that resumes its term after a restart may have acknowledged, through its followers, entries
        // that its own log lost: it would write others in their place.
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        quorum_loss_probe_interval: Some(1600),
        install_snapshot_timeout: 60_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES),
        replication_lag_threshold: 2 * SNAPSHOT_ENTRIES,
        max_in_snapshot_log_to_keep: KEEP_ENTRIES,
        purge_batch_size: 1024,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// openraft's default for a restarted leader loses acknowledged writes, that for pre-vote grants blindly.
    #[test]
    fn settings_are_the_safe_ones() {
        let settings = settings().validate().unwrap();
        assert_eq!(settings.enable_leader_restore, Some(false));
        assert_eq!(settings.enable_pre_vote, Some(true));
        assert!(settings.quorum_loss_probe_interval.unwrap() >= 2 * settings.election_timeout_max);
        assert_eq!(settings.allow_log_reversion, None);
    }
}
