//! `etcdserverpb.Cluster`.

use std::sync::Arc;

use proto::etcdserverpb::cluster_server::Cluster;
use proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
};
use tonic::{Request, Response, Status};

use super::Context;

/// The cluster service.
pub struct ClusterService(pub Arc<Context>);

impl ClusterService {
    fn members(&self) -> Vec<Member> {
        let group = self.0.view.shared().group.read();
        let member = |member: crate::raft::Membership| {
            let published = group.published.get(&member.id);
            Member {
                id: member.id,
                name: published.map_or(member.name, |published| published.name.clone()),
                peer_urls: member.peer_urls,
                client_urls: published.map(|published| published.client_urls.clone()).unwrap_or_default(),
                is_learner: member.learner,
            }
        };
        self.0.node.members().into_iter().map(member).collect()
    }

    /// The member's answer to a change that this version can't make.
    fn one_member<T>(&self, id: Option<u64>) -> Result<Response<T>, Status> {
        match id {
            Some(id) if self.0.node.members().iter().all(|member| member.id != id) => {
                Err(Status::not_found("etcdserver: member not found"))
            }
            _ => Err(Status::unimplemented("raftsman: a store of this version has one member")),
        }
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        if request.into_inner().linearizable {
            self.0.read_barrier().await?;
        }
        Ok(Response::new(MemberListResponse { header: self.0.header_now(), members: self.members() }))
    }

    async fn member_add(&self, _: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        self.one_member(None)
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        self.one_member(Some(request.into_inner().id))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        self.one_member(Some(request.into_inner().id))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        let id = request.into_inner().id;
        if self.0.node.members().iter().any(|member| member.id == id && !member.learner) {
            return Err(Status::failed_precondition("etcdserver: can only promote a learner member"));
        }
        self.one_member(Some(id))
    }
}
