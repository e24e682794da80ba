//! A control-plane member: store, API server, controllers and scheduler in one process.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::agent::connect;
use super::apiserver::{self, Api, StoreClient};
use super::boxes::Boxes;
use super::group::{Limits, StorePorts};
use super::listen::Bound;
use super::metrics::Metrics;
use super::store::{self, Store};
use crate::failure::Failure;
use crate::pki::files::read;
use crate::pki::member::MemberFiles;

/// How long handing over leadership may hold up a stop.
const HAND_OVER_MAX: Duration = Duration::from_secs(10);

/// What a member is made of.
pub struct Member {
    pub name: String,
    pub store: StorePlace,
    /// None: plaintext.
    pub files: Option<MemberFiles>,
    pub api: Bound,
    pub allow_simulated_nodes: bool,
    /// How long a node may be silent before it counts as unreachable.
    pub node_grace: Duration,
    pub metrics: Metrics,
    /// Where all metrics are shown in plaintext, too.
    pub metrics_port: Option<Bound>,
}

/// Where the objects are kept.
pub enum StorePlace {
    /// In this process, as one member of a group.
    Own { data_dir: PathBuf, ports: Box<StorePorts>, limits: Limits },
    /// In an etcd cluster.
    Foreign(StoreClient),
}

/// Starts the member's boxes, each when the one that it needs is ready.
pub async fn start(boxes: &mut Boxes, member: Member) -> Result<(), Failure> {
    let Member { name, store, files, api, allow_simulated_nodes, node_grace, metrics, metrics_port } = member;
    metrics.serve(boxes, metrics_port);
    // The candidates beside the raft leader are the preferred ones; on a foreign store nobody is.
    let (leads, prefer) = watch::channel(false);
    let store = match store {
        StorePlace::Own { data_dir, ports, limits } => {
            let client = StoreClient::of_member(files.as_ref(), &ports.client.url, ports.others.clone());
            let (ask, hand_over) = oneshot::channel();
            let own = Store {
                name: name.clone(),
                data_dir,
                files: files.clone(),
                leads: Some(leads),
                hand_over: Some(hand_over),
                limits,
                ports: *ports,
                metrics: metrics.store.clone(),
            };
            store::start(boxes, own).await?;
            boxes.before_stop(hand_over_leadership(ask));
            client
        }
        StorePlace::Foreign(store) => store,
    };
    let url = api.url.clone();
    apiserver::start(
        boxes,
        Api { store, files: files.clone(), allow_simulated_nodes, metrics: metrics.plane.clone() },
        api,
    )
    .await?;

    let holder = format!("{name}-{}", uuid::Uuid::new_v4());
    let connect = || match &files {
        Some(files) => connect(Some(&files.path("control-plane.kubeconfig")), vec![url.clone()]),
        None => connect(None, vec![url.clone()]),
    };
    let (said, ready) = oneshot::channel();
    let config = controllers::Config {
        client: connect()?,
        holder: holder.clone(),
        prefer: prefer.clone(),
        node_grace,
        root_ca: files.as_ref().map(|files| read(&files.path("ca.crt"))).transpose()?.unwrap_or_default(),
        metrics: metrics.plane.clone(),
        ready: Some(said),
    };
    boxes.start("controllers", |stop| async move {
        controllers::run(config, stop).await;
        Ok::<(), Infallible>(())
    });
    boxes.ready(ready).await?;

    let (said, ready) = oneshot::channel();
    let config = scheduler::Config { client: connect()?, holder, prefer, metrics: metrics.plane, ready: Some(said) };
    boxes.start("scheduler", |stop| async move {
        scheduler::run(config, stop).await;
        Ok::<(), Infallible>(())
    });
    boxes.ready(ready).await
}

/// The first step of a graceful stop: while everything here still serves, another member takes the lead, and the
/// candidates beside that one the claims. So nobody waits for the end of a lease.
async fn hand_over_leadership(ask: oneshot::Sender<oneshot::Sender<()>>) {
    let (done, is_done) = oneshot::channel();
    if ask.send(done).is_ok() {
        // A store that ended meanwhile has nothing to hand over.
        let _ended = tokio::time::timeout(HAND_OVER_MAX, is_done).await;
    }
}
