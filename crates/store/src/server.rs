//! Starting a store, in order: directory, log, machine, raft, watches, services.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use proto::raftsman_store_v1::command::Change;
use proto::raftsman_store_v1::{Found, Publish};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch as signal};

use crate::auto_compaction::{self, AutoCompaction};
use crate::error::Error;
use crate::failpoint;
use crate::integrity;
use crate::lease_clock::LeaseClock;
use crate::listener;
use crate::machine::{Machine, View};
use crate::marker::Marker;
use crate::members::{self, Introduction, departure, tend};
use crate::metrics::{self, Gauges, Metrics, SharedRegistry};
use crate::peers::{self, PeerPort, Peers};
use crate::quota::Quota;
use crate::raft::log::{self, LogStore, OpenError};
use crate::raft::state::{Cached, Handle, Pruner, RocksDisk, SnapshotDir, StateDir};
use crate::raft::{Identity, Links, Node, NodeConfig, Pending, ProposeError};
use crate::renewals::Renewals;
use crate::services::{self, Context, gateway, reflection};
use crate::tls::{self, Tls};
use crate::watch::{self, Hub};

/// Version of the behaviour that all members have in common.
const CLUSTER_VERSION: u32 = 1;
/// How long a member that is alone may take to lead and to announce itself. One of several waits for the others.
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
    /// Bytes that the state may take before growth is refused; 0 is etcd's default of 2 GiB.
    pub quota_bytes: i64,
    /// Entries of the log between two snapshots; 0 is the default of 50,000. Members that lag further behind get a
    /// snapshot.
    pub snapshot_entries: u64,
    /// What history is forgotten by itself.
    pub auto_compaction: Option<AutoCompaction>,
    /// How often a watch that asked for it is told that it is level while nothing happens; zero is etcd's default of
    /// 10 minutes.
    pub progress_interval: Duration,
    /// Where the store's metrics are kept; what it holds is served on the client port.
    pub metrics: SharedRegistry,
    /// Told once the store serves.
    pub ready: Option<oneshot::Sender<Ready>>,
    /// Told whether this member leads.
    pub leads: Option<signal::Sender<bool>>,
    /// When told, the member gives leadership away for good, says so, and goes on serving; the shutdown does so too.
    pub hand_over: Option<oneshot::Receiver<oneshot::Sender<()>>>,
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
    failpoint::setup();
    let address = listener.local_addr()?;
    if config.tls.is_none() && !address.ip().is_loopback() {
        let reason = format!("{address} is no loopback address, so it needs TLS");
        return Err(Error::Stopped(reason));
    }
    let tls = config.tls.as_ref().map(tls::server_config).transpose()?;
    if config.advertise_client.is_empty() {
        let scheme = if tls.is_some() { "https" } else { "http" };
        config.advertise_client.push(format!("{scheme}://{address}"));
    }
    let peers = config.peers.take();
    let (accepting, calling) = peers.as_ref().map(peer_tls).transpose()?.flatten().unzip();
    let shutdown = shutdown.shared();
    let mut introduction = introduce(&config, peers.as_ref(), Arc::new(Links::new(calling)));
    let marker = tokio::select! {
        marker = members::arrive(&config.data_dir, &mut introduction) => marker?,
        () = shutdown.clone() => return Ok(()),
    };
    let context = open(&config, introduction, marker).await?;
    let router = router(&context)?;
    let alone = peers.is_none();
    let port = peers.map(|peers| PeerPort::start(&context, peers.listener, accepting));
    let hand_over = config.hand_over.take();
    let compaction = config.auto_compaction;
    let outcome = {
        let serve = async {
            tokio::select! {
                joined = join(&context, &config, alone) => joined?,
                () = shutdown.clone() => return Ok(()),
            }
            serve(&context, listener, tls, router, &mut config, address, shutdown).await
        };
        tokio::select! {
            outcome = serve => outcome,
            () = context.leases.run(&context.node) => Ok(()),
            () = context.renewals.run(&context) => Ok(()),
            () = context.quota.watch(&context) => Ok(()),
            reason = integrity::watch(&context) => Err(Error::Stopped(reason)),
            () = auto_compaction::run(&context, compaction) => Ok(()),
            () = count_leader_changes(&context) => Ok(()),
            () = hand_over_when_told(&context, hand_over) => Ok(()),
            () = tend::run(&context) => Ok(()),
            reason = departure::noticed(&context) => Err(Error::Group(reason)),
            reason = context.node.failed() => Err(Error::Stopped(reason)),
        }
    };
    close(&context, port).await;
    outcome
}

