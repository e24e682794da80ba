//! The controllers: each watches objects, decides what follows from them, and commits it (design D3).
//!
//! ```text
//!  informers (shared) --keys--> queue --> driver: plan = observe + decide (pure) --> Commit, fenced --> events
//!                                 ^                                                    |
//!                                 +---------------- when the informers know of it ----+
//! ```
//!
//! One claim, `controllers`, stands for all of them: its holder decides, everyone else keeps its informers warm.

pub mod cronjob;
pub mod driver;
pub mod footing;
pub mod garbage;
pub mod informers;
pub mod job;
mod metrics;
pub mod namespace;
pub mod node;
pub mod object_view;
pub mod plan;
pub mod pod_view;
mod standby;
pub mod ttl;

use std::sync::Arc;
use std::time::Duration;

use client::election::{self, Candidacy};
use client::{Client, Fence, Recorder, SharedRegistry, WorkQueue};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::driver::{Context, Controller};
use crate::informers::Informers;
use crate::metrics::Metrics;

/// The claim that the active controllers hold.
pub const CLAIM: &str = "controllers";
/// How long the claim outlives controllers that vanished.
const LEASE_SECONDS: i32 = 10;

/// What the controllers need.
pub struct Config {
    pub client: Client,
    /// Who we are, for people: the host's or a member's name.
    pub holder: String,
    /// While true, the claim is taken from whoever holds it (design D4).
    pub prefer: watch::Receiver<bool>,
    /// The API's certificate authority as PEM: what the ConfigMap `kube-root-ca.crt` of each namespace says.
    pub root_ca: String,
    /// Where metrics are kept.
    pub metrics: SharedRegistry,
    /// How long a node may be silent before it counts as unreachable.
    pub node_grace: Duration,
    /// Told when all that is needed is known here; leading or standing by.
    pub ready: Option<oneshot::Sender<()>>,
}

/// Runs all controllers until `shutdown`, then gives the claim up.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) {
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            shutdown.await;
            stop.cancel();
        }
    });
    let candidacy = Candidacy { claim: CLAIM.to_owned(), holder: config.holder.clone(), lease_seconds: LEASE_SECONDS };
    // Held until the drivers have finished what is under way.
    let release = CancellationToken::new();
    let (fence, elector) = election::run(config.client.clone(), candidacy, config.prefer, release.clone());
    let informers = Arc::new(Informers::start(&config.client, &release));
    let manager = Manager {
        metrics: Metrics::register(&config.metrics, &informers, fence.clone()),
        informers,
        client: config.client,
        holder: config.holder,
        fence,
        release: release.clone(),
        stop: stop.clone(),
    };
    let drivers = manager.start(config.root_ca, config.node_grace);
    if stop.run_until_cancelled(manager.informers.synced()).await.is_some()
        && let Some(ready) = config.ready
    {
        // Nobody may be waiting for it any more.
        ready.send(()).unwrap_or_default();
    }
    drivers.join_all().await;
    release.cancel();
    if elector.await.is_err() {
        tracing::warn!("the elector ended by a panic");
    }
}

struct Manager {
    client: Client,
    holder: String,
    fence: watch::Receiver<Option<Fence>>,
    informers: Arc<Informers>,
    release: CancellationToken,
    stop: CancellationToken,
    metrics: Metrics,
}

impl Manager {
    fn start(&self, root_ca: String, node_grace: Duration) -> JoinSet<()> {
        let informers = &self.informers;
        let mut drivers = JoinSet::new();
        self.drive(&mut drivers, "job-controller", |queue| Arc::new(job::JobController::start(informers, queue)));
        self.drive(&mut drivers, "cronjob-controller", |queue| Arc::new(cronjob::CronJobs::start(informers, queue)));
        self.drive(&mut drivers, "ttl-after-finished-controller", |queue| Arc::new(ttl::Ttl::start(informers, queue)));
        self.drive(&mut drivers, "garbage-collector", |queue| Arc::new(garbage::Garbage::start(informers, queue)));
        self.drive(&mut drivers, "node-controller", |queue| Arc::new(node::Nodes::start(informers, queue, node_grace)));
        self.drive(&mut drivers, "namespace-controller", |queue| {
            Arc::new(namespace::Namespaces::start(informers, queue, root_ca))
        });
        drivers
    }

    /// Starts one controller; `component` signs its events and names its metrics.
    fn drive<C: Controller>(
        &self,
        drivers: &mut JoinSet<()>,
        component: &'static str,
        start: impl FnOnce(WorkQueue<String>) -> Arc<C>,
    ) {
        let queue = WorkQueue::measured(component, &self.metrics.queues);
        let fence = Some(self.fence.clone());
        let recorder = Recorder::start(self.client.clone(), component, &self.holder, fence, self.release.clone());
        let context = Context {
            client: self.client.clone(),
            fence: self.fence.clone(),
            informers: self.informers.clone(),
            recorder,
            metrics: self.metrics.of(component),
        };
        let controller = start(queue.clone());
        drivers.spawn(driver::run(controller, queue, context, self.stop.clone()));
    }
}
