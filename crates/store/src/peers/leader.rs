//! `raftsman.store.v1.Leader`: what followers ask of the leader.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use proto::raftsman_store_v1::leader_server::Leader;
use proto::raftsman_store_v1::{
    LeaseRemainingRequest, LeaseRemainingResponse, MemberChange, MemberChanged, ProposeRequest, ProposeResponse,
    ReadIndexRequest, ReadIndexResponse, RenewLeasesRequest, RenewLeasesResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::members::change;
use crate::services::{Context, status};

/// Refusals that may wait for a follower.
const REFUSALS_LEN: usize = 64;

/// The leader service.
pub struct LeaderService(pub Arc<Context>);

impl LeaderService {
    /// Refuses calls for others.
    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.0.node.identity().check(request.metadata())
    }
}

type Refusals = Pin<Box<dyn Stream<Item = Result<ProposeResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Leader for LeaderService {
    type ProposeStream = Refusals;

    async fn propose(&self, request: Request<Streaming<ProposeRequest>>) -> Result<Response<Refusals>, Status> {
        self.check(&request)?;
        let (refusals, told) = mpsc::channel(REFUSALS_LEN);
        tokio::spawn(take(self.0.clone(), request.into_inner(), refusals));
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }

    async fn read_index(&self, request: Request<ReadIndexRequest>) -> Result<Response<ReadIndexResponse>, Status> {
        self.check(&request)?;
        let id = self.0.node.read_index().await.map_err(status::read)?;
        Ok(Response::new(ReadIndexResponse { id: Some(id) }))
    }

    async fn renew_leases(
        &self,
        request: Request<RenewLeasesRequest>,
    ) -> Result<Response<RenewLeasesResponse>, Status> {
        self.check(&request)?;
        let ttl_seconds = self.0.leases.renew(&self.0.node, &request.into_inner().ids).await?;
        Ok(Response::new(RenewLeasesResponse { ttl_seconds }))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseRemainingRequest>,
    ) -> Result<Response<LeaseRemainingResponse>, Status> {
        self.check(&request)?;
        let remaining_seconds = self.0.leases.remaining(request.into_inner().id);
        Ok(Response::new(LeaseRemainingResponse { remaining_seconds }))
    }

    async fn change_members(&self, request: Request<MemberChange>) -> Result<Response<MemberChanged>, Status> {
        self.check(&request)?;
        change::change(&self.0, request.into_inner()).await.map(Response::new)
    }
}

/// Takes a follower's commands for as long as it sends any, and tells it which were not taken.
async fn take(
    context: Arc<Context>,
    mut requests: Streaming<ProposeRequest>,
    refusals: mpsc::Sender<Result<ProposeResponse, Status>>,
) {
    loop {
        let request = tokio::select! {
            request = requests.message() => request,
            () = refusals.closed() => return,
        };
        let Ok(Some(ProposeRequest { term, commands })) = request else { return };
        let Some(outcome) = context.node.take(term, commands).await else {
            let status = Status::invalid_argument("raftsman: a proposal of a peer can't be read");
            // A follower that has gone away needs no reason.
            return drop(refusals.send(Err(status)).await);
        };
        let refusals = refusals.clone();
        tokio::spawn(async move {
            let not_taken = outcome.await;
            if !not_taken.is_empty() {
                drop(refusals.send(Ok(ProposeResponse { not_taken })).await);
            }
        });
    }
}
