//! How a command reaches the store itself: etcd's protocol, with the store's own certificates.
//!
//! Whoever may do that may do everything, so the certificates lie on the members' machines only.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use proto::etcdserverpb::StatusRequest;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use crate::daemon::apiserver::StoreFlags;
use crate::daemon::dev;
use crate::failure::Failure;
use crate::pki::files;

/// Where a store on this machine serves clients.
const DEFAULT_ENDPOINT: &str = "https://127.0.0.1:2379";
/// How long a member may take to answer for the first time.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A member that falls silent later is noticed after both together. etcd takes pings every five seconds at most.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_MAX: Duration = Duration::from_secs(5);

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
            match connect(url, tls.as_ref(), ANSWER_MAX).await {
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
        if urls.is_empty() {
            let reason = "that member has told no client URL; is it started?".to_owned();
            return Err(Failure::Unreachable(reason));
        }
        let mut failures = Vec::new();
        for url in urls {
            match connect(url, self.tls.as_ref(), ANSWER_MAX).await {
                Ok(channel) => return Ok(channel),
                Err(Failure::Unreachable(reason)) => failures.push(reason),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Unreachable(failures.join("; ")))
    }
}

/// A connection to a member that answers. The system accepts connections also for a process that is stopped, so it is asked.
async fn connect(url: &str, tls: Option<&ClientTlsConfig>, within: Duration) -> Result<Channel, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::Usage(format!("--store-endpoints {url:?}: {error}; write https://HOST:PORT"))
    };
    let mut endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| wrong(&error))?
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_MAX);
    if url.starts_with("https:") {
        let tls = tls.ok_or_else(|| wrong(&"this store speaks plaintext"))?;
        endpoint = endpoint.tls_config(tls.clone()).map_err(|error| wrong(&error))?;
    }
    let silent = |why: String| Failure::Unreachable(format!("{url} does not answer: {why}"));
    let answered = async {
        let channel = endpoint.connect().await.map_err(|error| silent(cause(&error)))?;
        match MaintenanceClient::new(channel.clone()).status(StatusRequest {}).await {
            Err(status) if is_no_answer(&status) => Err(silent(cause(&status))),
            // A refusal is an answer, too.
            _ => Ok(channel),
        }
    };
    match tokio::time::timeout(within, answered).await {
        Ok(connected) => connected,
        Err(_) => Err(silent(format!("nothing within {} s", within.as_secs()))),
    }
}

/// The end of a broken connection; the store's own refusals begin otherwise.
fn is_no_answer(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
        && !status.message().starts_with("etcdserver:")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_accepts_connections_and_says_nothing_is_passed_over() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let Err(Failure::Unreachable(reason)) = connect(&url, None, Duration::from_millis(300)).await else {
            panic!("nobody answered")
        };
        assert!(reason.contains(&url), "{reason}");
    }

    #[tokio::test]
    async fn a_member_without_a_url_is_told_as_such() {
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let session = StoreSession { channel, tls: None };
        let Err(Failure::Unreachable(reason)) = session.at(&[]).await else { panic!("there is nobody to reach") };
        assert!(reason.contains("no client URL"), "{reason}");
    }
}
