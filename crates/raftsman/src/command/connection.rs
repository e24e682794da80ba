//! Which cluster a command talks to, and how its errors become exit codes.

use std::path::PathBuf;

use client::{Client, Config};

use crate::daemon::dev;
use crate::failure::Failure;

/// The flags by which a command finds its cluster.
#[derive(Clone, Debug, clap::Args)]
pub struct Connection {
    /// Whom to talk to [default: $KUBECONFIG, else the dev data directory's admin.kubeconfig]
    #[arg(long, value_name = "FILE", env = "RAFTSMAN_KUBECONFIG", global = true)]
    kubeconfig: Option<PathBuf>,
    /// Namespace [default: that of the kubeconfig's context, else "default"]
    #[arg(short, long, value_name = "NAME", global = true)]
    namespace: Option<String>,
}

/// A client, and the namespace that a command means when none is written.
pub struct Session {
    pub client: Client,
    pub namespace: String,
}

impl Connection {
    pub fn open(&self) -> Result<Session, Failure> {
        let kubeconfig = self.kubeconfig()?;
        let config = Config::from_kubeconfig(&kubeconfig).map_err(Failure::failed)?;
        let namespace = self.namespace.clone().or_else(|| config.namespace.clone());
        Ok(Session {
            client: Client::connect(&config).map_err(Failure::from)?,
            namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        })
    }

    fn kubeconfig(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.kubeconfig {
            return Ok(path.clone());
        }
        if let Some(list) = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
            let mut paths = std::env::split_paths(&list);
            if let Some(path) = paths.find(|path| path.is_file()) {
                return Ok(path);
            }
        }
        let path = dev::default_data_dir()?.join("admin.kubeconfig");
        match path.is_file() {
            true => Ok(path),
            false => Err(Failure::Unreachable(format!(
                "no cluster is known: {} does not exist; start `raftsman dev`, or name a kubeconfig by --kubeconfig",
                path.display()
            ))),
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Failure {
        let text = error.to_string();
        match () {
            () if error.is_unreachable() => Failure::Unreachable(format!("{text}; is the API server running?")),
            () if error.is_unauthorized() => Failure::Denied(text),
            () => Failure::Failed(text),
        }
    }
}
