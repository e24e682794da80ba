//! Raft's calls as they arrive on the peer port.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use proto::raftsman_store_v1 as pb;
use proto::raftsman_store_v1::peer_server::Peer;
use tonic::{Request, Response, Status, Streaming};

use super::{Identity, wire};
use crate::raft::codec;
use crate::raft::state::{self, SnapshotDir, StateMachine};
use crate::raft::types::TypeConfig;

/// The peer service.
pub struct PeerService {
    pub identity: Arc<Identity>,
    pub raft: Raft<TypeConfig, StateMachine>,
    pub snapshots: SnapshotDir,
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("raftsman: this member has stopped: {error}"))
}

type AppendResponses = Pin<Box<dyn Stream<Item = Result<pb::AppendResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Peer for PeerService {
    type AppendStream = AppendResponses;

    async fn append(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<AppendResponses>, Status> {
        self.identity.check(request.metadata())?;
        // openraft takes requests only; what can't be read ends the stream and is told after the last answer.
        let unreadable = Arc::new(Mutex::new(None));
        let noted = unreadable.clone();
        let requests = request.into_inner().map(|request| request.and_then(wire::read_append_request));
        let requests = requests.scan(noted, |noted, request| {
            let request = request.map_err(|status| *noted.lock() = Some(status)).ok();
            std::future::ready(request)
        });
        let responses = self.raft.stream_append(requests).map(|result| match result {
            Ok(result) => Ok(wire::append_response(&result)),
            Err(fatal) => Err(stopped(fatal)),
        });
        let told = futures::stream::once(async move { unreadable.lock().take() });
        let told = told.filter_map(|status| std::future::ready(status.map(Err)));
        Ok(Response::new(Box::pin(responses.chain(told))))
    }

    async fn vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteResponse>, Status> {
        self.identity.check(request.metadata())?;
        let request = wire::read_vote_request(request.get_ref())?;
        let response = self.raft.vote(request).await.map_err(stopped)?;
        Ok(Response::new(wire::vote_response(&response)))
    }

    async fn pre_vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteResponse>, Status> {
        self.identity.check(request.metadata())?;
        let request = wire::read_vote_request(request.get_ref())?;
        let response = self.raft.pre_vote(request).await.map_err(stopped)?;
        Ok(Response::new(wire::vote_response(&response)))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        self.identity.check(request.metadata())?;
        let request = wire::read_transfer_request(request.get_ref())?;
        let answer = self.raft.handle_transfer_leader(request).await.map_err(stopped)?;
        let refused = answer.err().map(|error| error.to_string()).unwrap_or_default();
        Ok(Response::new(pb::TransferLeaderResponse { refused }))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotFrame>>,
    ) -> Result<Response<pb::SnapshotResponse>, Status> {
        self.identity.check(request.metadata())?;
        let mut frames = request.into_inner();
        let first = frames.message().await?.ok_or_else(|| Status::invalid_argument("raftsman: an empty snapshot"))?;
        let vote = wire::read_vote(first.vote.as_ref())?;
        let known = self.raft.metrics().borrow_watched().vote;
        if known > vote {
            // Of a leader that is none any more; it need not send all of it to learn that.
            return Ok(Response::new(pb::SnapshotResponse { vote: Some(codec::vote(&known)) }));
        }
        let pieces = frames.map(|frame| frame.map(|frame| frame.data).map_err(std::io::Error::other));
        let received = state::receive(&self.snapshots, Box::pin(pieces)).await;
        let (meta, snapshot) = received.map_err(|error| Status::data_loss(format!("raftsman: {error}")))?;
        let snapshot = openraft::Snapshot { meta, snapshot };
        let response = self.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(pb::SnapshotResponse { vote: Some(codec::vote(&response.vote)) }))
    }
}
