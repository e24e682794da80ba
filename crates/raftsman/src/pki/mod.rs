//! Certificates, keys and tokens: everything that lets the parts of a cluster know each other.
//!
//! ```text
//!   API authority (ca.crt, ca.key)              store authority (store-ca.crt)
//!    |- api        server on 6443                |- store         server on 2379
//!    |- admin      CN=admin, O=system:masters    |- peer          server and client on 2380
//!    |- control plane  O=system:control-plane    `- store-client  the API server's way to 2379
//!    `- nodes      CN=system:node:NAME
//! ```
//!
//! Two authorities, because whoever reaches 2379 reaches every object without any authorization:
//! nothing that a user or a node holds is signed by the store's authority.

pub mod authority;
pub mod cluster;
pub mod files;
pub mod kubeconfig;
pub mod member;
pub mod token;

/// The group whose members may do everything.
pub const ADMIN_GROUP: &str = "system:masters";
/// The group of controllers and schedulers.
pub const CONTROL_PLANE_GROUP: &str = "system:control-plane";
/// The group of nodes; a node's own name is `system:node:NAME`.
pub const NODE_GROUP: &str = "system:nodes";
/// Name and group of a process that plays many nodes.
pub const SIMULATED_NODES: &str = "system:simulated-nodes";

/// What goes wrong while credentials are made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be written or read.
    #[error("cannot {verb} {path}: {source}")]
    File { verb: &'static str, path: String, source: std::io::Error },
    /// A key or certificate is not what it has to be.
    #[error("{path}: {source}")]
    Certificate { path: String, source: rcgen::Error },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// `tokens.json` is damaged.
    #[error("{path}: {source}; restore the file or move it away and create the tokens again")]
    Tokens { path: String, source: serde_json::Error },
    /// `pki create` was asked to write over what exists.
    #[error("{path} exists already; choose another --out or remove it first")]
    Exists { path: String },
    /// A needed file is missing.
    #[error("{path} is missing; make it with `raftsman pki create`, or name its folder by --pki-dir")]
    Missing { path: String },
}
