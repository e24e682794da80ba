//! `raftsman scheduler`: the scheduler alone, on API servers anywhere.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::Args;
use tokio::sync::{oneshot, watch};

use super::agent::connect;
use super::boxes::Boxes;
use super::metrics::Metrics;
use super::ready::Ready;
use super::{Common, listen};
use crate::failure::Failure;
use crate::shutdown;

#[derive(Clone, Debug, Args)]
pub struct SchedulerArgs {
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
}

pub async fn run(args: SchedulerArgs) -> Result<(), Failure> {
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    // Whoever leads has no better place: nobody is preferred, and the lease's end decides.
    let (_prefer, prefer) = watch::channel(false);
    let port = listen::bind_metrics(args.listen_metrics.as_deref()).await?;
    let metrics = Metrics::default();
    let (said, synced) = oneshot::channel();
    let config = scheduler::Config {
        client: connect(args.kubeconfig.as_deref(), args.server)?,
        holder: format!("scheduler-{}", uuid::Uuid::new_v4()),
        prefer,
        metrics: metrics.plane.clone(),
        ready: Some(said),
    };
    let mut boxes = Boxes::default();
    metrics.serve(&mut boxes, port);
    boxes.start("scheduler", |stop| async move {
        scheduler::run(config, stop).await;
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
