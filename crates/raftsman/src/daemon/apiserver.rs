//! `raftsman apiserver`: an API server alone, on a store of ours or on an etcd cluster.

use std::path::PathBuf;

use clap::Args;
use tokio::sync::oneshot;

use super::boxes::Boxes;
use super::listen::{self, Bound};
use super::metrics::Metrics;
use super::ready::Ready;
use super::{Common, group};
use crate::command::version::git_version;
use crate::failure::Failure;
use crate::pki::member::MemberFiles;
use crate::shutdown;

/// Which etcd cluster, and how to reach it. Flags of `apiserver` and `server`.
#[derive(Clone, Debug, Args)]
pub struct StoreFlags {
    /// Client URLs of the etcd cluster, or of stores
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "RAFTSMAN_STORE_ENDPOINTS")]
    pub store_endpoints: Vec<String>,
    /// The authority that signed its certificates
    #[arg(long, value_name = "FILE", env = "RAFTSMAN_STORE_CA")]
    pub store_ca: Option<PathBuf>,
    /// Our certificate for it
    #[arg(long, value_name = "FILE", env = "RAFTSMAN_STORE_CERT", requires = "store_key")]
    pub store_cert: Option<PathBuf>,
    /// The certificate's key
    #[arg(long, value_name = "FILE", env = "RAFTSMAN_STORE_KEY", requires = "store_cert")]
    pub store_key: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct ApiserverArgs {
    #[command(flatten)]
    pub common: Common,
    /// Where the API listens, REST and gRPC alike
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_API", default_value = "127.0.0.1:6443")]
    listen_api: String,
    /// The member's folder that `raftsman pki create` wrote
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_PKI_DIR")]
    pki_dir: Option<PathBuf>,
    /// Plaintext, and everybody is admin; only on a loopback address
    #[arg(long, env = "RAFTSMAN_INSECURE", conflicts_with = "pki_dir")]
    insecure: bool,
    /// Serve metrics here too, in plaintext
    #[arg(long, value_name = "HOST:PORT", env = "RAFTSMAN_LISTEN_METRICS")]
    listen_metrics: Option<String>,
    #[command(flatten)]
    store: StoreFlags,
    /// Accept agents that play many nodes (for scale tests)
    #[arg(long, env = "RAFTSMAN_ALLOW_SIMULATED_NODES")]
    allow_simulated_nodes: bool,
}

pub async fn run(args: ApiserverArgs) -> Result<(), Failure> {
    if args.store.store_endpoints.is_empty() {
        return Err(Failure::Usage(
            "no store is named; give --store-endpoints the client URLs of a store or an etcd cluster".into(),
        ));
    }
    let files = group::credentials(args.pki_dir.as_ref(), args.insecure)?;
    let store = StoreClient::of_flags(&args.store, files.as_ref())?;
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    let listener = listen::bind("--listen-api", &args.listen_api, !args.insecure).await?;
    let ready = Ready::default().with("api", &listener.url);
    let port = listen::bind_metrics(args.listen_metrics.as_deref()).await?;
    let metrics = Metrics::default();
    let allow_simulated_nodes = args.allow_simulated_nodes;
    let api = Api { store, files, allow_simulated_nodes, metrics: metrics.plane.clone() };
    let mut boxes = Boxes::default();
    metrics.serve(&mut boxes, port);
    tokio::select! {
        started = start(&mut boxes, api, listener) => if let Err(failure) = started.and_then(|()| ready.say()) {
            return Err(boxes.abandon(failure).await);
        },
        () = shutdown.cancelled() => return boxes.stop().await,
    }
    boxes.run(shutdown).await
}

