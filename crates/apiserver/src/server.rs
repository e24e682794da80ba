//! The box itself: builds the registry, opens the one port, runs until told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::agents::Agents;
use crate::auth::{Authenticator, Authorizer, KeyError, ServiceAccountKeys, TokenFile, TokenFileError};
use crate::cache::{self, Caches};
use crate::commit::Committer;
use crate::metrics::{self, Gauges, Metrics, SharedRegistry};
use crate::registry::{EventLease, Registry};
use crate::storage::{ConnectError, Storage, StoreEndpoint, discovery};
use crate::{bootstrap, compactor, connection, grpc, rest, tls};

/// How an API server is set up.
#[derive(Debug, Default)]
pub struct Config {
    /// The store.
    pub store: StoreEndpoint,
    /// Certificate, key and authority of the API port; `None` is plaintext, on a loopback address only (`--insecure`).
    pub tls: Option<TlsFiles>,
    /// The key of service accounts' tokens (PKCS#8 PEM, ECDSA P-256); without it tokens end with this process.
    pub sa_key: Option<PathBuf>,
    /// Hashes of bearer tokens.
    pub tokens: Option<PathBuf>,
    /// Whether the identity `system:simulated-nodes` is accepted.
    pub allow_simulated_nodes: bool,
    /// With `--insecure`: everybody is admin, for there are no certificates.
    pub insecure_admin: bool,
    /// `gitVersion` of `/version`, e.g. `v1.36.0+raftsman.0.1.0`.
    pub version: String,
    /// Where metrics are kept; `/metrics` shows all that it holds, of other boxes of the process too.
    pub metrics: SharedRegistry,
    /// Told once the port answers.
    pub ready: Option<oneshot::Sender<Ready>>,
}

/// PEM files of the API port.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// The server's certificate chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority of clients' certificates, and what Pods shall trust.
    pub ca: PathBuf,
}

/// A server that answers.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
}

/// Why an API server cannot run; each text names the file or flag, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's endpoints or certificates.
    #[error(transparent)]
    Store(#[from] ConnectError),
    /// The port's certificates.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The tokens.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The service accounts' key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The reflection data of this build.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The listener.
    #[error("the API's listener has no address: {0}")]
    Listener(#[from] std::io::Error),
    /// Plaintext where others could listen.
    #[error("--insecure allows plaintext on a loopback address only, not on {0}; give --pki-dir")]
    Plaintext(SocketAddr),
}

/// How long open requests may go on after the stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the API server until `shutdown` is ready.
///
/// # Errors
/// [`Error`], before the port answers; afterwards a lost store is waited for, not an error.
pub async fn run(
    mut config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let address = listener.local_addr()?;
    if config.tls.is_none() && !address.ip().is_loopback() {
        return Err(Error::Plaintext(address));
    }
    let acceptor = config.tls.as_ref().map(|files| tls::acceptor(&files.cert, &files.key, &files.ca)).transpose()?;
    let keys = Arc::new(match &config.sa_key {
        Some(path) => ServiceAccountKeys::open(path)?,
        None => ServiceAccountKeys::ephemeral()?,
    });
    let metrics = Metrics::register(&mut config.metrics.lock());
    let storage = Arc::new(Storage::connect(&config.store, metrics.store.clone())?);
    let caches = Caches::start(storage.clone(), metrics.watches.clone());
    let authenticator = Arc::new(Authenticator {
        caches: caches.clone(),
        tokens: TokenFile::open(config.tokens.as_deref())?,
        keys: keys.clone(),
        allow_simulated_nodes: config.allow_simulated_nodes,
    });
    let registry = Arc::new(Registry {
        caches: caches.clone(),
        committer: Committer::new(storage.clone(), metrics.store),
        authorizer: Authorizer,
        keys,
        event_lease: EventLease::default(),
        root_ca: config.tls.as_ref().map(|files| tls::read_text(&files.ca)).transpose()?.unwrap_or_default(),
        agents: Arc::new(Agents::default()),
        version: std::mem::take(&mut config.version),
    });
    config.metrics.lock().register_collector(Box::new(Gauges::of(Arc::downgrade(&registry))));
    let counted = axum::middleware::from_fn_with_state(metrics.rpcs, metrics::count_rpc);
    let router = rest::router(registry.clone(), metrics.requests, config.metrics.clone());
    let router = router.merge(grpc::router(&registry)?.layer(counted));

    // Aborted when this function returns.
    let mut tasks = JoinSet::new();
    tasks.spawn(discovery::run(storage.clone(), config.store.discover));
    tasks.spawn(cache::feed(caches.clone(), storage.clone()));
    tasks.spawn(compactor::run(storage, compactor::INTERVAL));
    tasks.spawn(announce(registry, address, config.ready.take()));
    let listen = connection::Listen { listener, acceptor, router, authenticator, everybody: config.insecure_admin };
    let stop = async move {
        shutdown.await;
        caches.draining.cancel();
    };
    connection::serve(listen, stop, DRAIN).await;
    Ok(())
}

/// Makes the first objects, then tells that the server is ready.
async fn announce(registry: Arc<Registry>, address: SocketAddr, ready: Option<oneshot::Sender<Ready>>) {
    bootstrap::run(registry, address.port()).await;
    if let Some(ready) = ready {
        // Whoever asked may have gone away.
        ready.send(Ready { address }).ok();
    }
}
