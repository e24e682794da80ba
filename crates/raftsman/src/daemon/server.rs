//! `raftsman server`: a control-plane member.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::apiserver::{StoreClient, StoreFlags};
use super::boxes::Boxes;
use super::listen::{self, Bound};
use super::member::{self, Member, StorePlace};
use super::ready::Ready;
use super::{Common, place};
use crate::failure::Failure;
use crate::pki::member::MemberFiles;
use crate::shutdown;

/// Whether the group of members begins with this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClusterState {
    New,
    Existing,
}

#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    #[command(flatten)]
    pub common: Common,
    /// The member's name
    #[arg(long, env = "RAFTSMAN_NAME", default_value = "default")]
    name: String,
    /// Where everything is kept
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_DATA_DIR", default_value = "/var/lib/raftsman")]
    data_dir: PathBuf,
    /// All members with their peer URLs, such as a=https://10.0.0.1:2380 [default: this one alone]
    #[arg(long, value_name = "NAME=URL", value_delimiter = ',', env = "RAFTSMAN_INITIAL_CLUSTER")]
    initial_cluster: Vec<String>,
    /// Whether the group begins now or takes this member in
    #[arg(long, value_enum, env = "RAFTSMAN_INITIAL_CLUSTER_STATE", default_value = "new")]
    initial_cluster_state: ClusterState,
    /// Where other members reach this one
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_PEER")]
    listen_peer: Option<String>,
    /// Where the store serves etcd clients
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_CLIENT", default_value = "127.0.0.1:2379")]
    listen_client: String,
    /// Where the API listens, REST and gRPC alike
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_API", default_value = "0.0.0.0:6443")]
    listen_api: String,
    /// Serve metrics here too, in plaintext
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_METRICS")]
    listen_metrics: Option<String>,
    /// The store's URL for others [default: where it listens]
    #[arg(long, value_name = "URL", env = "RAFTSMAN_ADVERTISE_CLIENT")]
    advertise_client: Option<String>,
    /// The API's URL for others [default: where it listens]
    #[arg(long, value_name = "URL", env = "RAFTSMAN_ADVERTISE_API")]
    advertise_api: Option<String>,
    /// The member's folder that `raftsman pki create` wrote
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_PKI_DIR", required = true)]
    pki_dir: PathBuf,
    #[command(flatten)]
    store: StoreFlags,
    /// Accept agents that play many nodes (for scale tests)
    #[arg(long, env = "RAFTSMAN_ALLOW_SIMULATED_NODES")]
    allow_simulated_nodes: bool,
}

pub async fn run(args: ServerArgs) -> Result<(), Failure> {
    args.check()?;
    let _held = place::take(&args.data_dir)?;
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    let files = MemberFiles::at(&args.pki_dir);
    files.require(&["control-plane.kubeconfig"])?;
    let api = listen::bind("--listen-api", &args.listen_api).await?;
    let mut ready = Ready::default().with("api", args.advertise_api.as_ref().unwrap_or(&api.url));
    let store = match args.store.store_endpoints.is_empty() {
        true => {
            let client = listen::bind("--listen-client", &args.listen_client).await?;
            ready = ready.with("client", args.advertise_client.as_ref().unwrap_or(&client.url));
            StorePlace::Own { data_dir: args.data_dir.join("store"), client }
        }
        false => StorePlace::Foreign(StoreClient::of_flags(&args.store, &files)),
    };
    if let Some(address) = &args.listen_peer {
        let peer = listen::bind("--listen-peer", address).await?;
        ready = ready.with("peer", &peer.url);
        hold(peer, shutdown.clone());
    }
    let metrics = listen::bind_metrics(args.listen_metrics.as_deref()).await?;
    let member =
        Member { name: args.name, store, files, api, allow_simulated_nodes: args.allow_simulated_nodes, metrics };
    let mut boxes = Boxes::default();
    tokio::select! {
        started = member::start(&mut boxes, member) => if let Err(failure) = started.and_then(|()| ready.say()) {
            return Err(boxes.abandon(failure).await);
        },
        () = shutdown.cancelled() => return boxes.stop().await,
    }
    boxes.run(shutdown).await
}

impl ServerArgs {
    /// A member of a group of several is refused as long as groups have one member: it would
    /// otherwise begin a group of its own, and its users would not see what the others see.
    fn check(&self) -> Result<(), Failure> {
        let others = self.initial_cluster.iter().any(|member| {
            let name = member.split_once('=').map_or(member.as_str(), |(name, _)| name);
            name != self.name
        });
        let unsupported = match () {
            () if others => "--initial-cluster with other members",
            () if self.initial_cluster_state == ClusterState::Existing => "--initial-cluster-state existing",
            () => return Ok(()),
        };
        Err(Failure::Usage(format!("{unsupported} is not supported by this version, which runs groups of one member")))
    }
}

/// Holds the peers' port. A group of one has no peers, so whoever connects is not one.
fn hold(peer: Bound, stop: CancellationToken) {
    tracing::info!("the port of raft peers is held at {}; this group has one member", peer.url);
    tokio::spawn(async move {
        while let Some(Ok((stream, from))) = stop.run_until_cancelled(peer.listener.accept()).await {
            tracing::warn!("{from} came to the peers' port, but this group has one member");
            drop(stream);
        }
    });
}
