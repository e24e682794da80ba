//! The peer port.

use std::sync::Arc;

use proto::raftsman_store_v1::group_server::GroupServer;
use proto::raftsman_store_v1::leader_server::LeaderServer;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::leader::LeaderService;
use crate::listener;
use crate::members::GroupService;
use crate::raft::MESSAGE_BYTES_MAX;
use crate::services::Context;

/// The port, served.
pub struct PeerPort {
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl PeerPort {
    /// Serves the others. Raft's calls are refused until the member is opened.
    pub fn start(context: &Arc<Context>, listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let leader = LeaderServer::new(LeaderService(context.clone()));
        let mut routes = tonic::service::Routes::builder();
        routes
            .add_service(context.node.service())
            .add_service(leader.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(GroupServer::new(GroupService(context.clone())));
        let router = routes.routes().into_axum_router();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(listener::serve(listener, tls, router, stopped));
        Self { stop, serving }
    }

    /// Ends the port. Streams of others end with it.
    pub async fn stop(self) {
        self.stop.cancel();
        self.serving.abort();
        // Aborted on purpose; a panic was logged by the runtime.
        drop(self.serving.await);
    }
}
