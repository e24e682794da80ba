//! `ElectionService`: fenced leadership (design D4). The rules are in `election.rs`.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use proto::raftsman_v1::election_service_server::ElectionService;
use proto::raftsman_v1::{
    ClaimRequest, ClaimResponse, ElectionWatchRequest, ElectionWatchResponse, ReleaseRequest, ReleaseResponse,
    RenewRequest, RenewResponse,
};
use tonic::{Extensions, Request, Response, Status};

use super::{context, grpc};
use crate::auth::everything;
use crate::election::Elections;
use crate::registry::Registry;

pub(super) struct Service(Elections);

impl Service {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        Service(Elections::new(registry.caches.clone(), registry.committer.clone()))
    }
}

/// Claims are the control plane's.
fn require(extensions: &Extensions) -> Result<(), Status> {
    let identity = context(extensions).identity;
    if everything(&identity) {
        return Ok(());
    }
    let subject = api::status::Subject { group: "raftsman.io", resource: "claims" };
    let cause = format!("User {} is no member of the control plane", api::field::quote(&identity.name));
    Err(grpc(api::status::forbidden(subject, "", &cause)))
}

#[tonic::async_trait]
impl ElectionService for Service {
    type WatchStream = BoxStream<'static, Result<ElectionWatchResponse, Status>>;

    async fn claim(&self, request: Request<ClaimRequest>) -> Result<Response<ClaimResponse>, Status> {
        require(request.extensions())?;
        self.0.claim(request.get_ref()).await.map(Response::new).map_err(grpc)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        require(request.extensions())?;
        self.0.renew(request.get_ref()).await.map(Response::new)
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        require(request.extensions())?;
        self.0.release(request.get_ref()).await.map(Response::new).map_err(grpc)
    }

    async fn watch(&self, request: Request<ElectionWatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        require(request.extensions())?;
        Ok(Response::new(self.0.watch(&request.get_ref().claim).map(Ok).boxed()))
    }
}
