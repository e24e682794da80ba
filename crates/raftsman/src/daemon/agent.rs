//! `raftsman agent`: a node.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use client::Client;
use rand::seq::SliceRandom;
use tokio::sync::oneshot;

use super::boxes::Boxes;
use super::ready::Ready;
use super::{Common, place};
use crate::command::version::git_version;
use crate::failure::Failure;
use crate::shutdown;

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// As processes of this machine; needs no container engine
    Process,
    /// Not at all: Pods end as their annotation raftsman.io/simulate says
    Simulated,
}

/// Flags of the node itself, which `dev` has too.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// The node's name [default: this machine's host name]
    #[arg(long, value_name = "NAME", env = "RAFTSMAN_NODE_NAME")]
    pub node_name: Option<String>,
    /// What runs the containers
    #[arg(long, value_enum, env = "RAFTSMAN_RUNTIME", default_value = "process")]
    pub runtime: Runtime,
    /// How many nodes this process is; more than one only with --runtime simulated
    #[arg(long, value_name = "N", env = "RAFTSMAN_NODES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub nodes: u32,
    /// Pods that a node takes at most
    #[arg(long, value_name = "N", env = "RAFTSMAN_MAX_PODS", default_value_t = 110, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_pods: u32,
    /// The root filesystem that an image name means (repeatable) [default for every name: the host's root]
    #[arg(long, value_name = "NAME=DIR", env = "RAFTSMAN_IMAGE_ROOT", value_parser = image_root)]
    pub image_root: Vec<(String, PathBuf)>,
}

impl NodeArgs {
    pub fn is_simulated(&self) -> bool {
        self.runtime == Runtime::Simulated
    }

    /// What `--nodes` may be depends on the runtime.
    pub fn check(&self) -> Result<(), Failure> {
        match self.nodes > 1 && !self.is_simulated() {
            true => Err(Failure::Usage(format!(
                "--nodes {} needs --runtime simulated: one machine is one node otherwise",
                self.nodes
            ))),
            false => Ok(()),
        }
    }

    /// The names of all nodes that this process is.
    pub fn names(&self) -> Result<Vec<String>, Failure> {
        let name = self.name()?;
        Ok(match self.nodes {
            1 => vec![name],
            count => (0..count).map(|number| format!("{name}-{number}")).collect(),
        })
    }

    /// The node's name, of the letters that a name of an object may have.
    pub fn name(&self) -> Result<String, Failure> {
        if let Some(name) = &self.node_name {
            let wrong = api::names::dns_subdomain(name);
            return match wrong.first() {
                None => Ok(name.clone()),
                Some(why) => Err(Failure::Usage(format!("--node-name {name:?}: {why}"))),
            };
        }
        let host = nix::unistd::gethostname().map_err(Failure::failed)?;
        let host = host.to_string_lossy().to_lowercase();
        let name: String =
            host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '-' }).collect();
        let name = name.trim_matches(['-', '.']);
        Ok(if name.is_empty() { "localhost".to_owned() } else { name.to_owned() })
    }
}

fn image_root(text: &str) -> Result<(String, PathBuf), String> {
    let (name, folder) = text.split_once('=').ok_or("expected NAME=DIR, such as busybox=/var/lib/images/busybox")?;
    match name.is_empty() || folder.is_empty() {
        true => Err("expected NAME=DIR".to_owned()),
        false => Ok((name.to_owned(), folder.into())),
    }
}

#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    #[command(flatten)]
    pub common: Common,
    /// URLs of the API servers [default: that of the kubeconfig]
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "RAFTSMAN_SERVER")]
    server: Vec<String>,
    /// The node's credentials, as `raftsman pki create` writes them
    #[arg(long, value_name = "FILE", env = "RAFTSMAN_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Where containers' records and output are kept
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_DATA_DIR", default_value = "/var/lib/raftsman")]
    data_dir: PathBuf,
    #[command(flatten)]
    node: NodeArgs,
}

