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
use fence::Fence;
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
/// How long a report may hold up the next renewal, and how much longer for each node.
const REPORT_WITHIN: Duration = Duration::from_secs(5);
const REPORT_WITHIN_EACH: Duration = Duration::from_millis(20);
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
    let fence = Arc::new(Fence::default());
    let shared = Arc::new(Shared {
        containers: Containers {
            runtime: runtime.clone(),
            client: client.clone(),
            images,
            capacity: identity.capacity,
        },
        reporter: reporter.clone(),
        teller: worker::Teller { recorder },
        fence: fence.clone(),
    });
    let alive = Alive { client, identity, lease_file, fence: &fence };
    tokio::join!(
        alive.keep(),
        reporter.run(client.clone()),
        pods::Pods::new(client.clone(), shared.clone(), nodes).run(),
        output::serve::serve(client, &identity.names, runtime),
    );
}

/// What keeps the nodes alive in the eyes of the control plane and of the shims.
struct Alive<'a> {
    client: &'a Client,
    identity: &'a Identity,
    lease_file: &'a Path,
    fence: &'a Fence,
}

impl Alive<'_> {
    /// Renews the leases, and reports the nodes' statuses now and then and whenever the control plane needs to be told.
    async fn keep(&self) {
        let mut leases = LeaseKeeper::new(self.client.clone(), self.identity.names.clone());
        let mut reported = tokio::time::Instant::now();
        let mut renewed = tokio::time::Instant::now();
        loop {
            let result = leases.renew().await;
            if let Some(error) = &result.error {
                tracing::warn!(%error, "the node's lease was not renewed");
            }
            let is_alive = result.all_at.is_some_and(|sent| self.note(sent));
            let outage = renewed.elapsed();
            if is_alive {
                renewed = tokio::time::Instant::now();
            }
            let may_be_doubted = is_alive && outage >= OUTAGE;
            let report_is_due = is_alive && (result.doubted || reported.elapsed() >= REPORT_EVERY);
            if (may_be_doubted || report_is_due || result.unregistered) && self.report().await {
                reported = tokio::time::Instant::now();
            }
            tokio::time::sleep(if is_alive { self.fence.renew_every() } else { RETRY }).await;
        }
    }

    /// A renewal counts when the shims know of it.
    fn note(&self, sent: u64) -> bool {
        let noted = self.fence.renewed(self.lease_file, sent);
        if let Err(error) = &noted {
            tracing::error!(%error, "cannot tell the shims of the lease; containers will end by their fence");
        }
        noted.is_ok()
    }

    /// False: it could not be reported. Renewals wait for it, so it must not take long.
    async fn report(&self) -> bool {
        let within = REPORT_WITHIN + REPORT_WITHIN_EACH * u32::try_from(self.identity.names.len()).unwrap_or(u32::MAX);
        let server = self.client.server().clone();
        match tokio::time::timeout(within, node::register(self.client, self.identity, Utc::now())).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::warn!(%error, "cannot report this node's status"),
            Err(_) => {
                tracing::warn!(server = %server.url, "this node's status is not answered");
                self.client.move_on(&server);
            }
        }
        false
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
