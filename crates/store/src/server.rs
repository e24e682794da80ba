//! Starting a store, in order: directory, log, machine, raft, watches, services.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::raftsman_store_v1::command::Change;
use proto::raftsman_store_v1::{Found, Publish};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch as signal};

use crate::error::Error;
use crate::lease_clock::LeaseClock;
use crate::listener;
use crate::machine::{Machine, View};
use crate::marker::{self, Marker};
use crate::peers::Peers;
use crate::quota;
use crate::raft::log::{self, LogStore, OpenError};
use crate::raft::state::{self, Pruner, RocksDisk, StateDir};
use crate::raft::{Node, NodeConfig};
use crate::services::{self, Context, reflection};
use crate::tls::{self, Tls};
use crate::watch::{self, Hub};

/// Version of the behaviour that all members have in common.
const CLUSTER_VERSION: u32 = 1;
/// How long a member may take to have a leader and to announce itself.
const START_MAX: Duration = Duration::from_secs(30);

/// How to run a store.
#[derive(Debug, Default)]
pub struct Config {
    /// The member's name.
    pub name: String,
    /// Directory of log and state; made if need be.
    pub data_dir: PathBuf,
    /// Certificates of the client port; none is plaintext, which is allowed on a loopback address only.
    pub tls: Option<Tls>,
    /// URLs at which clients reach the member; empty: the listener's address.
    pub advertise_client: Vec<String>,
    /// The other members of the group; `None`: a member alone, without a peer port.
    pub peers: Option<Peers>,
    /// Told once the store serves.
    pub ready: Option<oneshot::Sender<Ready>>,
    /// Told whether this member leads.
    pub leads: Option<signal::Sender<bool>>,
}

/// A store that serves.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Address of the client port.
    pub address: SocketAddr,
    /// The member's id.
    pub member_id: u64,
    /// The group's id.
    pub cluster_id: u64,
}

/// Runs a store until `shutdown`; `listener` is the client port.
pub async fn run(
    mut config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let address = listener.local_addr()?;
    if config.tls.is_none() && !address.ip().is_loopback() {
        let reason = format!("{address} is no loopback address, so it needs TLS");
        return Err(Error::Stopped(reason));
    }
    if config.peers.is_some() {
        return Err(Error::Stopped("this version runs groups of one member".into()));
    }
    let tls = config.tls.as_ref().map(tls::server_config).transpose()?;
    if config.advertise_client.is_empty() {
        let scheme = if tls.is_some() { "https" } else { "http" };
        config.advertise_client.push(format!("{scheme}://{address}"));
    }
    let context = open(&config).await?;
    let router = router(&context).await?;
    let leases = context.leases.clone();
    let outcome = {
        let serve = serve(&context, listener, tls, router, &mut config, address, shutdown);
        tokio::select! {
            outcome = serve => outcome,
            () = leases.run(&context.node) => Ok(()),
            () = quota::watch(&context) => Ok(()),
            reason = context.node.failed() => Err(Error::Stopped(reason)),
        }
    };
    close(&context).await;
    outcome
}

async fn serve(
    context: &Arc<Context>,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: axum::Router,
    config: &mut Config,
    address: SocketAddr,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let announced = tokio::time::timeout(START_MAX, announce(context, config)).await;
    announced.map_err(|_| Error::Stopped("no leader came up; look at the other members".into()))??;
    let follow = config.leads.take().map(|leads| follow_leader(context.clone(), leads));
    if let Some(ready) = config.ready.take() {
        let cluster_id = context.view.shared().group.read().cluster_id;
        // Who started the store may not want to know.
        let _unheard = ready.send(Ready { address, member_id: context.node.id(), cluster_id }).is_err();
    }
    let hub = context.hub.clone();
    let stop = async move {
        shutdown.await;
        // Watches never end by themselves.
        hub.close();
    };
    listener::serve(listener, tls, router, stop).await;
    if let Some(follow) = follow {
        follow.abort();
    }
    Ok(())
}