type PeerConfigs = (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>);

fn peer_tls(peers: &Peers) -> Result<Option<PeerConfigs>, Error> {
    let address = peers.listener.local_addr()?;
    match &peers.tls {
        Some(tls) => peers::configs(tls).map(Some),
        None if address.ip().is_loopback() => Ok(None),
        None => Err(Error::Stopped(format!("the peer port {address} is no loopback address, so it needs TLS"))),
    }
}

async fn hand_over_when_told(context: &Context, told: Option<oneshot::Receiver<oneshot::Sender<()>>>) {
    if let Some(told) = told
        && let Ok(done) = told.await
    {
        context.node.hand_over().await;
        // Who told it may not wait for it.
        let _unheard = done.send(()).is_err();
    }
    std::future::pending().await
}

/// Comes into the group and announces itself there.
async fn join(context: &Arc<Context>, config: &Config, alone: bool) -> Result<(), Error> {
    members::enter(context).await?;
    if !alone {
        announce(context, config).await?;
        members::voting(context).await;
        return members::readdress(context).await;
    }
    let announced = tokio::time::timeout(START_MAX, announce(context, config)).await;
    announced.map_err(|_| Error::Stopped("it does not become the leader of itself".into()))?
}

fn introduce(config: &Config, peers: Option<&Peers>, links: Arc<Links>) -> Introduction {
    match peers {
        Some(peers) => Introduction::of(config.name.clone(), peers, links),
        None => Introduction::alone(config.name.clone(), links),
    }
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
    let follow = config.leads.take().map(|leads| follow_leader(context.clone(), leads));
    if let Some(ready) = config.ready.take() {
        let cluster_id = context.view.shared().group.read().cluster_id;
        // Who started the store may not want to know.
        let _unheard = ready.send(Ready { address, member_id: context.node.id(), cluster_id }).is_err();
    }
    let closing = context.clone();
    let stop = async move {
        shutdown.await;
        // While clients are still served, so that their requests go on to the next leader.
        closing.node.hand_over().await;
        // Watches never end by themselves.
        closing.hub.close();
    };
    listener::serve(listener, tls, router, stop).await;
    if let Some(follow) = follow {
        follow.abort();
    }
    Ok(())
}

