//! A node: registers itself, pulls its Pods, runs their containers and reports how they fare (design D7).
//!
//! ```text
//!             API servers
//!      ▲           │ watch            ▲ batches of statuses        ▲ output
//!      │ lease     ▼                  │                            │
//!  node::lease   pods ── Pod ──▶ worker (one a Pod) ──▶ report   output::serve
//!                                  │        ▲
//!                                  ▼        │ exit
//!                                runtime: process (one raftsman-shim a container) | simulated
//! ```
//!
//! It dials out only. Whatever must survive it lies in its runtime's records, so it may be killed and started anew at any time.

mod containers;
mod fence;
pub mod launch;
pub mod node;
mod output;
mod pods;
mod report;
pub mod runtime;
pub mod worker;

use std::collections::HashMap;
use std::future::Future;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use client::{Client, Recorder};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use containers::Containers;
use launch::image::{ImageError, Images};
use node::capacity::Capacity;
use node::{Identity, LeaseKeeper};
use report::Reporter;
use runtime::process::ProcessRuntime;
use runtime::simulated::SimulatedRuntime;
use runtime::{Runtime, RuntimeError};
use worker::Shared;
use worker::status::NodeFacts;

/// Which runtime runs the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    Process,
    Simulated,
}

pub struct Config {
    pub client: client::Config,
    /// More than one only with the simulated runtime.
    pub nodes: Vec<String>,
    pub data_dir: PathBuf,
    pub runtime: RuntimeKind,
    pub max_pods: u32,
    /// Image names with the root filesystems that they mean.
    pub image_roots: Vec<(String, PathBuf)>,
    /// The program `raftsman-shim`.
    pub shim: PathBuf,
    /// The Kubernetes version to report.
    pub version: String,
    /// Whether containers end with this process, as they do in `raftsman dev`.
    pub end_containers: bool,
    /// Told once the nodes are registered.
    pub ready: Option<oneshot::Sender<()>>,
}

/// Why an agent can't run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("{path}: {source}", path = path.display())]
    DataDir { path: PathBuf, source: std::io::Error },
}

const RETRY: Duration = Duration::from_secs(1);
/// Node statuses carry little news; the lease is the sign of life.
const REPORT_EVERY: Duration = Duration::from_secs(300);
/// After an outage this long the control plane may have marked the nodes as unknown.
const OUTAGE: Duration = Duration::from_secs(30);

/// Runs the nodes until `shutdown`.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let failed = |source| Error::DataDir { path: config.data_dir.clone(), source };
    // Records hold the variables that Pods took from Secrets.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir).map_err(failed)?;
    let lease_file = config.data_dir.join("lease");
    fence::drop_stale(&lease_file).map_err(failed)?;
    let client = Client::connect(&config.client)?;
    let images = Images::load(&config.image_roots)?;
    let (runtime, capacity): (Arc<dyn Runtime>, Capacity) = match config.runtime {
        RuntimeKind::Process => (
            Arc::new(ProcessRuntime::open(&config.data_dir, config.shim.clone())?),
            Capacity::of_this_machine(&config.data_dir, config.max_pods).map_err(failed)?,
        ),
        RuntimeKind::Simulated => (Arc::new(SimulatedRuntime::default()), Capacity::simulated(config.max_pods)),
    };
    let identity = Identity {
        names: config.nodes.clone(),
        ip: node::own_address(config.client.servers.first().map_or("", String::as_str)).to_string(),
        capacity,
        runtime_version: format!("{}://{}", runtime.name(), env!("CARGO_PKG_VERSION")),
        version: config.version.clone(),
    };
    let token = CancellationToken::new();
    let work = work(&client, &identity, runtime.clone(), images, &lease_file, token.clone());
    let ready = config.ready;
    tokio::select! {
        () = work_when_registered(work, &client, &identity, ready) => {}
        () = shutdown => {}
    }
    token.cancel();
    if config.end_containers {
        end_all(&*runtime).await;
    }
    Ok(())
}

