//! `etcdserverpb.Lease`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use proto::etcdserverpb::lease_server::Lease;
use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};
use proto::raftsman_store_v1::command::Change;
use proto::raftsman_store_v1::{LeaseRemainingRequest, LeaseRevoke};
use tonic::{Request, Response, Status, Streaming};

use super::{Context, status};
use crate::machine::{Failure, Reply};

/// Shortest TTL that is granted, as etcd's with its default election timeout.
const TTL_MIN_SECONDS: i64 = 2;
/// Longest TTL.
const TTL_MAX_SECONDS: i64 = 9_000_000_000;

/// Renewals of one stream that are under way at a time.
const KEEP_ALIVES_MAX: usize = 64;
/// How long the leader may take to say what a lease has left.
const REMAINING_MAX: Duration = Duration::from_secs(5);

/// The lease service.
pub struct LeaseService(pub Arc<Context>);

type KeepAlives = Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Lease for LeaseService {
    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Result<Response<LeaseGrantResponse>, Status> {
        let mut request = request.into_inner();
        if request.ttl > TTL_MAX_SECONDS {
            // As etcd, which proposes it: an alarm is told before.
            let forbidden = self.0.view.shared().group.read().forbidden(true);
            return Err(status::failure(forbidden.unwrap_or(Failure::LeaseTtlTooLarge)));
        }
        request.ttl = request.ttl.max(TTL_MIN_SECONDS);
        let drawn = request.id == 0;
        loop {
            if drawn {
                request.id = rand::random_range(1..=i64::MAX);
            }
            let reply = match self.0.node.propose(Change::LeaseGrant(request)).await {
                // The one id in 2^63 that is taken.
                Err(crate::raft::ProposeError::Refused(Failure::LeaseExists)) if drawn => continue,
                reply => reply.map_err(status::propose)?,
            };
            let Reply::LeaseGrant(mut response) = reply else { return Err(status::mismatch()) };
            self.0.metrics.leases_granted.inc();
            self.0.sign(&mut response.header);
            return Ok(Response::new(response));
        }
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let revoke = LeaseRevoke { ids: vec![request.into_inner().id], ..Default::default() };
        let Reply::LeaseRevoke(mut response) = self.0.propose(Change::LeaseRevoke(revoke)).await? else {
            return Err(status::mismatch());
        };
        self.0.metrics.leases_revoked.inc();
        self.0.sign(&mut response.header);
        Ok(Response::new(response))
    }

    type LeaseKeepAliveStream = KeepAlives;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<KeepAlives>, Status> {
        let context = self.0.clone();
        let answers = request.into_inner().map(move |request| keep_alive(context.clone(), request));
        let answers = answers.buffered(KEEP_ALIVES_MAX);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let request = request.into_inner();
        self.0.read_barrier().await?;
        let remaining = remaining(&self.0, request.id).await?;
        let leases = self.0.view.shared().leases.read();
        let mut response =
            LeaseTimeToLiveResponse { header: self.0.header_now(), id: request.id, ttl: -1, ..Default::default() };
        if let Some(terms) = leases.terms(request.id) {
            response.granted_ttl = terms.granted_ttl_seconds;
            response.ttl = remaining.unwrap_or(terms.granted_ttl_seconds);
            if request.keys {
                response.keys = leases.keys(request.id);
            }
        }
        Ok(Response::new(response))
    }

    async fn lease_leases(&self, _: Request<LeaseLeasesRequest>) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.0.read_barrier().await?;
        let leases = self.0.leases.by_end().into_iter().map(|id| LeaseStatus { id }).collect();
        Ok(Response::new(LeaseLeasesResponse { header: self.0.header_now(), leases }))
    }
}

/// Renews a lease. One that does not exist is answered with a TTL of 0.
async fn keep_alive(
    context: Arc<Context>,
    request: Result<LeaseKeepAliveRequest, Status>,
) -> Result<LeaseKeepAliveResponse, Status> {
    let id = request?.id;
    let header = context.header_now();
    let ttl = context.renewals.renew(id).await?;
    Ok(LeaseKeepAliveResponse { header, id, ttl })
}

/// What the leader says that a lease has left, in seconds; `None` where it has not begun to count.
async fn remaining(context: &Context, id: i64) -> Result<Option<i64>, Status> {
    let Some(calls) = context.node.leader_calls() else { return Ok(context.leases.remaining(id)) };
    let request = calls.request(LeaseRemainingRequest { id }, REMAINING_MAX);
    let answer = calls.client().lease_time_to_live(request).await.map_err(status::of_leader)?;
    Ok(answer.into_inner().remaining_seconds)
}
