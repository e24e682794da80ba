//! The Auth service of a store where authentication is off and nobody has been added.

use proto::authpb::{Permission, UserAddOptions};
use proto::etcdserverpb::*;

use crate::step::Step;

pub fn script() -> Vec<Step> {
    let mut steps = vec![
        Step::AuthStatus,
        Step::AuthEnable,
        Step::AuthDisable,
        Step::AuthStatus,
        Step::Authenticate(AuthenticateRequest { name: "root".into(), password: "x".into() }),
        Step::Authenticate(AuthenticateRequest::default()),
        Step::UserList,
        Step::RoleList,
    ];
    for name in ["", "root", "someone"] {
        steps.extend(user(name.to_owned()));
        steps.extend(role(name.to_owned()));
    }
    steps
}

fn user(name: String) -> Vec<Step> {
    vec![
        Step::UserGet(AuthUserGetRequest { name: name.clone() }),
        Step::UserDelete(AuthUserDeleteRequest { name: name.clone() }),
        Step::UserChangePassword(AuthUserChangePasswordRequest {
            name: name.clone(),
            password: "x".into(),
            ..Default::default()
        }),
        Step::UserChangePassword(AuthUserChangePasswordRequest { name: name.clone(), ..Default::default() }),
        Step::UserGrantRole(AuthUserGrantRoleRequest { user: name.clone(), role: "root".into() }),
        Step::UserGrantRole(AuthUserGrantRoleRequest { user: name.clone(), role: "other".into() }),
        Step::UserRevokeRole(AuthUserRevokeRoleRequest { name: name.clone(), role: "root".into() }),
    ]
}

fn role(name: String) -> Vec<Step> {
    let permission = |key: &str, end: &str| Permission {
        perm_type: 2,
        key: key.as_bytes().to_vec(),
        range_end: end.as_bytes().to_vec(),
    };
    let grant = |perm| Step::RoleGrantPermission(AuthRoleGrantPermissionRequest { name: name.clone(), perm });
    vec![
        Step::RoleGet(AuthRoleGetRequest { role: name.clone() }),
        Step::RoleDelete(AuthRoleDeleteRequest { role: name.clone() }),
        grant(None),
        grant(Some(permission("a", ""))),
        grant(Some(permission("a", "b"))),
        grant(Some(permission("b", "a"))),
        grant(Some(permission("a", "a"))),
        grant(Some(permission("", ""))),
        grant(Some(permission("", "b"))),
        grant(Some(permission("a", "\0"))),
        Step::RoleRevokePermission(AuthRoleRevokePermissionRequest {
            role: name.clone(),
            key: "a".into(),
            range_end: "b".into(),
        }),
    ]
}

/// Adding somebody, which we refuse; not part of the script, for it would give etcd users that we don't have.
pub fn additions() -> Vec<Step> {
    vec![
        Step::UserAdd(AuthUserAddRequest::default()),
        Step::RoleAdd(AuthRoleAddRequest::default()),
        Step::UserAdd(AuthUserAddRequest {
            name: "someone".into(),
            options: Some(UserAddOptions { no_password: true }),
            ..Default::default()
        }),
        Step::RoleAdd(AuthRoleAddRequest { name: "someone".into() }),
    ]
}
