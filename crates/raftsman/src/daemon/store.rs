//! `raftsman store`: the store alone.

use std::path::PathBuf;

use clap::Args;
use tokio::sync::{oneshot, watch};

use super::boxes::Boxes;
use super::group::{GroupFlags, Limits, PeerPort, StorePorts};
use super::metrics::Metrics;
use super::ready::Ready;
use super::{Common, place};
use crate::failure::Failure;
use crate::pki::member::MemberFiles;
use crate::shutdown;

#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    group: GroupFlags,
}

pub async fn run(args: StoreArgs) -> Result<(), Failure> {
    let files = args.group.files()?;
    let _held = place::take(&args.group.data_dir)?;
    let ports = args.group.bind().await?;
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    let ready = ports.tell(Ready::default());
    let store = Store {
        name: args.group.name.clone(),
        data_dir: args.group.data_dir.join("store"),
        files,
        leads: None,
        hand_over: None,
        limits: args.group.limits()?,
        ports,
        metrics: Metrics::default().store,
    };
    let mut boxes = Boxes::default();
    tokio::select! {
        started = start(&mut boxes, store) => if let Err(failure) = started.and_then(|()| ready.say()) {
            return Err(boxes.abandon(failure).await);
        },
        () = shutdown.cancelled() => return boxes.stop().await,
    }
    boxes.run(shutdown).await
}

impl StorePorts {
    /// Adds what of a store's ports is for others to the ready line.
    pub fn tell(&self, ready: Ready) -> Ready {
        let ready = ready.with("client", &self.advertise_client);
        match &self.peers {
            Some(peers) => ready.with("peer", &peers.advertise),
            None => ready,
        }
    }
}

/// A store and where its files are.
pub struct Store {
    pub name: String,
    pub data_dir: PathBuf,
    /// None: plaintext.
    pub files: Option<MemberFiles>,
    /// Told whether this member leads.
    pub leads: Option<watch::Sender<bool>>,
    /// Tells it to give leadership away, and is answered when that is done.
    pub hand_over: Option<oneshot::Receiver<oneshot::Sender<()>>>,
    pub limits: Limits,
    pub ports: StorePorts,
    /// Where its metrics are kept.
    pub metrics: store::SharedRegistry,
}

/// Starts the store and waits until it serves.
pub async fn start(boxes: &mut Boxes, store: Store) -> Result<(), Failure> {
    let Store { name, data_dir, files, leads, hand_over, limits, ports, metrics } = store;
    if let Some(files) = &files {
        files.require(&["store.crt", "store.key", "store-ca.crt"])?;
    }
    let (said, ready) = oneshot::channel();
    let config = store::Config {
        name,
        data_dir,
        tls: files.as_ref().map(|files| store::Tls {
            certificate: files.path("store.crt"),
            key: files.path("store.key"),
            client_ca: files.path("store-ca.crt"),
        }),
        advertise_client: vec![ports.advertise_client],
        peers: ports.peers.map(|port| peers(port, files.as_ref())).transpose()?,
        quota_bytes: limits.quota_bytes,
        snapshot_entries: limits.snapshot_entries,
        auto_compaction: limits.auto_compaction,
        progress_interval: limits.progress_interval,
        metrics,
        ready: Some(said),
        leads,
        hand_over,
    };
    let listener = ports.client.listener;
    boxes.start("store", |stop| store::run(config, listener, stop));
    boxes.ready(ready).await?;
    Ok(())
}

fn peers(port: PeerPort, files: Option<&MemberFiles>) -> Result<store::Peers, Failure> {
    let tls = match files {
        Some(files) => {
            files.require(&["peer.crt", "peer.key"])?;
            Some(store::PeerTls {
                certificate: files.path("peer.crt"),
                key: files.path("peer.key"),
                ca: files.path("store-ca.crt"),
            })
        }
        None => None,
    };
    let PeerPort { bound, advertise, initial, join } = port;
    Ok(store::Peers { listener: bound.listener, tls, advertise: vec![advertise], initial, join })
}
