//! `WatchService/Progress`: the caller's watches on that connection get a bookmark at the store's current revision.

use std::sync::Arc;

use proto::raftsman_v1::watch_service_server::WatchService;
use proto::raftsman_v1::{ProgressRequest, ProgressResponse};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::grpc;
use crate::registry::Registry;

/// One connection; the listener puts it into the extensions of each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The revision that the connection's watches shall bookmark.
    progress: Arc<watch::Sender<i64>>,
}

impl Connection {
    pub(crate) fn new() -> Self {
        Connection { progress: Arc::new(watch::Sender::new(0)) }
    }
}

/// Where a watch of this connection hears of progress.
pub(super) fn of(extensions: &http::Extensions) -> Option<watch::Receiver<i64>> {
    extensions.get::<Connection>().map(|connection| connection.progress.subscribe())
}

pub(super) struct Service(pub Arc<Registry>);

#[tonic::async_trait]
impl WatchService for Service {
    async fn progress(&self, request: Request<ProgressRequest>) -> Result<Response<ProgressResponse>, Status> {
        if !super::context(request.extensions()).identity.in_group(crate::auth::AUTHENTICATED) {
            return Err(grpc(api::status::unauthorized()));
        }
        let revision = self.0.caches.consistent().await.map_err(grpc)?;
        if let Some(connection) = request.extensions().get::<Connection>() {
            connection.progress.send_replace(revision);
        }
        Ok(Response::new(ProgressResponse { revision }))
    }
}
