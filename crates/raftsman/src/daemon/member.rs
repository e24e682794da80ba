//! A control-plane member: store, API server, controllers and scheduler in one process.

use std::convert::Infallible;
use std::path::PathBuf;

use tokio::sync::{oneshot, watch};

use super::agent::connect;
use super::apiserver::{self, Api, StoreClient};
use super::boxes::Boxes;
use super::listen::Bound;
use super::store::{self, Store};
use crate::failure::Failure;
use crate::pki::files::read;
use crate::pki::member::MemberFiles;

/// What a member is made of.
pub struct Member {
    pub name: String,
    pub store: StorePlace,
    pub files: MemberFiles,
    pub api: Bound,
    pub allow_simulated_nodes: bool,
    pub metrics: Option<Bound>,
}

/// Where the objects are kept.
pub enum StorePlace {
    /// In this process.
    Own { data_dir: PathBuf, client: Bound },
    /// In an etcd cluster.
    Foreign(StoreClient),
}

/// Starts the member's boxes, each when the one that it needs is ready.
pub async fn start(boxes: &mut Boxes, member: Member) -> Result<(), Failure> {
    let Member { name, store, files, api, allow_simulated_nodes, metrics } = member;
    // The candidates beside the raft leader are the preferred ones; on a foreign store nobody is.
    let (leads, prefer) = watch::channel(false);
    let store = match store {
        StorePlace::Own { data_dir, client } => {
            let endpoints = StoreClient::of_member(&files, vec![client.url.clone()]);
            let own = Store { name: name.clone(), data_dir, files: files.clone(), leads: Some(leads) };
            store::start(boxes, own, client).await?;
            endpoints
        }
        StorePlace::Foreign(store) => store,
    };
    let url = api.url.clone();
    apiserver::start(boxes, Api { store, files: files.clone(), allow_simulated_nodes, metrics }, api).await?;

    let kubeconfig = files.path("control-plane.kubeconfig");
    let holder = format!("{name}-{}", uuid::Uuid::new_v4());
    let (said, ready) = oneshot::channel();
    let config = controllers::Config {
        client: connect(&kubeconfig, vec![url.clone()])?,
        holder: holder.clone(),
        prefer: prefer.clone(),
        root_ca: read(&files.path("ca.crt"))?,
        ready: Some(said),
    };
    boxes.start("controllers", |stop| async move {
        controllers::run(config, stop).await;
        Ok::<(), Infallible>(())
    });
    boxes.ready(ready).await?;

    let (said, ready) = oneshot::channel();
    let config = scheduler::Config { client: connect(&kubeconfig, vec![url])?, holder, prefer, ready: Some(said) };
    boxes.start("scheduler", |stop| async move {
        scheduler::run(config, stop).await;
        Ok::<(), Infallible>(())
    });
    boxes.ready(ready).await
}
