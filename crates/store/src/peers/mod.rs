//! How a member meets the others of its group.

mod leader;
mod port;
mod tls;

use std::path::PathBuf;

use tokio::net::TcpListener;

pub use port::PeerPort;
pub use tls::configs;

/// The peer port and who is expected there.
#[derive(Debug)]
pub struct Peers {
    /// The peer port.
    pub listener: TcpListener,
    /// Mutual TLS of the peer port; none is plaintext, which is allowed on a loopback address only.
    pub tls: Option<PeerTls>,
    /// Peer URLs of this member, as the others reach it.
    pub advertise: Vec<String>,
    /// `--initial-cluster`: name and peer URL of each founding member, this one included.
    pub initial: Vec<(String, String)>,
    /// Whether the group begins or takes this member in.
    pub join: Join,
}

/// PEM files of the peer port. One certificate serves both directions.
#[derive(Debug, Clone)]
pub struct PeerTls {
    /// The member's certificate, named `raftsman-peer:NAME`.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// Authority that signs the members' certificates.
    pub ca: PathBuf,
}

/// How a member without data comes into its group. One with data is in it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Join {
    /// The group begins with the members of `initial`.
    #[default]
    New,
    /// The group exists and has taken this member in by `MemberAdd`.
    Existing,
}
