//! How a command reaches the store itself: etcd's protocol, with the store's own certificates.
//!
//! Whoever may do that may do everything, so the certificates lie on the members' machines only.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use crate::daemon::apiserver::StoreFlags;
use crate::daemon::dev;
use crate::failure::Failure;
use crate::pki::files;

/// Where a store on this machine serves clients.
const DEFAULT_ENDPOINT: &str = "https://127.0.0.1:2379";
/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The flags by which a command finds a store.
#[derive(Clone, Debug, Args)]
pub struct StoreConnection {
    #[command(flatten)]
    store: StoreFlags,
    /// The member's folder with the store's certificates [default: that of the dev data directory]
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_PKI_DIR")]
    pki_dir: Option<PathBuf>,
}

/// A connection to one member of a store, and the means to reach the others.
pub struct StoreSession {
    pub channel: Channel,
    tls: Option<ClientTlsConfig>,
}

impl StoreConnection {
    /// Connects to the first endpoint that answers.
    pub async fn open(&self) -> Result<StoreSession, Failure> {
        let endpoints = match self.store.store_endpoints.as_slice() {
            [] => vec![DEFAULT_ENDPOINT.to_owned()],
            named => named.to_vec(),
        };
        let secure = endpoints.iter().any(|url| url.starts_with("https:"));
        let tls = if secure { Some(self.tls()?) } else { None };
        let mut failures = Vec::new();
        for url in &endpoints {
            match connect(url, tls.as_ref()).await {
                Ok(channel) => return Ok(StoreSession { channel, tls }),
                Err(Failure::Unreachable(reason)) => failures.push(reason),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Unreachable(format!("{} (--store-endpoints); is the store running?", failures.join("; "))))
    }

    /// The flags' files; without them those of the member's folder.
    fn tls(&self) -> Result<ClientTlsConfig, Failure> {
        let folder = match &self.pki_dir {
            Some(folder) => folder.clone(),
            None => dev::default_data_dir()?.join("pki"),
        };
        let path = |named: &Option<PathBuf>, name: &str| named.clone().unwrap_or_else(|| folder.join(name));
        let read = |path: PathBuf| {
            files::read(&path).map_err(|error| {
                Failure::Failed(format!(
                    "{error}; name the folder of a member (--pki-dir), or --store-ca, --store-cert and --store-key"
                ))
            })
        };
        let ca = read(path(&self.store.store_ca, "store-ca.crt"))?;
        let certificate = read(path(&self.store.store_cert, "store-client.crt"))?;
        let key = read(path(&self.store.store_key, "store-client.key"))?;
        Ok(ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .identity(Identity::from_pem(certificate, key)))
    }
}

impl StoreSession {
    /// A connection to another member, by the client URLs that it published.
    pub async fn at(&self, urls: &[String]) -> Result<Channel, Failure> {
        let mut failures = Vec::new();
        for url in urls {
            match connect(url, self.tls.as_ref()).await {
                Ok(channel) => return Ok(channel),
                Err(Failure::Unreachable(reason)) => failures.push(reason),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Unreachable(failures.join("; ")))
    }
}

async fn connect(url: &str, tls: Option<&ClientTlsConfig>) -> Result<Channel, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::Usage(format!("--store-endpoints {url:?}: {error}; write https://HOST:PORT"))
    };
    let mut endpoint =
        Endpoint::from_shared(url.to_owned()).map_err(|error| wrong(&error))?.connect_timeout(CONNECT_MAX);
    if url.starts_with("https:") {
        let tls = tls.ok_or_else(|| wrong(&"this store speaks plaintext"))?;
        endpoint = endpoint.tls_config(tls.clone()).map_err(|error| wrong(&error))?;
    }
    endpoint.connect().await.map_err(|error| Failure::Unreachable(format!("{url} does not answer: {}", cause(&error))))
}

/// The innermost reason: the outer ones say only that there is one.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A store's refusal as a command's end.
pub fn refused(status: Status) -> Failure {
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => Failure::Denied(status.message().to_owned()),
        // The message of a broken connection; the store's own refusals begin otherwise.
        Code::Unavailable if !status.message().starts_with("etcdserver:") => {
            Failure::Unreachable(format!("the store does not answer: {}", cause(&status)))
        }
        _ => Failure::Failed(status.message().to_owned()),
    }
}
