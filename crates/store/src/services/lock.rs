//! `v3lockpb.Lock`.

use std::sync::Arc;

use bytes::Bytes;
use proto::etcdserverpb::kv_server::Kv;
use proto::etcdserverpb::{DeleteRangeRequest, RangeRequest};
use proto::v3lockpb::lock_server::Lock;
use proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tonic::{Request, Response, Status};

use super::kv::KvService;
use super::{Context, ownership};

/// The lock service.
pub struct LockService(pub Arc<Context>);

#[tonic::async_trait]
impl Lock for LockService {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let LockRequest { name, lease } = request.into_inner();
        let lease = ownership::session(&self.0, lease).await?;
        let place = ownership::enter(&self.0, &name, lease, Bytes::new()).await?;
        ownership::wait_for_turn(&self.0, &name, &place).await?;
        let revision = if place.owns { place.revision } else { self.still_there(&place.key).await? };
        Ok(Response::new(LockResponse { header: Some(self.0.header(revision)), key: place.key }))
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockResponse>, Status> {
        let delete = DeleteRangeRequest { key: request.into_inner().key, ..Default::default() };
        let deleted = KvService(self.0.clone()).delete_range(Request::new(delete)).await;
        let deleted = deleted.map_err(ownership::refusal)?;
        Ok(Response::new(UnlockResponse { header: deleted.into_inner().header }))
    }
}

impl LockService {
    /// Revision at which the key of a lock is still there after its turn came. The lease may have ended meanwhile.
    async fn still_there(&self, key: &Bytes) -> Result<i64, Status> {
        let own = RangeRequest { key: key.clone(), ..Default::default() };
        match ownership::read(&self.0, own).await? {
            (revision, kvs) if !kvs.is_empty() => Ok(revision),
            _ => Err(Status::unknown("mutex: session is expired")),
        }
    }
}
