//! `v3electionpb.Election`.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use proto::etcdserverpb::{PutRequest, RangeRequest, TxnRequest, WatchCreateRequest, range_request};
use proto::mvccpb::KeyValue;
use proto::raftsman_store_v1::command::Change;
use proto::v3electionpb::election_server::Election;
use proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::kv::put_op;
use super::{Context, ownership, status};
use crate::machine::Reply;

/// Leaders that may wait for an observer.
const OBSERVED_LEN: usize = 16;

/// The election service.
pub struct ElectionService(pub Arc<Context>);

type Leaders = Pin<Box<dyn Stream<Item = Result<LeaderResponse, Status>> + Send>>;

fn missing_leader() -> Status {
    Status::invalid_argument("\"leader\" field must be provided")
}

#[tonic::async_trait]
impl Election for ElectionService {
    async fn campaign(&self, request: Request<CampaignRequest>) -> Result<Response<CampaignResponse>, Status> {
        let CampaignRequest { name, lease, value } = request.into_inner();
        let (place, existed) = ownership::enter(&self.0, &name, lease, value.clone()).await?;
        let leader = LeaderKey { name: name.clone(), key: place.key.clone(), rev: place.created, lease };
        if existed {
            proclaim(&self.0, &leader, value).await?;
        }
        ownership::wait_for_turn(&self.0, &name, &place).await?;
        Ok(Response::new(CampaignResponse { header: self.0.header_now(), leader: Some(leader) }))
    }

    async fn proclaim(&self, request: Request<ProclaimRequest>) -> Result<Response<ProclaimResponse>, Status> {
        let ProclaimRequest { leader, value } = request.into_inner();
        proclaim(&self.0, &leader.ok_or_else(missing_leader)?, value).await?;
        Ok(Response::new(ProclaimResponse { header: self.0.header_now() }))
    }

    async fn leader(&self, request: Request<LeaderRequest>) -> Result<Response<LeaderResponse>, Status> {
        let (_, kv) = current(&self.0, &request.into_inner().name).await?;
        let kv = kv.ok_or_else(|| Status::unknown("election: no leader"))?;
        Ok(Response::new(LeaderResponse { header: self.0.header_now(), kv: Some(kv) }))
    }

    type ObserveStream = Leaders;

    async fn observe(&self, request: Request<LeaderRequest>) -> Result<Response<Leaders>, Status> {
        let (leaders, observed) = mpsc::channel(OBSERVED_LEN);
        let (context, name) = (self.0.clone(), request.into_inner().name);
        tokio::spawn(async move {
            if let Err(status) = observe(&context, &name, &leaders).await {
                // An observer that has gone away needs no reason.
                let _gone = leaders.send(Err(status)).await.is_err();
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(observed))))
    }

    async fn resign(&self, request: Request<ResignRequest>) -> Result<Response<ResignResponse>, Status> {
        let leader = request.into_inner().leader.ok_or_else(missing_leader)?;
        ownership::leave(&self.0, leader.key, Some(leader.rev)).await?;
        Ok(Response::new(ResignResponse { header: self.0.header_now() }))
    }
}

/// Replaces the leader's value, if it still leads.
async fn proclaim(context: &Arc<Context>, leader: &LeaderKey, value: Bytes) -> Result<(), Status> {
    let key = leader.key.clone();
    let put = PutRequest { key: key.clone(), value, lease: leader.lease, ..Default::default() };
    let txn = TxnRequest {
        compare: vec![ownership::created_is(key, leader.rev)],
        success: vec![put_op(put)],
        failure: Vec::new(),
    };
    match context.propose(Change::Txn(txn)).await? {
        Reply::Txn(response) if response.succeeded => Ok(()),
        Reply::Txn(_) => Err(Status::unknown("election: session expired")),
        _ => Err(status::mismatch()),
    }
}

/// The leader's pair, and the revision at which it led.
async fn current(context: &Arc<Context>, name: &[u8]) -> Result<(i64, Option<KeyValue>), Status> {
    let prefix = ownership::prefix(name);
    let request = RangeRequest {
        key: prefix.clone(),
        range_end: ownership::prefix_end(&prefix),
        limit: 1,
        sort_order: range_request::SortOrder::Ascend as i32,
        sort_target: range_request::SortTarget::Create as i32,
        ..Default::default()
    };
    let (revision, mut kvs) = ownership::read(context, request).await?;
    Ok((revision, kvs.pop()))
}

/// Tells the leader whenever anything changed in the election, until the observer goes away.
async fn observe(
    context: &Arc<Context>,
    name: &[u8],
    leaders: &mpsc::Sender<Result<LeaderResponse, Status>>,
) -> Result<(), Status> {
    let prefix = ownership::prefix(name);
    let (stream, mut changes) = context.hub.open();
    let watch = WatchCreateRequest { range_end: ownership::prefix_end(&prefix), key: prefix, ..Default::default() };
    stream.create(watch).await;
    let mut told: Option<(i64, i64)> = None;
    loop {
        let (_, kv) = current(context, name).await?;
        let version = kv.as_ref().map(|kv| (kv.create_revision, kv.mod_revision));
        if let Some(kv) = kv
            && version != told
        {
            let leader = LeaderResponse { header: context.header_now(), kv: Some(kv) };
            if leaders.send(Ok(leader)).await.is_err() {
                return Ok(());
            }
        }
        told = version;
        tokio::select! {
            change = changes.recv() => if change.is_none() { return Err(status::stopped()) },
            () = leaders.closed() => return Ok(()),
        }
    }
}
