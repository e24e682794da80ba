//! Linearizable reads: all that wait share one question to the group (R9).
//!
//! The leader asks a quorum whether it still leads; a follower asks the leader, whose round serves all followers
//! and its own readers alike. The answer is the entry that must be applied before the read. A read that arrives
//! while a round is under way waits for the next one, since the running round may have asked before that read's
//! predecessor was committed. So a thousand readers cost a round each few microseconds, not one each.

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::raft::linearizable_read::{Linearizer, ReadLogId};
use proto::raftsman_store_v1::ReadIndexRequest;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Reach;
use super::forward::LeaderCalls;
use crate::raft::codec;
use crate::raft::types::LogId;

/// Readers that may wait; more wait for a place.
const WAITING_MAX: usize = 16_384;
/// How long a read waits for a leader with a quorum; etcd's.
const READ_TIMEOUT: Duration = Duration::from_secs(7);
/// How long one round may take. A quorum that answers later is as good as none.
const ROUND_MAX: Duration = Duration::from_secs(2);
/// Pause before the next round when one failed.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Why a read can't be linearizable now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody leads, or not this member, which was asked as leader.
    #[error("no leader")]
    NoLeader,
    /// No quorum answered.
    #[error("request timed out")]
    NoQuorum,
    /// The member has stopped.
    #[error("server stopped")]
    Stopped,
}

/// Who waits for a round.
enum Reader {
    /// A read here, which also waits until the entry is applied.
    Here(oneshot::Sender<Result<(), ReadError>>),
    /// A follower, which waits for that by itself.
    Follower(oneshot::Sender<Result<LogId, ReadError>>),
}

struct Waiting {
    since: Instant,
    reader: Reader,
}

impl Waiting {
    /// Tells the reader; one that has gone away needs no answer.
    fn tell(self, round: Result<LogId, ReadError>) {
        match self.reader {
            Reader::Here(reader) => drop(reader.send(round.map(|_| ()))),
            Reader::Follower(reader) => drop(reader.send(round)),
        }
    }
}

/// The shared barrier.
pub struct Barrier {
    queue: mpsc::Sender<Waiting>,
}

impl Barrier {
    /// Starts the task that asks; it ends with the barrier.
    pub fn start(reach: Arc<Reach>) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(reach, waiting));
        Self { queue }
    }

    /// Waits for the next round, and until what it found is applied here.
    pub async fn pass(&self) -> Result<(), ReadError> {
        self.ask(Reader::Here).await
    }

    /// The entry that a follower must have applied. Only the leader answers.
    pub async fn index(&self) -> Result<LogId, ReadError> {
        self.ask(Reader::Follower).await
    }

    async fn ask<T>(
        &self,
        reader: impl FnOnce(oneshot::Sender<Result<T, ReadError>>) -> Reader,
    ) -> Result<T, ReadError> {
        let (done, answer) = oneshot::channel();
        let waiting = Waiting { since: Instant::now(), reader: reader(done) };
        self.queue.send(waiting).await.map_err(|_| ReadError::Stopped)?;
        answer.await.map_err(|_| ReadError::Stopped)?
    }
}

async fn run(reach: Arc<Reach>, mut queue: mpsc::Receiver<Waiting>) {
    let mut readers: Vec<Waiting> = Vec::new();
    while queue.recv_many(&mut readers, WAITING_MAX).await > 0 {
        while !readers.is_empty() {
            let round = tokio::time::timeout(ROUND_MAX, round(&reach, &mut readers)).await;
            match round.unwrap_or(Err(ReadError::NoQuorum)) {
                Ok(id) => serve(&reach, &mut readers, id),
                Err(ReadError::Stopped) => readers.drain(..).for_each(|reader| reader.tell(Err(ReadError::Stopped))),
                Err(error) => {
                    refuse(&mut readers, error);
                    tokio::time::sleep(RETRY_PAUSE).await;
                    // Whoever came meanwhile came before the next round.
                    while let Ok(reader) = queue.try_recv() {
                        readers.push(reader);
                    }
                }
            }
        }
    }
}

/// Answers those that are done after a round: followers at once, the others when its entry is applied. The next round
/// does not wait for that: a slow disk here must not hold up the followers.
fn serve(reach: &Arc<Reach>, readers: &mut Vec<Waiting>, id: LogId) {
    let (here, followers): (Vec<_>, Vec<_>) =
        readers.drain(..).partition(|waiting| matches!(waiting.reader, Reader::Here(_)));
    followers.into_iter().for_each(|reader| reader.tell(Ok(id)));
    if here.is_empty() {
        return;
    }
    let reach = reach.clone();
    tokio::spawn(async move {
        let applied = applied(&reach, id).await.map(|()| id);
        here.into_iter().for_each(|reader| reader.tell(applied));
    });
}

/// Answers those that have no round to wait for: followers, which ask the next leader by themselves, and reads
/// that waited long enough.
fn refuse(readers: &mut Vec<Waiting>, error: ReadError) {
    let over = |waiting: &mut Waiting| {
        matches!(waiting.reader, Reader::Follower(_)) || waiting.since.elapsed() >= READ_TIMEOUT
    };
    readers.extract_if(.., over).for_each(|reader| reader.tell(Err(error)));
}

/// One question to the group.
async fn round(reach: &Reach, readers: &mut Vec<Waiting>) -> Result<LogId, ReadError> {
    let now = reach.leadership_now();
    let Some(leader) = now.leader else { return Err(ReadError::NoLeader) };
    if leader == reach.id {
        return ask_quorum(reach).await;
    }
    // Followers that take this member for the leader must not be sent on in a circle.
    let follower = |waiting: &mut Waiting| matches!(waiting.reader, Reader::Follower(_));
    readers.extract_if(.., follower).for_each(|reader| reader.tell(Err(ReadError::NoLeader)));
    let calls = reach.calls(leader).ok_or(ReadError::NoLeader)?;
    let mut leadership = reach.leadership.clone();
    tokio::select! {
        answer = ask_leader(&calls) => answer,
        // A leader that froze must not hold up those who could ask the next one.
        _ = leadership.wait_for(|later| *later != now) => Err(ReadError::NoQuorum),
    }
}

async fn ask_quorum(reach: &Reach) -> Result<LogId, ReadError> {
    let linearizer = reach.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.map_err(|error| match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(_)) => ReadError::NoLeader,
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => ReadError::NoQuorum,
        RaftError::Fatal(_) => ReadError::Stopped,
    })?;
    Ok(*linearizer.read_log_id().log_id())
}

async fn ask_leader(calls: &LeaderCalls) -> Result<LogId, ReadError> {
    let request = calls.request(ReadIndexRequest {}, ROUND_MAX);
    let response = calls.client().read_index(request).await.map_err(|_| ReadError::NoQuorum)?;
    let id = response.into_inner().id.ok_or(ReadError::NoQuorum)?;
    Ok(codec::read_log_id(&id))
}

async fn applied(reach: &Reach, id: LogId) -> Result<(), ReadError> {
    let linearizer = Linearizer::new(reach.id, ReadLogId::from_log_id(id), None);
    match linearizer.try_await_ready(&reach.raft, Some(READ_TIMEOUT)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(ReadError::NoQuorum),
        Err(_) => Err(ReadError::Stopped),
    }
}