/// Nothing is run for a node that does not exist.
async fn work_when_registered(
    work: impl Future<Output = ()>,
    client: &Client,
    identity: &Identity,
    ready: Option<oneshot::Sender<()>>,
) {
    while let Err(error) = node::register(client, identity, Utc::now()).await {
        tracing::warn!(%error, "cannot register this node; trying again");
        tokio::time::sleep(RETRY).await;
    }
    if let Some(ready) = ready {
        // Whoever asked may have gone.
        let _ = ready.send(());
    }
    work.await;
}

/// Everything that goes on side by side in a registered node.
async fn work(
    client: &Client,
    identity: &Identity,
    runtime: Arc<dyn Runtime>,
    images: Images,
    lease_file: &Path,
    token: CancellationToken,
) {
    let host = identity.names.first().cloned().unwrap_or_default();
    let recorder =
        (!runtime.is_simulated()).then(|| Recorder::start(client.clone(), "agent", &host, None, token.clone()));
    let reporter = Arc::new(Reporter::default());
    let facts = Arc::new(NodeFacts { ip: identity.ip.clone(), runtime: runtime.name() });
    let nodes: HashMap<_, _> = identity.names.iter().map(|name| (name.clone(), facts.clone())).collect();
    let shared = Arc::new(Shared {
        containers: Containers {
            runtime: runtime.clone(),
            client: client.clone(),
            images,
            capacity: identity.capacity,
        },
        reporter: reporter.clone(),
        teller: worker::Teller { recorder },
    });
    // The first renewal comes before the first container: its shim holds the deadline from then on.
    let mut leases = LeaseKeeper::new(client.clone(), identity.names.clone());
    renew(&mut leases, lease_file).await;
    tokio::join!(
        keep_alive(client, identity, &mut leases, lease_file),
        reporter.run(client.clone()),
        pods::Pods::new(client.clone(), shared.clone(), nodes).run(),
        output::serve::serve(client, &identity.names, runtime),
    );
}

/// True when every lease was renewed.
async fn renew(leases: &mut LeaseKeeper, lease_file: &Path) -> bool {
    let renewed = leases.renew().await;
    if let Some(error) = &renewed.error {
        tracing::warn!(%error, "the node's lease was not renewed");
    }
    let Some(sent) = renewed.all_at else { return false };
    if let Err(error) = fence::renewed(lease_file, sent) {
        tracing::error!(%error, "cannot tell the shims of the lease; containers will end by their fence");
    }
    true
}

/// Renews leases and now and then reports the nodes' statuses.
async fn keep_alive(client: &Client, identity: &Identity, leases: &mut LeaseKeeper, lease_file: &Path) {
    let mut ticks = tokio::time::interval(node::RENEW_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut reported = tokio::time::Instant::now();
    let mut renewed = tokio::time::Instant::now();
    loop {
        ticks.tick().await;
        let mut is_alive = renew(leases, lease_file).await;
        while !is_alive {
            tokio::time::sleep(RETRY).await;
            is_alive = renew(leases, lease_file).await;
        }
        let outage = renewed.elapsed();
        renewed = tokio::time::Instant::now();
        if outage >= OUTAGE || reported.elapsed() >= REPORT_EVERY {
            match node::register(client, identity, Utc::now()).await {
                Ok(()) => reported = tokio::time::Instant::now(),
                Err(error) => tracing::warn!(%error, "cannot report this node's status"),
            }
        }
    }
}

/// How long containers have when they end with the process.
const END_GRACE: Duration = Duration::from_secs(5);

async fn end_all(runtime: &dyn Runtime) {
    let uids = runtime.recorded().await.unwrap_or_default();
    let mut running = Vec::new();
    for uid in uids {
        let metadata = proto::meta_v1::ObjectMeta { uid, ..Default::default() };
        let pod = proto::core_v1::Pod { metadata: Some(metadata), ..Default::default() };
        let found = runtime.recover(&pod).await.unwrap_or_default();
        running.extend(found.into_iter().filter(|(_, run)| matches!(run, worker::life::Run::Running { .. })));
    }
    for (id, _) in &running {
        runtime.stop(id, END_GRACE).await;
    }
    for (id, _) in &running {
        runtime.wait(id).await;
    }
}
