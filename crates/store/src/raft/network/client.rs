//! The way to one member, as openraft calls it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkV2};
use proto::raftsman_store_v1 as pb;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::{Identity, MESSAGE_BYTES_MAX, transfer, wire};
use crate::failpoint::delaypoint;
use crate::raft::state::SnapshotFolder;
use crate::raft::types::TypeConfig;

/// How long a member may take to take a stream.
const OPEN_MAX: Duration = Duration::from_secs(2);
/// How long requests of a stream may stay without any answer: longer than a slow disk's fsync, since what is sent
/// again makes a slow disk slower. A member that is gone is noticed earlier, by its connection's pings.
const STALL_MAX: Duration = Duration::from_secs(5);
/// Pauses before a member that can't be reached is tried again: the first, and the longest, which each is twice the
/// one before. A restarted member should be found quickly.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(400);

/// The way to one member.
pub struct PeerClient {
    identity: Arc<Identity>,
    target: u64,
    name: String,
    calls: pb::peer_client::PeerClient<Channel>,
}

type Response<T> = Result<tonic::Response<T>, Status>;
type AppendResult = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

impl PeerClient {
    /// The way to `target` over `channel`.
    pub fn new(identity: Arc<Identity>, target: u64, name: String, channel: Channel) -> Self {
        let calls = pb::peer_client::PeerClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Self { identity, target, name, calls }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.identity.address(self.target, request.metadata_mut());
        request
    }

    /// A call's answer in `limit`, else what openraft is to make of its absence.
    async fn answer<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Response<T>>,
    ) -> Result<T, RPCError<TypeConfig>> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failure(&self.name, &status)),
            Err(_) => Err(failure(&self.name, &Status::deadline_exceeded("no answer in time"))),
        }
    }

    fn read<T>(&self, read: Result<T, Status>) -> Result<T, RPCError<TypeConfig>> {
        read.map_err(|status| failure(&self.name, &status))
    }

    /// Opens a stream of entries. The counter tells how many of its requests wait for an answer.
    async fn open<S>(&self, input: S) -> Result<(Streaming<pb::AppendResponse>, Arc<AtomicUsize>), RPCError<TypeConfig>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static,
    {
        let waiting = Arc::new(AtomicUsize::new(0));
        let counter = waiting.clone();
        let requests = input.then(move |request| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move {
                delaypoint!("send-append");
                wire::append_request(&request)
            }
        });
        let mut calls = self.calls.clone();
        let request = self.request(requests);
        let responses = self.answer(OPEN_MAX, calls.append(request)).await?;
        Ok((responses, waiting))
    }
}

/// What openraft is told of a failed call: to pause a little where another try would meet the same.
fn failure(name: &str, status: &Status) -> RPCError<TypeConfig> {
    let text = format!("member {name}: {}", status.message());
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => NetworkError::from_string(text).into(),
        _ => Unreachable::from_string(text).into(),
    }
}

/// The answers of a stream, up to its first failure.
fn answers(
    name: String,
    responses: Streaming<pb::AppendResponse>,
    waiting: Arc<AtomicUsize>,
) -> BoxStream<'static, AppendResult> {
    let next = move |state: Option<Streaming<pb::AppendResponse>>| {
        let (name, waiting) = (name.clone(), waiting.clone());
        async move {
            let mut responses = state?;
            let result = match next_answer(&mut responses, &waiting).await {
                Ok(None) => return None,
                Ok(Some(response)) => wire::read_append_response(&response),
                Err(status) => Err(status),
            };
            let result = result.map_err(|status| failure(&name, &status));
            let ended = !matches!(result, Ok(Ok(_)));
            Some((result, (!ended).then_some(responses)))
        }
    };
    Box::pin(futures::stream::unfold(Some(responses), next))
}

/// The next answer. Fails if requests waited a whole period without one.
async fn next_answer(
    responses: &mut Streaming<pb::AppendResponse>,
    waiting: &AtomicUsize,
) -> Result<Option<pb::AppendResponse>, Status> {
    let mut stalled = false;
    loop {
        match tokio::time::timeout(STALL_MAX, responses.message()).await {
            Ok(answer) => {
                if matches!(answer, Ok(Some(_))) {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                }
                return answer;
            }
            Err(_) if waiting.load(Ordering::Relaxed) == 0 => stalled = false,
            Err(_) if stalled => return Err(Status::deadline_exceeded("it takes entries without answering")),
            // The requests may have been sent just now.
            Err(_) => stalled = true,
        }
    }
}

impl RaftNetworkV2<TypeConfig> for PeerClient {
    type SnapshotData = SnapshotFolder;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let one = Box::pin(futures::stream::once(std::future::ready(rpc)));
        let answer = self.stream_append(one, option).await?.next().await;
        match answer {
            Some(result) => Ok(result?.into()),
            None => Err(failure(&self.name, &Status::unavailable("it ended a stream without an answer"))),
        }
    }

    /// One call for many requests, which are sent on without waiting for the answers to those before.
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, AppendResult>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let mut input = input;
            // openraft pauses after a failure when the next request is taken from it, so take one before connecting.
            let Some(first) = input.next().await else {
                let nothing: BoxStream<'s, AppendResult> = Box::pin(futures::stream::empty());
                return Ok(nothing);
            };
            let input = futures::stream::iter([first]).chain(input);
            let (responses, waiting) = self.open(input).await?;
            let answers: BoxStream<'s, AppendResult> = answers(self.name.clone(), responses, waiting);
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut calls = self.calls.clone();
        let request = self.request(wire::vote_request(&rpc));
        let response = self.answer(option.soft_ttl(), calls.vote(request)).await?;
        self.read(wire::read_vote_response(&response))
    }

    /// Overridden because the default grants without asking.
    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut calls = self.calls.clone();
        let request = self.request(wire::vote_request(&rpc));
        let response = self.answer(option.soft_ttl(), calls.pre_vote(request)).await?;
        self.read(wire::read_vote_response(&response))
    }

    /// Sends the snapshot's files; the member answers when they are installed.
    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotFolder>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let (frames, transfer) = transfer::frames(&vote, snapshot.snapshot);
        let request = self.request(frames);
        let mut calls = self.calls.clone();
        let answer = tokio::select! {
            answer = calls.snapshot(request) => answer,
            stalled = transfer.stalled(option.hard_ttl()) => stalled,
            closed = cancel => return Err(closed.into()),
        };
        let answer = transfer.failure().map_or(answer, Err);
        let response = answer.map_err(|status| failure(&self.name, &status))?.into_inner();
        Ok(SnapshotResponse::new(self.read(wire::read_vote(response.vote.as_ref()))?))
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut calls = self.calls.clone();
        let request = self.request(wire::transfer_request(&req));
        let response = self.answer(option.soft_ttl(), calls.transfer_leader(request)).await?;
        match response.refused.is_empty() {
            true => Ok(Ok(())),
            false => Err(failure(&self.name, &Status::failed_precondition(response.refused))),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        let pauses = std::iter::successors(Some(BACKOFF_MIN), |pause| Some((*pause * 2).min(BACKOFF_MAX)));
        Some(Backoff::new(pauses))
    }
}
