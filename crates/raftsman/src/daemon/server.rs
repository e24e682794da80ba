//! `raftsman server`: a control-plane member.

use clap::Args;

use super::apiserver::{StoreClient, StoreFlags};
use super::boxes::Boxes;
use super::controllers::ControllerFlags;
use super::group::GroupFlags;
use super::listen;
use super::member::{self, Member, StorePlace};
use super::metrics::Metrics;
use super::ready::Ready;
use super::{Common, place};
use crate::failure::Failure;
use crate::shutdown;

/// Where users and agents come to.
const API_PORT: u16 = 6443;

#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    group: GroupFlags,
    /// Where the API listens, REST and gRPC alike [default: 0.0.0.0:6443; 127.0.0.1:6443 with --insecure]
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_API")]
    listen_api: Option<String>,
    /// Serve metrics here too, in plaintext
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_METRICS")]
    listen_metrics: Option<String>,
    /// The API's URL for others [default: where it listens]
    #[arg(long, value_name = "URL", env = "RAFTSMAN_ADVERTISE_API")]
    advertise_api: Option<String>,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    controllers: ControllerFlags,
    /// Accept agents that play many nodes (for scale tests)
    #[arg(long, env = "RAFTSMAN_ALLOW_SIMULATED_NODES")]
    allow_simulated_nodes: bool,
}

pub async fn run(args: ServerArgs) -> Result<(), Failure> {
    let files = args.group.files()?;
    if let Some(files) = &files {
        files.require(&["control-plane.kubeconfig"])?;
    }
    let _held = place::take(&args.group.data_dir)?;
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    let address = args.listen_api.clone().unwrap_or_else(|| match args.group.insecure {
        true => format!("127.0.0.1:{API_PORT}"),
        false => format!("0.0.0.0:{API_PORT}"),
    });
    let api = listen::bind("--listen-api", &address, !args.group.insecure).await?;
    let mut ready = Ready::default().with("api", args.advertise_api.as_ref().unwrap_or(&api.url));
    let store = match args.store.store_endpoints.is_empty() {
        true => {
            let ports = args.group.bind().await?;
            ready = ports.tell(ready);
            StorePlace::Own {
                data_dir: args.group.data_dir.join("store"),
                ports: Box::new(ports),
                limits: args.group.limits()?,
            }
        }
        false => {
            args.group.refuse_with_foreign_store()?;
            StorePlace::Foreign(StoreClient::of_flags(&args.store, files.as_ref())?)
        }
    };
    let metrics_port = listen::bind_metrics(args.listen_metrics.as_deref()).await?;
    let (allow_simulated_nodes, node_grace) = (args.allow_simulated_nodes, args.controllers.node_grace());
    let member = Member {
        name: args.group.name,
        store,
        files,
        api,
        allow_simulated_nodes,
        node_grace,
        metrics: Metrics::default(),
        metrics_port,
    };
    let mut boxes = Boxes::default();
    tokio::select! {
        started = member::start(&mut boxes, member) => if let Err(failure) = started.and_then(|()| ready.say()) {
            return Err(boxes.abandon(failure).await);
        },
        () = shutdown.cancelled() => return boxes.stop().await,
    }
    boxes.run(shutdown).await
}
