//! Linearizable reads: all that wait share one question to the group.
//!
//! A read that arrives while a round is under way waits for the next one, since the running round may have
//! asked before that read's predecessor was committed. So a thousand readers cost a round each few
//! microseconds, not one each.

use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{Raft, ReadPolicy};
use tokio::sync::{mpsc, oneshot};

use crate::raft::state::StateMachine;
use crate::raft::types::TypeConfig;

/// Readers that may wait; more wait for a place.
const WAITING_MAX: usize = 16_384;

/// Why a read can't be linearizable now.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum ReadError {
    /// This member does not lead and can't ask who does.
    #[error("not leader")]
    NotLeader,
    /// No quorum answered.
    #[error("leader changed")]
    NoQuorum,
    /// The member has stopped.
    #[error("server stopped")]
    Stopped,
}

/// The shared barrier.
pub struct Barrier {
    waiting: mpsc::Sender<oneshot::Sender<Result<(), ReadError>>>,
}

impl Barrier {
    /// Starts the task that asks; it ends with the last reader's handle.
    pub fn start(raft: Raft<TypeConfig, StateMachine>) -> Self {
        let (waiting, mut queue) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            let mut readers: Vec<oneshot::Sender<_>> = Vec::new();
            while queue.recv_many(&mut readers, WAITING_MAX).await > 0 {
                let round = ask(&raft).await;
                for reader in readers.drain(..) {
                    // A reader that has gone away needs no answer.
                    let _gone = reader.send(round).is_err();
                }
            }
        });
        Self { waiting }
    }

    /// Waits for the next round.
    pub async fn pass(&self) -> Result<(), ReadError> {
        let (done, answer) = oneshot::channel();
        self.waiting.send(done).await.map_err(|_| ReadError::Stopped)?;
        answer.await.map_err(|_| ReadError::Stopped)?
    }
}

async fn ask(raft: &Raft<TypeConfig, StateMachine>) -> Result<(), ReadError> {
    let linearizer = raft.get_read_linearizer(ReadPolicy::ReadIndex).await.map_err(|error| match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(_)) => ReadError::NotLeader,
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => ReadError::NoQuorum,
        RaftError::Fatal(_) => ReadError::Stopped,
    })?;
    linearizer.await_ready(raft).await.map(|_| ()).map_err(|_| ReadError::Stopped)
}
