//! The Group service: how members meet before they know each other.

use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb as etcd;
use proto::raftsman_store_v1::group_server::Group;
use proto::raftsman_store_v1::member_change::Change;
use proto::raftsman_store_v1::{HelloRequest, HelloResponse, JoinMember, Member, MemberChange, MemberChanged};
use tonic::{Request, Response, Status};

use super::change;
use crate::services::Context;

/// How long the leader may take to say that it has no such member.
const CERTAIN_WITHIN: Duration = Duration::from_secs(3);

/// The service of one member.
pub struct GroupService(pub Arc<Context>);

#[tonic::async_trait]
impl Group for GroupService {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        let HelloRequest { member_id: asker, cluster_id, .. } = request.into_inner();
        let node = &self.0.node;
        let initialized = node.initialized().await.map_err(|_| crate::services::status::stopped())?;
        let contact = node.contacts().and_then(|contacts| contacts.get(&asker).copied());
        let members = change::listed(&self.0, node.members()).into_iter();
        let member = |member: etcd::Member| {
            (member.id, Member { name: member.name, peer_urls: member.peer_urls, ..Default::default() })
        };
        let starts = self.0.view.shared().group.read().published.get(&asker).map_or(0, |known| known.starts);
        let cluster = node.identity().cluster();
        Ok(Response::new(HelloResponse {
            member_id: node.id(),
            name: self.0.introduction.name.clone(),
            cluster_id: cluster,
            initialized,
            members: members.map(member).collect(),
            session: self.0.introduction.session,
            initial: self.0.introduction.initial.clone(),
            removed: cluster != 0 && cluster_id == cluster && initialized && self.has_removed(asker).await,
            starts,
            matched: contact.and_then(|contact| contact.matched),
        }))
    }

    async fn join(&self, request: Request<JoinMember>) -> Result<Response<MemberChanged>, Status> {
        let wanted = MemberChange { change: Some(Change::Join(request.into_inner())) };
        Ok(Response::new(change::anywhere(&self.0, wanted).await?))
    }
}

impl GroupService {
    /// Whether the group certainly has no such member: this one may only lag, so it asks the leader.
    async fn has_removed(&self, id: u64) -> bool {
        if id == 0 || self.0.node.has_member(id) {
            return false;
        }
        let barrier = tokio::time::timeout(CERTAIN_WITHIN, self.0.node.read_barrier()).await;
        matches!(barrier, Ok(Ok(()))) && !self.0.node.has_member(id)
    }
}