/// Opens the data directory and starts raft on it.
async fn open(config: &Config, introduction: Introduction, marker: Marker) -> Result<Arc<Context>, Error> {
    let dir = config.data_dir.clone();
    let metrics = Metrics::register(&mut config.metrics.lock());
    let counted = metrics.clone();
    let opened = tokio::task::spawn_blocking(move || open_disks(&dir, marker, &counted)).await;
    let Disks { marker, log, machine, disk, snapshots } =
        opened.map_err(|error| Error::Stopped(error.to_string()))??;
    let shared = machine.shared().clone();
    let view = View::new(shared.clone(), disk.clone());
    let (compactions, compacted) = signal::channel(shared.compacted().max(0));
    let (feed, news) = watch::feed(compactions);
    let (hub, threads) = Hub::start(view.clone(), news, config.progress_interval)?;
    let (pruned, pruner) = Pruner::start(shared.clone(), disk.clone(), compacted)?;
    let feed = feed.followed_by(threads).followed_by([pruner]);
    let pending = Pending::new(marker.member_id, rand::random());
    let worker = Handle::new(machine, disk.clone(), feed, pending.clone(), metrics.clone());
    let (dir, member_id, cluster_id) = (config.data_dir.clone(), marker.member_id, marker.cluster_id);
    let directory = marker.directory;
    let adopt = move |cluster_id| Marker { cluster_id, ..marker.clone() }.write(&dir);
    let node = NodeConfig {
        identity: Arc::new(Identity::new(member_id, cluster_id, Box::new(adopt))),
        links: introduction.links.clone(),
        snapshots: snapshots.clone(),
        snapshot_entries: config.snapshot_entries,
        pending,
        metrics: metrics.clone(),
    };
    let node = Node::start(node, log, worker).await.map_err(|error| Error::Stopped(error.to_string()))?;
    let leases = LeaseClock::new(shared.clone(), metrics.clone());
    let registry = config.metrics.clone();
    let quota = Quota::new(config.quota_bytes, &config.data_dir);
    let context = Arc::new(Context {
        introduction: Introduction { directory, ..introduction },
        changes: Default::default(),
        node,
        cached: View::new(shared.clone(), Arc::new(Cached(disk))),
        view,
        hub,
        leases,
        renewals: Renewals::default(),
        pruned,
        snapshots,
        quota,
        metrics,
        registry,
    });
    config.metrics.lock().register_collector(Box::new(Gauges::of(Arc::downgrade(&context))));
    Ok(context)
}

/// What a data directory holds, opened and checked.
struct Disks {
    marker: Marker,
    log: LogStore,
    machine: Machine<RocksDisk>,
    disk: Arc<RocksDisk>,
    snapshots: SnapshotDir,
}

/// Opens what lies under `dir`, and counts the start in the marker.
fn open_disks(dir: &Path, mut marker: Marker, metrics: &Metrics) -> Result<Disks, Error> {
    let (log_path, state_path) = (dir.join("log"), dir.join("state"));
    let log = log::open(&log_path, metrics).map_err(|error| refuse(dir, &log_path, error))?;
    log.claim(marker.member_id, marker.starts > 0).map_err(|error| refuse(dir, &log_path, error))?;
    let state_dir = StateDir::open(&state_path).map_err(|error| refuse(dir, &state_path, error.into()))?;
    let disk = Arc::new(RocksDisk::open(state_dir).map_err(|error| refuse(dir, &state_path, error))?);
    let damaged = |reason: String| Error::Damaged { path: state_path.clone(), reason };
    let stored = disk.stored().map_err(|error| damaged(error.to_string()))?;
    let machine = Machine::open(disk.clone(), stored).map_err(|error| damaged(error.to_string()))?;
    let applied = machine.progress().applied.as_ref().map_or(0, |id| id.index);
    if log.purged() > applied {
        let purged = log.purged();
        return Err(damaged(format!("it ends at entry {applied}, but the log begins after entry {purged}")));
    }
    let snapshots = open_snapshots(&dir.join("snapshots"))?;
    // A crash between the exchange of the state and the keeping of its snapshot leaves an older one, with which raft
    // can't start. Without any, raft makes one of the state.
    snapshots
        .discard_before(log.purged_under(applied))
        .map_err(|source| Error::DataDir { path: dir.join("snapshots"), source })?;
    let cluster_id = machine.progress().cluster_id;
    match (marker.cluster_id, cluster_id) {
        // Of a version that kept it there alone.
        (0, found) => marker.cluster_id = found,
        (own, found) if found != 0 && own != found => {
            return Err(damaged(format!("it belongs to the group {found:x}, this member to {own:x}")));
        }
        _ => {}
    }
    marker.starts += 1;
    marker.write(dir).map_err(|source| Error::DataDir { path: dir.to_owned(), source })?;
    Ok(Disks { marker, log, machine, disk, snapshots })
}

/// Snapshots are checked at the start, so that a damaged one is known before a member needs it.
fn open_snapshots(path: &Path) -> Result<SnapshotDir, Error> {
    let checked = SnapshotDir::open(path).and_then(|snapshots| snapshots.verify().map(|()| snapshots));
    checked.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Error::DamagedSnapshot { path: path.to_owned(), reason: error.to_string() },
        _ => Error::DataDir { path: path.to_owned(), source: error },
    })
}

