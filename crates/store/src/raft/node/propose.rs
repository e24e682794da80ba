//! Proposals, on the leader and on the way to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use prost::Message;
use proto::raftsman_store_v1 as pb;
use tokio::time::Instant;

use super::{Leadership, Node};
use crate::machine::{Failure, Reply};
use crate::raft::pending::Outcome;
use crate::raft::types::{Answer, Proposal, TypeConfig};

/// How long a proposal may take before its outcome counts as unknown: etcd's five seconds and two elections.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(7);
/// Pause before a proposal that was not taken is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Why a proposal has no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
    /// The machine refused it.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// Certainly not taken: there is no leader that takes it.
    #[error("no leader")]
    NoLeader,
    /// Nobody knows whether it was or will be applied, for the leader changed.
    #[error("leader changed")]
    Unknown,
    /// Not answered in time: nobody knows whether it was or will be applied.
    #[error("request timed out")]
    TimedOut,
    /// The member has stopped.
    #[error("server stopped")]
    Stopped,
}

/// What a try came to.
enum Attempt {
    Applied(Answer),
    Failed(ProposeError),
    /// Certainly not in a log: may be tried again.
    NotTaken,
}

type Written = tokio::sync::oneshot::Receiver<ClientWriteResult<TypeConfig>>;

impl Node {
    /// Proposes a change and waits until it is applied here.
    pub async fn propose(&self, change: pb::command::Change) -> Result<Reply, ProposeError> {
        let counted = self.metrics.proposed();
        let outcome = self.propose_uncounted(change).await;
        if matches!(outcome, Ok(_) | Err(ProposeError::Refused(_))) {
            counted.settled();
        }
        outcome
    }

    async fn propose_uncounted(&self, change: pb::command::Change) -> Result<Reply, ProposeError> {
        let number = self.pending.number();
        let origin = pb::Origin { member_id: self.id(), number };
        let command = Arc::new(pb::Command { origin: Some(origin), change: Some(change) });
        let deadline = Instant::now() + PROPOSAL_TIMEOUT;
        loop {
            let attempt = tokio::time::timeout_at(deadline, self.attempt(number, &command)).await;
            match attempt.map_err(|_| ProposeError::TimedOut)? {
                Attempt::Applied(answer) => return Ok(answer.reply?),
                Attempt::Failed(error) => return Err(error),
                Attempt::NotTaken if Instant::now() + RETRY_PAUSE >= deadline => return Err(ProposeError::NoLeader),
                Attempt::NotTaken => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Proposes a change that this member decided as leader of `term`: in no other term, and through nobody else.
    pub async fn propose_in(&self, term: u64, change: pb::command::Change) -> Result<Reply, ProposeError> {
        let command = Arc::new(pb::Command { origin: None, change: Some(change) });
        let written = self.append(term, command).await.ok_or(ProposeError::Stopped)?;
        let written = tokio::time::timeout(PROPOSAL_TIMEOUT, written).await.map_err(|_| ProposeError::TimedOut)?;
        match written.map_err(|_| ProposeError::Stopped)? {
            Ok(response) => Ok(response.data.reply?),
            Err(ClientWriteError::ForwardToLeader(_)) => Err(ProposeError::NoLeader),
            Err(_) => Err(ProposeError::Unknown),
        }
    }

    /// Proposes to whoever leads now.
    async fn attempt(&self, number: u64, command: &Arc<pb::Command>) -> Attempt {
        let Leadership { term, leader: Some(leader) } = self.reach.leadership_now() else { return Attempt::NotTaken };
        let mut place = self.pending.wait(number, term);
        if leader == self.id() {
            let Some(written) = self.append(term, command.clone()).await else {
                return Attempt::Failed(ProposeError::Stopped);
            };
            match written.await {
                Ok(Ok(response)) => return Attempt::Applied(response.data),
                Ok(Err(ClientWriteError::ForwardToLeader(_))) => return Attempt::NotTaken,
                // Out of this member's log, yet it may be in another's: its own outcome tells.
                Ok(Err(ClientWriteError::LogEntryDiscarded(_))) => {}
                Ok(Err(_)) => return Attempt::Failed(ProposeError::Unknown),
                Err(_) => return Attempt::Failed(ProposeError::Stopped),
            }
        } else {
            self.forward.send((leader, term), || self.reach.calls(leader), number, command).await;
        }
        match (&mut place.outcome).await {
            Ok(Outcome::Applied(answer)) => Attempt::Applied(answer),
            Ok(Outcome::NotTaken) => Attempt::NotTaken,
            Err(_) => Attempt::Failed(ProposeError::Unknown),
        }
    }

    /// Appends a command if this member leads in `term` and in no other; `None` when raft has stopped.
    async fn append(&self, term: u64, command: Arc<pb::Command>) -> Option<Written> {
        let (responder, written) = ProgressResponder::complete_only();
        let write = self.reach.raft.write(Proposal(command)).with_leader(term).responder(responder);
        write.await.ok().map(|()| written)
    }

    /// Takes commands of a follower that knows this member as leader of `term`, in order. The future answers the
    /// numbers of those that were certainly not taken; `None` where bytes are no command with an origin.
    pub async fn take(&self, term: u64, commands: Vec<Bytes>) -> Option<impl Future<Output = Vec<u64>> + Send + use<>> {
        let mut taken = Vec::with_capacity(commands.len());
        for bytes in commands {
            let command = pb::Command::decode(bytes).ok()?;
            let number = command.origin.as_ref()?.number;
            taken.push((number, self.append(term, Arc::new(command)).await));
        }
        Some(async move {
            let mut refused = Vec::new();
            for (number, written) in taken {
                let not_taken = match written {
                    None => true,
                    Some(written) => matches!(written.await, Ok(Err(ClientWriteError::ForwardToLeader(_)))),
                };
                if not_taken {
                    refused.push(number);
                }
            }
            refused
        })
    }
}
