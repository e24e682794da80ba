//! `v3lockpb.Lock`.

use std::sync::Arc;

use bytes::Bytes;
use proto::v3lockpb::lock_server::Lock;
use proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tonic::{Request, Response, Status};

use super::{Context, ownership};

/// The lock service.
pub struct LockService(pub Arc<Context>);

#[tonic::async_trait]
impl Lock for LockService {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let LockRequest { name, lease } = request.into_inner();
        let (place, _) = ownership::enter(&self.0, &name, lease, Bytes::new()).await?;
        ownership::wait_for_turn(&self.0, &name, &place).await?;
        Ok(Response::new(LockResponse { header: self.0.header_now(), key: place.key }))
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockResponse>, Status> {
        ownership::leave(&self.0, request.into_inner().key, None).await?;
        Ok(Response::new(UnlockResponse { header: self.0.header_now() }))
    }
}