pub async fn run(args: AgentArgs) -> Result<(), Failure> {
    args.node.check()?;
    let _held = place::take(&args.data_dir)?;
    let shutdown = shutdown::on_signals().map_err(Failure::failed)?;
    let mut boxes = Boxes::default();
    let node = Node {
        data_dir: args.data_dir.join("agent"),
        kubeconfig: args.kubeconfig.clone(),
        servers: args.server,
        args: args.node,
        end_containers: false,
    };
    let ready = match &args.kubeconfig {
        Some(path) => Ready::default().with("kubeconfig", path.display()),
        None => Ready::default(),
    };
    tokio::select! {
        started = start(&mut boxes, node) => if let Err(failure) = started.and_then(|()| ready.say()) {
            return Err(boxes.abandon(failure).await);
        },
        () = shutdown.cancelled() => return boxes.stop().await,
    }
    boxes.run(shutdown).await
}

/// An agent and what it needs to know.
pub struct Node {
    pub data_dir: PathBuf,
    /// None: to API servers that were started with --insecure.
    pub kubeconfig: Option<PathBuf>,
    /// In place of the kubeconfig's server, where there are any.
    pub servers: Vec<String>,
    pub args: NodeArgs,
    /// Whether stopping ends the containers too.
    pub end_containers: bool,
}

/// Starts an agent and waits until its node is registered.
pub async fn start(boxes: &mut Boxes, node: Node) -> Result<(), Failure> {
    let mut client = client_config(node.kubeconfig.as_deref(), node.servers)?;
    // Each begins somewhere else, so that one API server does not carry all nodes.
    client.servers.shuffle(&mut rand::rng());
    let (said, ready) = oneshot::channel();
    let config = agent::Config {
        client,
        // Shims don't run where the agent was started.
        data_dir: std::path::absolute(node.data_dir).map_err(Failure::failed)?,
        nodes: node.args.names()?,
        runtime: match node.args.runtime {
            Runtime::Process => agent::RuntimeKind::Process,
            Runtime::Simulated => agent::RuntimeKind::Simulated,
        },
        max_pods: node.args.max_pods,
        image_roots: node.args.image_root,
        shim: shim()?,
        end_containers: node.end_containers,
        version: git_version(),
        ready: Some(said),
    };
    boxes.start("agent", |stop| agent::run(config, stop));
    boxes.ready(ready).await
}

/// A client by a kubeconfig, with other servers where some are given.
pub fn connect(kubeconfig: Option<&Path>, servers: Vec<String>) -> Result<Client, Failure> {
    Client::connect(&client_config(kubeconfig, servers)?).map_err(Failure::failed)
}

fn client_config(kubeconfig: Option<&Path>, servers: Vec<String>) -> Result<client::Config, Failure> {
    let Some(kubeconfig) = kubeconfig else {
        // Plaintext servers know nobody, so nobody needs credentials.
        return match !servers.is_empty() && servers.iter().all(|url| url.starts_with("http://")) {
            true => Ok(client::Config { servers, ..Default::default() }),
            false => Err(Failure::Usage(
                "--kubeconfig is missing; name one that `raftsman pki create` wrote (servers started with --insecure, \
                 --server http://..., go without)"
                    .into(),
            )),
        };
    };
    let mut config = client::Config::from_kubeconfig(kubeconfig).map_err(|error| {
        Failure::Failed(format!("{error}; name a kubeconfig that `raftsman pki create` wrote (--kubeconfig)"))
    })?;
    if !servers.is_empty() {
        config.servers = servers;
    }
    Ok(config)
}

/// The program that owns a container lies beside this one.
fn shim() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::failed)?;
    let shim = own.with_file_name("raftsman-shim");
    match shim.is_file() {
        true => Ok(shim),
        false => Err(Failure::Failed(format!("{} is missing; install it beside raftsman", shim.display()))),
    }
}
