//! The etcd v3 services: one file each, over the same handful of things.

mod auth;
mod backup;
mod cluster;
mod election;
mod frames;
pub mod gateway;
mod health;
mod kv;
pub mod leader_required;
pub mod learner;
mod lease;
mod lock;
mod maintenance;
mod ownership;
mod proto_json;
pub mod reflection;
pub mod status;
mod watch;

use std::sync::Arc;

use prost::Message;
use proto::etcdserverpb::{AlarmType, RangeRequest, RangeResponse, ResponseHeader};
use proto::raftsman_store_v1::command::Change;
use tokio::sync::watch as signal;
use tonic::Status;

use crate::lease_clock::LeaseClock;
use crate::machine::{Failure, Refused, Reply, View};
use crate::members::Introduction;
use crate::metrics::{Metrics, SharedRegistry};
use crate::quota::Quota;
use crate::raft::Node;
use crate::raft::state::{Cached, RocksDisk, SnapshotDir};
use crate::renewals::Renewals;
use crate::watch::Hub;

pub use frames::limit;
pub use health::{health, http, method, nothing};

/// The version of etcd that the store speaks like.
pub const ETCD_VERSION: &str = "3.6.16";
/// The version that all members of the group have in common.
pub const CLUSTER_VERSION: &str = "3.6.0";

/// Bytes of a request that is proposed; etcd's default.
const REQUEST_BYTES_MAX: usize = 3 << 19;

/// What every service works with.
pub struct Context {
    /// Raft.
    pub node: Node,
    /// Reads.
    pub view: View<RocksDisk>,
    /// Reads of what is in memory.
    pub cached: View<Cached>,
    /// Watches.
    pub hub: Hub,
    /// When leases end.
    pub leases: Arc<LeaseClock>,
    /// Renewals on their way to the leader.
    pub renewals: Renewals,
    /// Who this member is to its peers.
    pub introduction: Introduction,
    /// Held while members are changed.
    pub changes: tokio::sync::Mutex<()>,
    /// Revision up to which garbage is gone.
    pub pruned: signal::Receiver<i64>,
    /// Where snapshots lie.
    pub snapshots: SnapshotDir,
    /// How much space there is.
    pub quota: Quota,
    /// What is counted.
    pub metrics: Metrics,
    /// What is served of it.
    pub registry: SharedRegistry,
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

    /// Whether this member's content was found to be another than the group's.
    pub fn is_corrupt(&self) -> bool {
        let own = (self.node.id(), AlarmType::Corrupt as i32);
        self.view.shared().group.read().alarms.contains(&own)
    }

    /// Waits until a read here sees everything that was acknowledged before.
    async fn read_barrier(&self) -> Result<(), Status> {
        let passed = self.node.read_barrier().await;
        if passed.is_err() {
            self.metrics.read_indexes_failed.inc();
        }
        passed.map_err(status::read)
    }

    /// Answers a range request at the state as it is here.
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        // A single key is mostly in memory, and read from there in less time than another thread takes to wake up.
        if request.range_end.is_empty()
            && !self.is_corrupt()
            && self.view.shared().readable()
            && let Ok(response) = self.cached.range(&request)
        {
            return Ok(response);
        }
        self.read(move |view| view.range(&request)).await
    }

    /// Reads the disk beside the runtime's threads.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View<RocksDisk>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Status> {
        if self.is_corrupt() {
            return Err(status::failure(Failure::Corrupt));
        }
        let view = self.view.clone();
        let answer = tokio::task::spawn_blocking(move || read(&view)).await;
        answer.map_err(|_| status::stopped())?.map_err(status::refused)
    }
}

/// Refuses a request that is too big to be proposed.
fn check_size(request: &impl Message) -> Result<(), Status> {
    if request.encoded_len() > REQUEST_BYTES_MAX {
        return Err(Status::invalid_argument("etcdserver: request is too large"));
    }
    Ok(())
}

/// All services, as routes.
pub fn routes(context: &Arc<Context>) -> tonic::service::Routes {
    use proto::etcdserverpb as etcd;
    use proto::{v3electionpb, v3lockpb};
    let election = v3electionpb::election_server::ElectionServer::new(election::ElectionService(context.clone()));
    let mut routes = tonic::service::Routes::builder();
    routes
        .add_service(etcd::kv_server::KvServer::new(kv::KvService(context.clone())))
        .add_service(watch::WatchService(context.clone()))
        .add_service(etcd::lease_server::LeaseServer::new(lease::LeaseService(context.clone())))
        .add_service(etcd::cluster_server::ClusterServer::new(cluster::ClusterService(context.clone())))
        .add_service(etcd::maintenance_server::MaintenanceServer::new(maintenance::MaintenanceService(context.clone())))
        .add_service(etcd::auth_server::AuthServer::new(auth::AuthService(context.clone())))
        .add_service(v3lockpb::lock_server::LockServer::new(lock::LockService(context.clone())))
        .add_service(election);
    routes.routes()
}
