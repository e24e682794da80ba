//! `v3electionpb.Election`.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use proto::etcdserverpb::{PutRequest, RangeRequest, TxnRequest, WatchCreateRequest};
use proto::mvccpb::KeyValue;
use proto::v3electionpb::election_server::Election;
use proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::kv::put_op;
use super::ownership::Place;
use super::{Context, ownership, status};

/// Leaders that may wait for an observer.
const OBSERVED_LEN: usize = 16;

/// The election service.
pub struct ElectionService(pub Arc<Context>);

type Leaders = Pin<Box<dyn Stream<Item = Result<LeaderResponse, Status>> + Send>>;

fn missing_leader() -> Status {
    Status::unknown("\"leader\" field must be provided")
}

#[tonic::async_trait]
impl Election for ElectionService {
    async fn campaign(&self, request: Request<CampaignRequest>) -> Result<Response<CampaignResponse>, Status> {
        let CampaignRequest { name, lease, value } = request.into_inner();
        let lease = ownership::session(&self.0, lease).await?;
        let place = ownership::enter(&self.0, &name, lease, value.clone()).await?;
        let leader = LeaderKey { name: name.clone(), key: place.key.clone(), rev: place.created, lease };
        if place.found.as_ref().is_some_and(|found| *found != value) {
            proclaim(&self.0, &leader, value).await?;
        }
        ownership::wait_for_turn(&self.0, &name, &place).await?;
        if !place.owns {
            self.still_there(&place).await?;
        }
        Ok(Response::new(CampaignResponse { header: Some(self.0.header(place.revision)), leader: Some(leader) }))
    }

    async fn proclaim(&self, request: Request<ProclaimRequest>) -> Result<Response<ProclaimResponse>, Status> {
        let ProclaimRequest { leader, value } = request.into_inner();
        let mut leader = leader.ok_or_else(missing_leader)?;
        leader.lease = ownership::session(&self.0, leader.lease).await?;
        let revision = proclaim(&self.0, &leader, value).await?;
        Ok(Response::new(ProclaimResponse { header: Some(self.0.header(revision)) }))
    }

    async fn leader(&self, request: Request<LeaderRequest>) -> Result<Response<LeaderResponse>, Status> {
        let (revision, kv) = current(&self.0, &request.into_inner().name).await?;
        let kv = kv.ok_or_else(|| Status::unknown("election: no leader"))?;
        Ok(Response::new(LeaderResponse { header: Some(self.0.header(revision)), kv: Some(kv) }))
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
        let revision = ownership::leave(&self.0, leader.key, leader.rev).await?;
        Ok(Response::new(ResignResponse { header: Some(self.0.header(revision)) }))
    }
}

impl ElectionService {
    /// Fails when a candidate whose turn has come is no longer one, as by the end of its lease. (etcd calls it the
    /// leader all the same.)
    async fn still_there(&self, place: &Place) -> Result<(), Status> {
        let own = RangeRequest { key: place.key.clone(), ..Default::default() };
        let (_, kvs) = ownership::read(&self.0, own).await?;
        if kvs.first().is_none_or(|kv| kv.create_revision != place.created) {
            return Err(Status::unknown("election: session expired"));
        }
        Ok(())
    }
}

/// Replaces the leader's value, if it still leads; answers the revision.
async fn proclaim(context: &Arc<Context>, leader: &LeaderKey, value: Bytes) -> Result<i64, Status> {
    let key = leader.key.clone();
    let put = PutRequest { key: key.clone(), value, lease: leader.lease, ..Default::default() };
    let txn = TxnRequest {
        compare: vec![ownership::created_is(key, leader.rev)],
        success: vec![put_op(put)],
        failure: Vec::new(),
    };
    let response = ownership::transact(context, txn).await?;
    if !response.succeeded {
        return Err(Status::unknown("election: not leader"));
    }
    Ok(ownership::revision(&response))
}

/// The leader's pair, and the revision at which it led.
async fn current(context: &Arc<Context>, name: &[u8]) -> Result<(i64, Option<KeyValue>), Status> {
    let (revision, mut kvs) = ownership::read(context, ownership::owner(name)).await?;
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
        let (revision, kv) = current(context, name).await?;
        let version = kv.as_ref().map(|kv| (kv.create_revision, kv.mod_revision));
        if let Some(kv) = kv
            && version != told
        {
            let leader = LeaderResponse { header: Some(context.header(revision)), kv: Some(kv) };
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
