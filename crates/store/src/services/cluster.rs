//! `etcdserverpb.Cluster`.

use std::sync::Arc;

use proto::etcdserverpb::cluster_server::Cluster;
use proto::etcdserverpb::{
    MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
    ResponseHeader,
};
use proto::raftsman_store_v1::member_change::Change;
use proto::raftsman_store_v1::{AddMember, MemberChange, MemberChanged, PromoteMember, RemoveMember, UpdateMember};
use tonic::{Request, Response, Status};

use super::Context;
use crate::members::change;

/// The cluster service.
pub struct ClusterService(pub Arc<Context>);

impl ClusterService {
    /// This service's headers carry no revision, as etcd's.
    fn header(&self) -> Option<ResponseHeader> {
        Some(self.0.header(0))
    }

    async fn change(&self, change: Change) -> Result<MemberChanged, Status> {
        change::anywhere(&self.0, MemberChange { change: Some(change) }).await
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        if request.into_inner().linearizable {
            self.0.read_barrier().await?;
        }
        let members = change::listed(&self.0, self.0.node.members());
        Ok(Response::new(MemberListResponse { header: self.header(), members }))
    }

    async fn member_add(&self, request: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        let MemberAddRequest { peer_urls, is_learner: learner } = request.into_inner();
        let MemberChanged { member_id, members, .. } =
            self.change(Change::Add(AddMember { peer_urls, learner })).await?;
        let member = members.iter().find(|member| member.id == member_id).cloned();
        Ok(Response::new(MemberAddResponse { header: self.header(), member, members }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        let id = request.into_inner().id;
        let members = self.change(Change::Remove(RemoveMember { id })).await?.members;
        Ok(Response::new(MemberRemoveResponse { header: self.header(), members }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        let MemberUpdateRequest { id, peer_urls } = request.into_inner();
        let members = self.change(Change::Update(UpdateMember { id, peer_urls })).await?.members;
        Ok(Response::new(MemberUpdateResponse { header: self.header(), members }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        let id = request.into_inner().id;
        let members = self.change(Change::Promote(PromoteMember { id })).await?.members;
        Ok(Response::new(MemberPromoteResponse { header: self.header(), members }))
    }
}
