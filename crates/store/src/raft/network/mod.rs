//! How raft reaches the other members, and how it is reached by them: gRPC on the peer port.
//!
//! ```text
//!  openraft --> PeerClient --(Links: a connection per member and purpose)--> peer port --> PeerService --> openraft
//! ```

mod client;
mod identity;
mod link;
mod service;
mod transfer;
mod wire;

use std::sync::Arc;

use openraft::RaftNetworkFactory;

use super::types::{Peer, TypeConfig};

pub use self::client::PeerClient;
pub use self::identity::Identity;
pub use self::link::{Lane, Links};
pub use self::service::PeerService;

/// Bytes of one message between members: entries that a leader sends at a time, and the one that is bigger.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Makes a client per member.
#[derive(Clone)]
pub struct Network {
    pub identity: Arc<Identity>,
    pub links: Arc<Links>,
}

impl Network {
    fn client(&self, target: u64, peer: &Peer, lane: Lane) -> PeerClient {
        PeerClient::new(self.identity.clone(), target, peer.name.clone(), self.links.channel(target, peer, lane))
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, node: &Peer) -> PeerClient {
        self.client(target, node, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Peer) -> PeerClient {
        self.client(target, node, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Peer) -> PeerClient {
        self.client(target, node, Lane::Snapshot)
    }
}
