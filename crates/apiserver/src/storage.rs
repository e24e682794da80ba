//! The only client of the store: plain etcd v3 over one channel per endpoint.
//!
//! Reads go to the next endpoint when one does not answer. A write is never sent twice: whether the first attempt was
//! applied is unknown, and only the caller can tell what a repeat would do. Channels reconnect by themselves.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::status::StatusError;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::watch_client::WatchClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

/// How long one call may take, in seconds; raft elections fit in.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a read is retried over all endpoints.
const READ_PATIENCE: Duration = Duration::from_secs(15);
/// Pause between two attempts of a read.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Where the store is and how to be let in. Paths are PEM files.
#[derive(Clone, Debug, Default)]
pub struct StoreEndpoint {
    /// `https://HOST:PORT` (or `http://` where the store speaks plaintext), one or more members of one store.
    pub endpoints: Vec<String>,
    /// The store's authority; required for `https`.
    pub ca: Option<PathBuf>,
    /// The client certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// A store that cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A certificate file is missing or unreadable.
    #[error("cannot read {path} ({flag}): {source}; give a readable PEM file")]
    File {
        /// The flag that named the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An endpoint is no URL, or its TLS settings do not fit.
    #[error("--store-endpoints {endpoint}: {source}; write https://HOST:PORT")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// There is no endpoint.
    #[error("--store-endpoints is empty; give at least one https://HOST:PORT")]
    None,
}

/// The client. Shared by everything in the API server.
pub struct Storage {
    channels: Vec<Channel>,
    /// The channel that answered last.
    current: AtomicUsize,
}

impl Storage {
    /// Prepares a channel to each endpoint; connecting happens at first use.
    ///
    /// # Errors
    /// [`ConnectError`], which names the flag and what to do.
    pub fn connect(config: &StoreEndpoint) -> Result<Self, ConnectError> {
        let tls = tls(config)?;
        let mut channels = Vec::new();
        for address in &config.endpoints {
            let wrap = |source| ConnectError::Endpoint { endpoint: address.clone(), source };
            let mut endpoint = Endpoint::from_shared(address.clone())
                .map_err(wrap)?
                .connect_timeout(Duration::from_secs(3))
                .tcp_nodelay(true)
                .http2_keep_alive_interval(Duration::from_secs(20))
                .keep_alive_timeout(Duration::from_secs(10))
                .initial_connection_window_size(16 << 20)
                .initial_stream_window_size(8 << 20);
            if address.starts_with("https:") {
                endpoint = endpoint.tls_config(tls.clone()).map_err(wrap)?;
            }
            channels.push(endpoint.connect_lazy());
        }
        if channels.is_empty() {
            return Err(ConnectError::None);
        }
        Ok(Storage { channels, current: AtomicUsize::new(0) })
    }

    fn channel(&self) -> Channel {
        self.channels[self.current.load(Ordering::Relaxed) % self.channels.len()].clone()
    }

    /// The next call goes to the next endpoint.
    pub(crate) fn rotate(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel()).max_decoding_message_size(usize::MAX)
    }

    fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel())
    }

    /// A client for the long-lived watch.
    pub(crate) fn watcher(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel()).max_decoding_message_size(usize::MAX)
    }

    /// A linearizable read unless the request says otherwise; retried over the endpoints.
    pub(crate) async fn range(&self, request: pb::RangeRequest) -> Result<pb::RangeResponse, Status> {
        self.read(|| {
            let (mut kv, request) = (self.kv(), request.clone());
            async move { kv.range(request).await }
        })
        .await
    }

    /// One atomic write, sent once.
    pub(crate) async fn txn(&self, request: pb::TxnRequest) -> Result<pb::TxnResponse, Status> {
        self.once(self.kv().txn(request)).await
    }

    /// Forgets history before `revision`.
    pub(crate) async fn compact(&self, revision: i64) -> Result<(), Status> {
        self.once(self.kv().compact(pb::CompactionRequest { revision, physical: false })).await.map(|_| ())
    }

    /// A new store lease of `ttl` seconds.
    pub(crate) async fn grant(&self, ttl: i64) -> Result<i64, Status> {
        self.once(self.lease().lease_grant(pb::LeaseGrantRequest { ttl, id: 0 })).await.map(|answer| answer.id)
    }

    /// Ends a store lease and what hangs on it. An unknown one is no error: it has ended.
    pub(crate) async fn revoke(&self, id: i64) -> Result<(), Status> {
        match self.once(self.lease().lease_revoke(pb::LeaseRevokeRequest { id })).await {
            Err(status) if status.code() == Code::NotFound => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Renews a store lease; answers the seconds that it lasts, 0 when it is gone.
    pub(crate) async fn keep_alive(&self, id: i64) -> Result<i64, Status> {
        let requests = tokio_stream::iter([pb::LeaseKeepAliveRequest { id }]);
        let mut answers = self.once(self.lease().lease_keep_alive(requests)).await?;
        match tokio::time::timeout(CALL_TIMEOUT, answers.message()).await {
            Ok(answer) => Ok(answer?.map_or(0, |answer| answer.ttl)),
            Err(_) => Err(Status::deadline_exceeded("the store did not answer a lease renewal")),
        }
    }

    async fn once<T>(&self, call: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, Status> {
        let result = match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(result) => result.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("etcdserver: request timed out")),
        };
        if result.as_ref().is_err_and(away) {
            self.rotate();
        }
        result
    }

    async fn read<T, F>(&self, call: impl Fn() -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let deadline = tokio::time::Instant::now() + READ_PATIENCE;
        loop {
            match self.once(call()).await {
                Err(status) if away(&status) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                other => return other,
            }
        }
    }
}

/// Whether this endpoint, not the request, is at fault.
fn away(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled)
}

/// What the user hears of a failed call to the store.
pub(crate) fn unavailable(status: &Status) -> StatusError {
    match status.code() {
        Code::DeadlineExceeded => api::status::timeout(status.message(), 1),
        Code::Unavailable | Code::Cancelled => api::status::service_unavailable(status.message()),
        Code::ResourceExhausted => api::status::too_many_requests(status.message(), 1),
        Code::InvalidArgument if status.message().contains("too large") => {
            api::status::request_entity_too_large(status.message())
        }
        _ => api::status::internal_error(status.message()),
    }
}

fn tls(config: &StoreEndpoint) -> Result<ClientTlsConfig, ConnectError> {
    let read = |flag, path: &PathBuf| {
        std::fs::read(path).map_err(|source| ConnectError::File { flag, path: path.clone(), source })
    };
    let mut tls = ClientTlsConfig::new();
    if let Some(ca) = &config.ca {
        tls = tls.ca_certificate(Certificate::from_pem(read("--store-ca", ca)?));
    }
    if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
        tls = tls.identity(Identity::from_pem(read("--store-cert", cert)?, read("--store-key", key)?));
    }
    Ok(tls)
}
