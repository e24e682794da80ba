//! `raftsman controllers`: the controllers alone, on API servers anywhere.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::sync::{oneshot, watch};

use super::agent::connect;
use super::boxes::Boxes;
use super::metrics::Metrics;
use super::ready::Ready;
use super::{Common, listen};
use crate::failure::Failure;
use crate::shutdown;

/// What the controllers of a member may be told, too.
#[derive(Clone, Copy, Debug, Args)]
pub struct ControllerFlags {
    /// Seconds without a sign of life after which a node counts as unreachable; its Pods are given up when the time that they
    /// tolerate that, and a margin of a minute, has passed as well
    #[arg(long, value_name = "SECONDS", env = "RAFTSMAN_NODE_GRACE", default_value_t = controllers::node::GRACE.as_secs(),
        value_parser = clap::value_parser!(u64).range(20..=3600))]
    node_grace: u64,
}

impl ControllerFlags {
    pub fn node_grace(&self) -> Duration {
        Duration::from_secs(self.node_grace)
    }
}

#[derive(Clone, Debug, Args)]
pub struct ControllersArgs {
    #[command(flatten)]
    pub common: Common,
    /// URLs of the API servers [default: that of the kubeconfig]
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "RAFTSMAN_SERVER")]
    server: Vec<String>,
    /// A member's control-plane.kubeconfig, as `raftsman pki create` writes it
    #[arg(long, value_name = "FILE", env = "RAFTSMAN_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Serve metrics here, in plaintext
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_METRICS")]
    listen_metrics: Option<String>,
    #[command(flatten)]
    flags: ControllerFlags,
}

pub async fn run(args: ControllersArgs) -> Result<(), Failure> {
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    // Whoever leads has no better place: nobody is preferred, and the lease's end decides.
    let (_prefer, prefer) = watch::channel(false);
    let root_ca = args
        .kubeconfig
        .as_ref()
        .and_then(|path| client::Config::from_kubeconfig(path).ok())
        .and_then(|config| config.ca)
        .map(|ca| String::from_utf8_lossy(&ca).into_owned())
        .unwrap_or_default();
    let port = listen::bind_metrics(args.listen_metrics.as_deref()).await?;
    let metrics = Metrics::default();
    let (said, synced) = oneshot::channel();
    let config = controllers::Config {
        client: connect(args.kubeconfig.as_deref(), args.server)?,
        holder: format!("controllers-{}", uuid::Uuid::new_v4()),
        prefer,
        root_ca,
        node_grace: args.flags.node_grace(),
        metrics: metrics.plane.clone(),
        ready: Some(said),
    };
    let mut boxes = Boxes::default();
    metrics.serve(&mut boxes, port);
    boxes.start("controllers", |stop| async move {
        controllers::run(config, stop).await;
        Ok::<(), Infallible>(())
    });
    let ready = match &args.kubeconfig {
        Some(path) => Ready::default().with("kubeconfig", path.display()),
        None => Ready::default(),
    };
    tokio::select! {
        started = boxes.ready(synced) => if let Err(failure) = started.and_then(|()| ready.say()) {
            return Err(boxes.abandon(failure).await);
        },
        () = shutdown.cancelled() => return boxes.stop().await,
    }
    boxes.run(shutdown).await
}
