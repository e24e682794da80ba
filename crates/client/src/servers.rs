//! The connections to the API servers: one lazy HTTP/2 channel each, and which of them is in use.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::config::{Config, Identity};
use crate::error::Error;

/// A server that does not answer within this is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The system accepts connections also for a process that is stopped; only the handshake tells.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead peer is noticed after interval + timeout, also by a watch that is silent. Nodes' leases and claims live longer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(4);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);
/// HTTP/2's default window of 64 KiB would make a list of 10,000 Pods wait for many round trips.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// One API server: its URL, its channel, and what every request to it carries.
#[derive(Clone, Debug)]
pub struct Server {
    pub url: Arc<str>,
    pub channel: Channel,
    /// The value of the `authorization` header, where the caller identifies by token.
    pub authorization: Option<MetadataValue<Ascii>>,
    /// The latest revision that its watches here were told to show; held while it is asked for one.
    pub(crate) progress: Arc<tokio::sync::Mutex<i64>>,
}

impl Server {
    /// Puts the caller's token on a request. A client certificate needs nothing here.
    pub fn authorize<T>(&self, request: &mut tonic::Request<T>) {
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
    }
}

/// All servers, and which one is in use. Every call goes to that one, so that a caller reads what it wrote without waiting.
pub(crate) struct Servers {
    all: Vec<Server>,
    current: AtomicUsize,
}

impl Servers {
    pub(crate) fn new(config: &Config) -> Result<Servers, Error> {
        if config.servers.is_empty() {
            return Err(Error::Config("no API server is configured (--server URL or a kubeconfig)".into()));
        }
        let authorization =
            match &config.identity {
                Identity::Token(token) => {
                    let value = MetadataValue::from_str(&format!("Bearer {token}"));
                    Some(value.map_err(|_| {
                        Error::Config("the bearer token has characters that no header may carry".into())
                    })?)
                }
                _ => None,
            };
        let all = config.servers.iter().map(|url| {
            let channel = endpoint(config, url)?.connect_lazy();
            let (authorization, progress) = (authorization.clone(), Arc::default());
            Ok(Server { url: url.as_str().into(), channel, authorization, progress })
        });
        Ok(Servers { all: all.collect::<Result<_, Error>>()?, current: AtomicUsize::new(0) })
    }

    pub(crate) fn all(&self) -> &[Server] {
        &self.all
    }

    pub(crate) fn current(&self) -> &Server {
        &self.all[self.current.load(Ordering::Relaxed) % self.all.len()]
    }

    /// `failed` didn't answer: the next one is in use, unless another caller has moved on already.
    pub(crate) fn move_on(&self, failed: &Server) {
        let current = self.current.load(Ordering::Relaxed);
        if self.all.len() > 1 && Arc::ptr_eq(&self.all[current % self.all.len()].url, &failed.url) {
            let next = current.wrapping_add(1);
            // Losing this race means that another caller moved on, which is all that is wanted.
            if self.current.compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                tracing::info!(from = %failed.url, to = %self.current().url, "changing to another API server");
            }
        }
    }
}

fn endpoint(config: &Config, url: &str) -> Result<Endpoint, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Config(format!("API server {url}: {error}"));
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| wrong(&error))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    if url.starts_with("http://") {
        return Ok(endpoint);
    }
    let mut tls = ClientTlsConfig::new().timeout(HANDSHAKE_TIMEOUT);
    match &config.ca {
        Some(ca) => tls = tls.ca_certificate(Certificate::from_pem(ca)),
        None => {
            return Err(wrong(&"https needs the authority's certificate (certificate-authority in the kubeconfig)"));
        }
    }
    if let Some(name) = &config.server_name {
        tls = tls.domain_name(name);
    }
    if let Identity::Certificate { certificate, key } = &config.identity {
        tls = tls.identity(tonic::transport::Identity::from_pem(certificate, key));
    }
    endpoint.tls_config(tls).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(servers: &[&str]) -> Config {
        Config { servers: servers.iter().map(|server| server.to_string()).collect(), ..Default::default() }
    }

    #[tokio::test]
    async fn moves_on_once_per_failure() {
        let servers = Servers::new(&config(&["http://127.0.0.1:1", "http://127.0.0.1:2"])).unwrap();
        let first = servers.current().clone();
        servers.move_on(&first);
        assert_eq!(&*servers.current().url, "http://127.0.0.1:2");
        servers.move_on(&first);
        assert_eq!(&*servers.current().url, "http://127.0.0.1:2");
    }

    #[tokio::test]
    async fn says_what_the_configuration_lacks() {
        let error = Servers::new(&config(&[])).err().unwrap().to_string();
        assert!(error.starts_with("no API server"), "{error}");
        let error = Servers::new(&config(&["https://127.0.0.1:1"])).err().unwrap().to_string();
        assert!(error.contains("authority's certificate"), "{error}");
    }
}