/// A way to the store.
#[derive(Clone, Debug)]
pub struct StoreClient {
    endpoints: Vec<String>,
    /// Whether the store itself says which other members it has.
    discover: bool,
    /// Where they are thought to be until it has.
    others: Vec<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl StoreClient {
    /// To the store of this process first, and to the other members that it tells of. One that has no vote yet tells of none:
    /// then `others` may help.
    pub fn of_member(files: Option<&MemberFiles>, own: &str, others: Vec<String>) -> StoreClient {
        StoreClient { discover: true, others, ..StoreClient::to(files, vec![own.to_owned()]) }
    }

    /// As the flags say; where they name no credentials for `https`, those of the member's folder.
    pub fn of_flags(flags: &StoreFlags, files: Option<&MemberFiles>) -> Result<StoreClient, Failure> {
        let secure = flags.store_endpoints.iter().find(|url| url.starts_with("https:"));
        match (secure, &flags.store_ca) {
            (Some(_), None) if flags.store_cert.is_none() && files.is_some() => {
                return Ok(StoreClient::to(files, flags.store_endpoints.clone()));
            }
            (Some(url), None) => {
                return Err(Failure::Usage(format!(
                    "--store-ca is missing; name the authority that signed the certificate of {url} (--store-endpoints)"
                )));
            }
            _ => {}
        }
        Ok(StoreClient {
            endpoints: flags.store_endpoints.clone(),
            discover: false,
            others: Vec::new(),
            ca: flags.store_ca.clone(),
            certificate: flags.store_cert.clone(),
            key: flags.store_key.clone(),
        })
    }

    fn to(files: Option<&MemberFiles>, endpoints: Vec<String>) -> StoreClient {
        let path = |name: &str| files.map(|files| files.path(name));
        StoreClient {
            endpoints,
            discover: false,
            others: Vec::new(),
            ca: path("store-ca.crt"),
            certificate: path("store-client.crt"),
            key: path("store-client.key"),
        }
    }
}

/// An API server and where its files are.
pub struct Api {
    pub store: StoreClient,
    /// None: plaintext, and everybody is admin.
    pub files: Option<MemberFiles>,
    pub allow_simulated_nodes: bool,
    /// Where its metrics are kept.
    pub metrics: apiserver::SharedRegistry,
}

/// Starts the API server and waits until it serves.
pub async fn start(boxes: &mut Boxes, api: Api, bound: Bound) -> Result<(), Failure> {
    let files = api.files.as_ref();
    if let Some(files) = files {
        files.require(&["api.crt", "api.key", "ca.crt", "sa.key", "tokens.json"])?;
    }
    let (said, ready) = oneshot::channel();
    let config = apiserver::Config {
        store: apiserver::StoreEndpoint {
            endpoints: api.store.endpoints,
            discover: api.store.discover,
            others: api.store.others,
            ca: api.store.ca,
            cert: api.store.certificate,
            key: api.store.key,
        },
        tls: files.map(|files| apiserver::TlsFiles {
            cert: files.path("api.crt"),
            key: files.path("api.key"),
            ca: files.path("ca.crt"),
        }),
        sa_key: files.map(|files| files.path("sa.key")),
        tokens: files.map(|files| files.path("tokens.json")),
        allow_simulated_nodes: api.allow_simulated_nodes,
        insecure_admin: files.is_none(),
        version: git_version(),
        metrics: api.metrics,
        ready: Some(said),
    };
    boxes.start("apiserver", |stop| apiserver::run(config, bound.listener, stop));
    boxes.ready(ready).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: StoreFlags,
    }

    #[test]
    fn a_store_with_certificates_needs_its_authority() {
        let flags = |args: &[&str]| Line::try_parse_from([&["apiserver"], args].concat()).unwrap().flags;
        let of = |args: &[&str], files: Option<&MemberFiles>| StoreClient::of_flags(&flags(args), files);
        let files = MemberFiles::at(std::path::Path::new("/pki"));
        let https = ["--store-endpoints", "http://a:1,https://b:1"];
        let client = [&https[..], &["--store-cert", "c", "--store-key", "k"]].concat();
        for (args, files) in [(&https[..], None), (&client[..], None), (&client[..], Some(&files))] {
            let Err(Failure::Usage(message)) = of(args, files) else { panic!("{args:?} has no authority") };
            assert!(message.contains("--store-ca") && message.contains("https://b:1"), "{message}");
        }
        assert_eq!(of(&https, Some(&files)).unwrap().ca, Some("/pki/store-ca.crt".into()));
        assert_eq!(of(&[&https[..], &["--store-ca", "x"]].concat(), None).unwrap().ca, Some("x".into()));
        assert_eq!(of(&["--store-endpoints", "http://a:1"], None).unwrap().ca, None);
    }
}
