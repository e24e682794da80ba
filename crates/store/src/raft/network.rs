//! How raft reaches its peers.
//!
//! The group has one member so far, and openraft makes no client to the member itself: these clients only come
//! to be when a second member is added, which `Cluster.MemberAdd` refuses until the peer service is there.

use std::future::Future;

use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::state::SnapshotFolder;
use super::types::{Peer, TypeConfig};

/// Makes a client per peer.
#[derive(Debug, Default)]
pub struct Network;

/// The way to one peer.
#[derive(Debug)]
pub struct PeerClient {
    peer: Peer,
}

impl PeerClient {
    fn unreachable(&self) -> Unreachable<TypeConfig> {
        let Peer { name, peer_urls } = &self.peer;
        Unreachable::from_string(format!("member {name} at {}: no way to peers yet", peer_urls.join(",")))
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, _target: u64, node: &Peer) -> PeerClient {
        PeerClient { peer: node.clone() }
    }
}

impl RaftNetworkV2<TypeConfig> for PeerClient {
    type SnapshotData = SnapshotFolder;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    /// Overridden because the default grants without asking.
    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.vote(rpc, option).await
    }

    async fn full_snapshot(
        &mut self,
        _vote: VoteOf<TypeConfig>,
        _snapshot: SnapshotOf<TypeConfig, SnapshotFolder>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(self.unreachable().into())
    }
}