fn refuse(dir: &Path, path: &Path, error: OpenError) -> Error {
    match error {
        OpenError::Locked => Error::InUse { path: dir.to_owned() },
        OpenError::Damaged(reason) => Error::Damaged { path: path.to_owned(), reason },
        OpenError::Io(source) => Error::DataDir { path: path.to_owned(), source },
    }
}

/// Tells the group its id, if it is new, and how clients reach this member. Tries until there is a leader.
async fn announce(context: &Context, config: &Config) -> Result<(), Error> {
    let publish = Publish {
        member_id: context.node.id(),
        name: config.name.clone(),
        client_urls: config.advertise_client.clone(),
        directory: context.introduction.directory,
        starts: context.introduction.starts,
        session: context.introduction.session,
    };
    loop {
        match try_announce(context, publish.clone()).await {
            Ok(()) => return Ok(()),
            Err(ProposeError::NoLeader | ProposeError::TimedOut | ProposeError::Unknown) => {}
            Err(ProposeError::Refused(failure)) => {
                return Err(Error::Group(services::status::failure(failure).message().to_owned()));
            }
            Err(error) => return Err(Error::Stopped(error.to_string())),
        }
        let members = context.node.members();
        let others = members.iter().filter(|member| member.id != context.node.id());
        let others: Vec<&str> = others.map(|member| member.name.as_str()).collect();
        tracing::info!("waiting for a leader; the other members are: {}", others.join(", "));
    }
}

async fn try_announce(context: &Context, publish: Publish) -> Result<(), ProposeError> {
    context.node.read_barrier().await.map_err(|_| ProposeError::NoLeader)?;
    if context.view.shared().group.read().cluster_id == 0 {
        let found = Found { cluster_id: context.node.identity().cluster(), cluster_version: CLUSTER_VERSION };
        context.node.propose(Change::Found(found)).await?;
    }
    context.node.propose(Change::Publish(publish)).await?;
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

/// Counts for as long as it is polled. The leader that is found at the start is a change too, as etcd has it.
async fn count_leader_changes(context: &Context) {
    let mut leadership = context.node.leadership();
    let mut last = None;
    loop {
        let leader = leadership.borrow_and_update().leader;
        if leader.is_some() && leader != last {
            context.metrics.leader_changes.inc();
            last = leader;
        }
        if leadership.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn router(context: &Arc<Context>) -> Result<axum::Router, Error> {
    let grpc = services::routes(context).add_service(services::health());
    let (v1, v1alpha) = reflection::services().map_err(|error| Error::Stopped(error.to_string()))?;
    let grpc = grpc.add_service(v1).add_service(v1alpha);
    let counted = axum::middleware::from_fn_with_state(context.metrics.clone(), metrics::count_rpc);
    let limited = axum::middleware::map_request(services::limit);
    let gate = axum::middleware::from_fn_with_state(context.clone(), services::learner::gate);
    let led = axum::middleware::from_fn_with_state(context.clone(), services::leader_required::gate);
    let worded = axum::middleware::from_fn(services::method);
    let grpc = grpc.into_axum_router().layer(worded).layer(led).layer(gate).layer(limited).layer(counted);
    let gateway = gateway::routes(grpc.clone()).map_err(|error| Error::Stopped(error.to_string()))?;
    Ok(grpc.merge(services::http(context.clone())).merge(gateway).fallback(services::nothing))
}

/// Stops raft and flushes the state, so that the next start need not apply the log again.
async fn close(context: &Arc<Context>, port: Option<PeerPort>) {
    context.node.shutdown().await;
    if let Some(port) = port {
        port.stop().await;
    }
    let context = context.clone();
    let flushed = tokio::task::spawn_blocking(move || context.view.disk().flush()).await;
    if !matches!(flushed, Ok(Ok(()))) {
        tracing::warn!("the state was not flushed; the next start applies the log again");
    }
}