/// Opens the data directory and starts raft on it.
async fn open(config: &Config) -> Result<Arc<Context>, Error> {
    let dir = config.data_dir.clone();
    let name = config.name.clone();
    let opened = tokio::task::spawn_blocking(move || open_disks(&dir, &name)).await;
    let (marker, log, machine, disk) = opened.map_err(|error| Error::Stopped(error.to_string()))??;
    let shared = machine.shared().clone();
    let view = View::new(shared.clone(), disk.clone());
    let (compactions, compacted) = signal::channel(shared.compacted());
    let (feed, news) = watch::feed(compactions);
    let hub = Hub::start(view.clone(), news)?;
    let pruned = Pruner::start(shared.clone(), disk.clone(), compacted)?;
    let worker = state::start(machine, disk, feed)?;
    let node = NodeConfig {
        id: marker.member_id,
        name: marker.name,
        peer_urls: Vec::new(),
        snapshots: config.data_dir.join("snapshots"),
    };
    let node = Node::start(node, log, worker).await.map_err(|error| Error::Stopped(error.to_string()))?;
    Ok(Arc::new(Context { node, view, hub, leases: LeaseClock::new(shared), pruned }))
}

type Disks = (Marker, LogStore, Machine<RocksDisk>, Arc<RocksDisk>);

fn open_disks(dir: &Path, name: &str) -> Result<Disks, Error> {
    let marker = marker::claim(dir, name, || rand::random_range(1..=u64::MAX))?;
    let (log_path, state_path) = (dir.join("log"), dir.join("state"));
    let log = log::open(&log_path).map_err(|error| refuse(dir, &log_path, error))?;
    let state_dir =
        StateDir::open(&state_path).map_err(|source| Error::DataDir { path: state_path.clone(), source })?;
    let disk = Arc::new(RocksDisk::open(state_dir).map_err(|error| refuse(dir, &state_path, error))?);
    let damaged = |reason: String| Error::Damaged { path: state_path.clone(), reason };
    let stored = disk.stored().map_err(|error| damaged(error.to_string()))?;
    let machine = Machine::open(disk.clone(), stored).map_err(|error| damaged(error.to_string()))?;
    let applied = machine.progress().applied.as_ref().map_or(0, |id| id.index);
    if log.purged() > applied {
        let purged = log.purged();
        return Err(damaged(format!("it ends at entry {applied}, but the log begins after entry {purged}")));
    }
    Ok((marker, log, machine, disk))
}

fn refuse(dir: &Path, path: &Path, error: OpenError) -> Error {
    match error {
        OpenError::Locked => Error::InUse { path: dir.to_owned() },
        OpenError::Damaged(reason) => Error::Damaged { path: path.to_owned(), reason },
        OpenError::Io(source) => Error::DataDir { path: path.to_owned(), source },
    }
}

/// Founds the group if it is new, and tells it how clients reach this member.
async fn announce(context: &Context, config: &Config) -> Result<(), Error> {
    let stopped = |error: crate::raft::ProposeError| Error::Stopped(error.to_string());
    if context.view.shared().group.read().cluster_id == 0 {
        let cluster_id = rand::random_range(1..=u64::MAX);
        let found = Found { cluster_id, cluster_version: CLUSTER_VERSION };
        context.node.propose(Change::Found(found)).await.map_err(stopped)?;
    }
    let publish = Publish {
        member_id: context.node.id(),
        name: config.name.clone(),
        client_urls: config.advertise_client.clone(),
    };
    context.node.propose(Change::Publish(publish)).await.map_err(stopped)?;
    Ok(())
}

fn follow_leader(context: Arc<Context>, leads: signal::Sender<bool>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut leadership = context.node.leadership();
        loop {
            let now = leadership.borrow_and_update().leader == Some(context.node.id());
            leads.send_if_modified(|known| std::mem::replace(known, now) != now);
            if leadership.changed().await.is_err() {
                return;
            }
        }
    })
}

async fn router(context: &Arc<Context>) -> Result<axum::Router, Error> {
    let grpc = services::routes(context).add_service(services::health().await);
    let (v1, v1alpha) = reflection::services().map_err(|error| Error::Stopped(error.to_string()))?;
    let grpc = grpc.add_service(v1).add_service(v1alpha);
    Ok(grpc.into_axum_router().merge(services::http(context.clone())))
}

/// Stops raft and flushes the state, so that the next start need not apply the log again.
async fn close(context: &Arc<Context>) {
    context.node.shutdown().await;
    let context = context.clone();
    let flushed = tokio::task::spawn_blocking(move || context.view.disk().flush()).await;
    if !matches!(flushed, Ok(Ok(()))) {
        tracing::warn!("the state was not flushed; the next start applies the log again");
    }
}
