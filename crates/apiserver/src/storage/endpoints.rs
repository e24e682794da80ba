//! The store's members as this API server knows them, and which of them it talks to.
//!
//! The first is home: the member of the same process, or the first that the flag names. Whoever fails is left for the
//! next; who left home comes back when home serves again ([`super::discovery`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// A member that does not answer within this is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The system accepts connections also for a process that is stopped; only the handshake tells.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead connection is noticed after interval + timeout, also by the watch, which is silent for long. etcd takes pings
/// every five seconds at most.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(6);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);

/// Where the store is and how to be let in. Paths are PEM files.
#[derive(Clone, Debug, Default)]
pub struct StoreEndpoint {
    /// `https://HOST:PORT` (or `http://` where the store speaks plaintext), one or more members of one store.
    pub endpoints: Vec<String>,
    /// Whether the store is asked which further members it has, and where they serve clients.
    pub discover: bool,
    /// With `discover`: where further members may serve clients until the store has told. A member without a vote yet tells
    /// nothing and serves next to nothing, so there its API server needs a way out before.
    pub others: Vec<String>,
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

/// One member of the store.
#[derive(Clone, Debug)]
pub(crate) struct StoreServer {
    pub url: Arc<str>,
    pub channel: Channel,
}

/// All of them.
pub(super) struct Endpoints {
    tls: ClientTlsConfig,
    known: RwLock<Known>,
}

struct Known {
    /// Never empty; home first.
    servers: Vec<StoreServer>,
    current: usize,
}

impl Endpoints {
    /// A channel to each; connecting happens at first use.
    pub(super) fn new(config: &StoreEndpoint) -> Result<Self, ConnectError> {
        let tls = tls(config)?;
        let servers: Vec<StoreServer> =
            config.endpoints.iter().map(|url| server(url, &tls)).collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err(ConnectError::None);
        }
        let endpoints = Endpoints { tls, known: RwLock::new(Known { servers, current: 0 }) };
        if config.discover {
            endpoints.set_others(&config.others);
        }
        Ok(endpoints)
    }

    pub(super) fn current(&self) -> StoreServer {
        let known = self.known.read();
        known.servers[known.current].clone()
    }

    pub(super) fn home(&self) -> StoreServer {
        self.known.read().servers[0].clone()
    }

    pub(super) fn is_home(&self) -> bool {
        self.known.read().current == 0
    }

    /// `failed` does not serve: the next one is in use, unless another caller has moved on already.
    pub(super) fn move_on(&self, failed: &StoreServer) {
        let mut known = self.known.write();
        if known.servers.len() > 1 && known.servers[known.current].url == failed.url {
            known.current = (known.current + 1) % known.servers.len();
            let to = &known.servers[known.current].url;
            tracing::info!(from = %failed.url, %to, "changing to another member of the store");
        }
    }

    /// Home serves again.
    pub(super) fn come_home(&self) {
        let mut known = self.known.write();
        if known.current != 0 {
            known.current = 0;
            tracing::info!(to = %known.servers[0].url, "back to the store's first member");
        }
    }

    /// The members beside home are these. A channel that is known stays; one that can't be made is told and left out.
    pub(super) fn set_others(&self, urls: &[String]) {
        let mut known = self.known.write();
        let in_use = known.servers[known.current].url.clone();
        let mut servers = vec![known.servers[0].clone()];
        for url in urls.iter().filter(|url| **url != *known.servers[0].url) {
            match known.servers.iter().find(|server| *server.url == **url) {
                Some(server) => servers.push(server.clone()),
                None => match server(url, &self.tls) {
                    Ok(server) => servers.push(server),
                    Err(error) => tracing::warn!(%error, "a member of the store has an unusable client URL"),
                },
            }
        }
        known.current = servers.iter().position(|server| server.url == in_use).unwrap_or(0);
        known.servers = servers;
    }
}

fn server(url: &str, tls: &ClientTlsConfig) -> Result<StoreServer, ConnectError> {
    let wrap = |source| ConnectError::Endpoint { endpoint: url.to_owned(), source };
    let mut endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(wrap)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_connection_window_size(16 << 20)
        .initial_stream_window_size(8 << 20);
    if url.starts_with("https:") {
        endpoint = endpoint.tls_config(tls.clone()).map_err(wrap)?;
    }
    Ok(StoreServer { url: url.into(), channel: endpoint.connect_lazy() })
}

fn tls(config: &StoreEndpoint) -> Result<ClientTlsConfig, ConnectError> {
    let read = |flag, path: &PathBuf| {
        std::fs::read(path).map_err(|source| ConnectError::File { flag, path: path.clone(), source })
    };
    let mut tls = ClientTlsConfig::new().timeout(HANDSHAKE_TIMEOUT);
    if let Some(ca) = &config.ca {
        tls = tls.ca_certificate(Certificate::from_pem(read("--store-ca", ca)?));
    }
    if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
        tls = tls.identity(Identity::from_pem(read("--store-cert", cert)?, read("--store-key", key)?));
    }
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(urls: &[&str]) -> Endpoints {
        let endpoints = urls.iter().map(|url| (*url).to_owned()).collect();
        Endpoints::new(&StoreEndpoint { endpoints, ..StoreEndpoint::default() }).unwrap()
    }

    #[tokio::test]
    async fn moves_on_once_per_failure_and_comes_home() {
        let endpoints = endpoints(&["http://h:1", "http://h:2", "http://h:3"]);
        let home = endpoints.current();
        endpoints.move_on(&home);
        endpoints.move_on(&home);
        assert_eq!(&*endpoints.current().url, "http://h:2");
        assert!(!endpoints.is_home());
        endpoints.come_home();
        assert_eq!(endpoints.current().url, home.url);
    }

    #[tokio::test]
    async fn others_are_known_by_hearsay_until_the_store_tells() {
        let config = StoreEndpoint {
            endpoints: vec!["http://h:1".into()],
            discover: true,
            others: vec!["http://h:1".into(), "http://h:2".into()],
            ..StoreEndpoint::default()
        };
        let endpoints = Endpoints::new(&config).unwrap();
        endpoints.move_on(&endpoints.home());
        assert_eq!(&*endpoints.current().url, "http://h:2");
        endpoints.set_others(&["http://h:3".to_owned()]);
        assert!(endpoints.is_home());
    }

    #[tokio::test]
    async fn a_changed_membership_keeps_home_and_what_is_in_use() {
        let endpoints = endpoints(&["http://h:1"]);
        endpoints.move_on(&endpoints.current());
        assert!(endpoints.is_home(), "there is nowhere to go");
        let urls = |list: &[&str]| list.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        endpoints.set_others(&urls(&["http://h:2", "http://h:3"]));
        endpoints.move_on(&endpoints.home());
        endpoints.set_others(&urls(&["http://h:4", "http://h:1", "http://h:2"]));
        assert_eq!((endpoints.known.read().servers.len(), &*endpoints.current().url), (3, "http://h:2"));
        endpoints.set_others(&urls(&["http://h:4"]));
        assert!(endpoints.is_home(), "the one in use has left the group");
    }
}
