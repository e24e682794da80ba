//! The etcd v3 services: one file each, over the same handful of things.

mod auth;
mod cluster;
mod election;
mod health;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod ownership;
pub mod reflection;
mod status;
mod watch;

use std::sync::Arc;

use prost::Message;
use proto::etcdserverpb::ResponseHeader;
use proto::raftsman_store_v1::command::Change;
use tokio::sync::watch as signal;
use tonic::Status;

use crate::lease_clock::LeaseClock;
use crate::machine::{Refused, Reply, View};
use crate::raft::Node;
use crate::raft::state::RocksDisk;
use crate::watch::Hub;

pub use health::{health, http};

/// The version of etcd that the store speaks like.
pub const ETCD_VERSION: &str = "3.6.5";
/// The version that all members of the group have in common.
pub const CLUSTER_VERSION: &str = "3.6.0";

/// Bytes of a request that is proposed; etcd's default.
const REQUEST_BYTES_MAX: usize = 3 << 19;
/// Bytes of a message that etcd takes at all.
const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// Bytes of a message that is read, so that one that is too big gets etcd's answer, not the transport's.
const DECODE_BYTES_MAX: usize = 16 << 20;

/// What every service works with.
pub struct Context {
    /// Raft.
    pub node: Node,
    /// Reads.
    pub view: View<RocksDisk>,
    /// Watches.
    pub hub: Hub,
    /// When leases end.
    pub leases: Arc<LeaseClock>,
    /// Revision up to which garbage is gone.
    pub pruned: signal::Receiver<i64>,
}

impl Context {
    /// A header with everything filled in but the revision.
    fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.view.shared().group.read().cluster_id,
            member_id: self.node.id(),
            revision,
            raft_term: self.node.status().leadership.term,
        }
    }

    /// A header at the newest revision.
    fn header_now(&self) -> Option<ResponseHeader> {
        Some(self.header(self.view.shared().visible()))
    }

    /// Adds who answers to a header of the machine.
    fn sign(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or_else(|| self.view.shared().visible(), |header| header.revision);
        *header = Some(self.header(revision));
    }

    /// Proposes a change.
    async fn propose(&self, change: Change) -> Result<Reply, Status> {
        self.node.propose(change).await.map_err(status::propose)
    }

    /// Waits until a read here sees everything that was acknowledged before.
    async fn read_barrier(&self) -> Result<(), Status> {
        self.node.read_barrier().await.map_err(status::read)
    }

    /// Reads the disk beside the runtime's threads.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View<RocksDisk>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Status> {
        let view = self.view.clone();
        let answer = tokio::task::spawn_blocking(move || read(&view)).await;
        answer.map_err(|_| status::stopped())?.map_err(status::refused)
    }
}

/// Refuses a request that is too big to be proposed.
fn check_size(request: &impl Message) -> Result<(), Status> {
    let bytes = request.encoded_len();
    if bytes > MESSAGE_BYTES_MAX {
        let text = format!("grpc: received message larger than max ({bytes} vs. {MESSAGE_BYTES_MAX})");
        return Err(Status::resource_exhausted(text));
    }
    if bytes > REQUEST_BYTES_MAX {
        return Err(Status::invalid_argument("etcdserver: request is too large"));
    }
    Ok(())
}

/// All services, as routes.
pub fn routes(context: &Arc<Context>) -> tonic::service::Routes {
    use proto::etcdserverpb as etcd;
    use proto::{v3electionpb, v3lockpb};
    let kv = etcd::kv_server::KvServer::new(kv::KvService(context.clone()));
    let election = v3electionpb::election_server::ElectionServer::new(election::ElectionService(context.clone()));
    let mut routes = tonic::service::Routes::builder();
    routes
        .add_service(kv.max_decoding_message_size(DECODE_BYTES_MAX))
        .add_service(etcd::watch_server::WatchServer::new(watch::WatchService(context.clone())))
        .add_service(etcd::lease_server::LeaseServer::new(lease::LeaseService(context.clone())))
        .add_service(etcd::cluster_server::ClusterServer::new(cluster::ClusterService(context.clone())))
        .add_service(etcd::maintenance_server::MaintenanceServer::new(maintenance::MaintenanceService(context.clone())))
        .add_service(etcd::auth_server::AuthServer::new(auth::AuthService(context.clone())))
        .add_service(v3lockpb::lock_server::LockServer::new(lock::LockService(context.clone())))
        .add_service(election);
    routes.routes()
}
