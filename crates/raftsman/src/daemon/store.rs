//! `raftsman store`: the store alone.

use std::path::PathBuf;

use clap::Args;
use tokio::sync::{oneshot, watch};

use super::boxes::Boxes;
use super::listen::{self, Bound};
use super::ready::Ready;
use super::{Common, place};
use crate::failure::Failure;
use crate::pki::member::MemberFiles;
use crate::shutdown;

#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    #[command(flatten)]
    pub common: Common,
    /// The member's name
    #[arg(long, env = "RAFTSMAN_NAME", default_value = "default")]
    name: String,
    /// Where log and state are kept
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_DATA_DIR", default_value = "/var/lib/raftsman")]
    data_dir: PathBuf,
    /// Where etcd clients are served
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_CLIENT", default_value = "127.0.0.1:2379")]
    listen_client: String,
    /// The member's folder that `raftsman pki create` wrote
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_PKI_DIR", required = true)]
    pki_dir: PathBuf,
}

pub async fn run(args: StoreArgs) -> Result<(), Failure> {
    let _held = place::take(&args.data_dir)?;
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    let client = listen::bind("--listen-client", &args.listen_client).await?;
    let ready = Ready::default().with("client", &client.url);
    let store = Store {
        name: args.name,
        data_dir: args.data_dir.join("store"),
        files: MemberFiles::at(&args.pki_dir),
        leads: None,
    };
    let mut boxes = Boxes::default();
    let started = start(&mut boxes, store, client).await;
    if let Err(failure) = started.and_then(|()| ready.say()) {
        return Err(boxes.abandon(failure).await);
    }
    boxes.run(shutdown).await
}

/// A store and where its files are.
pub struct Store {
    pub name: String,
    pub data_dir: PathBuf,
    pub files: MemberFiles,
    /// Told whether this member leads.
    pub leads: Option<watch::Sender<bool>>,
}

/// Starts the store and waits until it serves.
pub async fn start(boxes: &mut Boxes, store: Store, client: Bound) -> Result<(), Failure> {
    let files = store.files;
    files.require(&["store.crt", "store.key", "store-ca.crt"])?;
    let (said, ready) = oneshot::channel();
    let config = store::Config {
        name: store.name,
        data_dir: store.data_dir,
        tls: Some(store::Tls {
            certificate: files.path("store.crt"),
            key: files.path("store.key"),
            client_ca: files.path("store-ca.crt"),
        }),
        advertise_client: vec![client.url],
        ready: Some(said),
        peers: None,
        leads: store.leads,
    };
    boxes.start("store", |stop| store::run(config, client.listener, stop));
    boxes.ready(ready).await?;
    Ok(())
}
