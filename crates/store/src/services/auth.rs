//! `etcdserverpb.Auth`. Who may use the store is decided by client certificates; etcd's users and roles are not
//! kept, so there are none, and authentication by password is off.

use std::sync::Arc;

use proto::etcdserverpb as pb;
use proto::etcdserverpb::auth_server::Auth;
use tonic::{Request, Response, Status};

use super::Context;

/// The auth service.
pub struct AuthService(pub Arc<Context>);

fn no_users() -> Status {
    Status::unimplemented("raftsman: users and roles are not kept; access is by client certificate")
}

fn no_such_user() -> Status {
    Status::failed_precondition("etcdserver: user name not found")
}

fn no_such_role() -> Status {
    Status::failed_precondition("etcdserver: role name not found")
}

/// Whether keys can lie in the range of a permission.
fn is_range(permission: &proto::authpb::Permission) -> bool {
    let end = &permission.range_end[..];
    !permission.key.is_empty() && (end.is_empty() || end == [0] || *permission.key < *end)
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Auth for AuthService {
    async fn auth_enable(&self, _: Request<pb::AuthEnableRequest>) -> Answer<pb::AuthEnableResponse> {
        Err(Status::failed_precondition("etcdserver: root user does not exist"))
    }

    async fn auth_disable(&self, _: Request<pb::AuthDisableRequest>) -> Answer<pb::AuthDisableResponse> {
        Ok(Response::new(pb::AuthDisableResponse { header: self.0.header_now() }))
    }

    async fn auth_status(&self, _: Request<pb::AuthStatusRequest>) -> Answer<pb::AuthStatusResponse> {
        Ok(Response::new(pb::AuthStatusResponse { header: self.0.header_now(), enabled: false, auth_revision: 1 }))
    }

    async fn authenticate(&self, _: Request<pb::AuthenticateRequest>) -> Answer<pb::AuthenticateResponse> {
        Err(Status::failed_precondition("etcdserver: authentication is not enabled"))
    }

    async fn user_add(&self, request: Request<pb::AuthUserAddRequest>) -> Answer<pb::AuthUserAddResponse> {
        if request.into_inner().name.is_empty() {
            return Err(Status::invalid_argument("etcdserver: user name is empty"));
        }
        Err(no_users())
    }

    async fn user_get(&self, _: Request<pb::AuthUserGetRequest>) -> Answer<pb::AuthUserGetResponse> {
        Err(no_such_user())
    }

    async fn user_list(&self, _: Request<pb::AuthUserListRequest>) -> Answer<pb::AuthUserListResponse> {
        Ok(Response::new(pb::AuthUserListResponse { header: self.0.header_now(), users: Vec::new() }))
    }

    async fn user_delete(&self, _: Request<pb::AuthUserDeleteRequest>) -> Answer<pb::AuthUserDeleteResponse> {
        Err(no_such_user())
    }

    async fn user_change_password(
        &self,
        _: Request<pb::AuthUserChangePasswordRequest>,
    ) -> Answer<pb::AuthUserChangePasswordResponse> {
        Err(no_such_user())
    }

    async fn user_grant_role(&self, _: Request<pb::AuthUserGrantRoleRequest>) -> Answer<pb::AuthUserGrantRoleResponse> {
        Err(no_such_user())
    }

    async fn user_revoke_role(
        &self,
        _: Request<pb::AuthUserRevokeRoleRequest>,
    ) -> Answer<pb::AuthUserRevokeRoleResponse> {
        Err(no_such_user())
    }

    async fn role_add(&self, request: Request<pb::AuthRoleAddRequest>) -> Answer<pb::AuthRoleAddResponse> {
        if request.into_inner().name.is_empty() {
            return Err(Status::invalid_argument("etcdserver: role name is empty"));
        }
        Err(no_users())
    }

    async fn role_get(&self, _: Request<pb::AuthRoleGetRequest>) -> Answer<pb::AuthRoleGetResponse> {
        Err(no_such_role())
    }

    async fn role_list(&self, _: Request<pb::AuthRoleListRequest>) -> Answer<pb::AuthRoleListResponse> {
        Ok(Response::new(pb::AuthRoleListResponse { header: self.0.header_now(), roles: Vec::new() }))
    }

    async fn role_delete(&self, _: Request<pb::AuthRoleDeleteRequest>) -> Answer<pb::AuthRoleDeleteResponse> {
        Err(no_such_role())
    }

    async fn role_grant_permission(
        &self,
        request: Request<pb::AuthRoleGrantPermissionRequest>,
    ) -> Answer<pb::AuthRoleGrantPermissionResponse> {
        match request.into_inner().perm {
            None => Err(Status::invalid_argument("etcdserver: permission not given")),
            Some(perm) if !is_range(&perm) => Err(Status::invalid_argument("etcdserver: invalid auth management")),
            Some(_) => Err(no_such_role()),
        }
    }

    async fn role_revoke_permission(
        &self,
        _: Request<pb::AuthRoleRevokePermissionRequest>,
    ) -> Answer<pb::AuthRoleRevokePermissionResponse> {
        Err(no_such_role())
    }
}
