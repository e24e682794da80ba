//! Where the API servers are, and who is calling.

use std::path::Path;

use crate::kubeconfig::{self, KubeconfigError};

/// What a [`crate::Client`] needs to know. All PEM.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// URLs, `https://host:port`. The first is used until it fails, then the next. `http://` speaks plaintext, which servers
    /// accept only on loopback with `--insecure`.
    pub servers: Vec<String>,
    /// The authority that signed the servers' certificates.
    pub ca: Option<Vec<u8>>,
    pub identity: Identity,
    /// The name in the servers' certificates, where it is not the URL's host.
    pub server_name: Option<String>,
    /// The context's namespace, for commands that take one by default.
    pub namespace: Option<String>,
}

/// How the caller proves who it is.
#[derive(Clone, Default)]
pub enum Identity {
    #[default]
    Anonymous,
    /// A client certificate and its key, in PEM.
    Certificate { certificate: Vec<u8>, key: Vec<u8> },
    /// Sent as `authorization: Bearer`.
    Token(String),
}

impl std::fmt::Debug for Identity {
    // By hand: keys and tokens must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Identity::Anonymous => "Anonymous",
            Identity::Certificate { .. } => "Certificate(..)",
            Identity::Token(_) => "Token(..)",
        })
    }
}

impl Config {
    /// Reads a kubeconfig file, by its current context.
    pub fn from_kubeconfig(path: impl AsRef<Path>) -> Result<Config, KubeconfigError> {
        kubeconfig::read(path.as_ref())
    }
}
