//! `raftsman dev`: a whole cluster on this machine, the embedded default.

use std::path::PathBuf;

use chrono::Utc;
use clap::Args;

use super::agent::{self, Node, NodeArgs};
use super::boxes::Boxes;
use super::group::{Limits, StorePorts};
use super::member::{self, Member, StorePlace};
use super::metrics::Metrics;
use super::ready::Ready;
use super::{Common, listen, place};
use crate::failure::Failure;
use crate::pki::cluster;
use crate::shutdown;

#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    #[command(flatten)]
    pub common: Common,
    /// Where everything is kept [default: $XDG_STATE_HOME/raftsman, else ~/.local/state/raftsman]
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Where the API listens, REST and gRPC alike; port 0 draws one
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_API", default_value = "127.0.0.1:6443")]
    listen_api: String,
    /// Where the store serves etcd clients
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_CLIENT", default_value = "127.0.0.1:2379")]
    listen_client: String,
    #[command(flatten)]
    node: NodeArgs,
}

pub async fn run(args: DevArgs) -> Result<(), Failure> {
    args.node.check()?;
    let data = match &args.data_dir {
        Some(data) => data.clone(),
        None => default_data_dir()?,
    };
    let _held = place::take(&data)?;
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    let files = cluster::ensure_dev(&data, Utc::now())?;
    let api = listen::bind("--listen-api", &args.listen_api, true).await?;
    let client = listen::bind("--listen-client", &args.listen_client, true).await?;

    let kubeconfig = data.join("admin.kubeconfig");
    cluster::point_at(&kubeconfig, &api.url)?;
    cluster::point_at(&files.path("control-plane.kubeconfig"), &api.url)?;
    let identity = match args.node.is_simulated() {
        true => cluster::Node::Simulated,
        false => cluster::Node::Named(&args.node.name()?),
    };
    let node_kubeconfig = cluster::ensure_node(&files, &identity, &api.url, Utc::now())?;
    let ready =
        Ready::default().with("api", &api.url).with("client", &client.url).with("kubeconfig", kubeconfig.display());

    let mut boxes = Boxes::default();
    let ports = StorePorts { advertise_client: client.url.clone(), client, others: Vec::new(), peers: None };
    let member = Member {
        name: "dev".to_owned(),
        store: StorePlace::Own { data_dir: data.join("store"), ports: Box::new(ports), limits: Limits::default() },
        files: Some(files),
        api,
        allow_simulated_nodes: args.node.is_simulated(),
        node_grace: controllers::node::GRACE,
        metrics: Metrics::default(),
        metrics_port: None,
    };
    let node = Node {
        data_dir: data.join("agent"),
        kubeconfig: Some(node_kubeconfig),
        servers: Vec::new(),
        args: args.node,
        // Nobody comes back for the containers of a cluster that was tried out.
        end_containers: true,
    };
    let started = async {
        member::start(&mut boxes, member).await?;
        agent::start(&mut boxes, node).await?;
        ready.say()
    };
    tokio::select! {
        started = started => if let Err(failure) = started {
            return Err(boxes.abandon(failure).await);
        },
        () = shutdown.cancelled() => return boxes.stop().await,
    }
    boxes.run(shutdown).await
}

/// `$XDG_STATE_HOME/raftsman`, else `~/.local/state/raftsman`.
pub fn default_data_dir() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    state
        .map(|state| state.join("raftsman"))
        .ok_or_else(|| Failure::Usage("neither HOME nor XDG_STATE_HOME is set; name a folder by --data-dir".into()))
}
