//! What this face asks of the registry that no object is behind: paths, rules, readiness.

use std::sync::Arc;

use api::status::{self, StatusError};
use proto::authorization_v1::{NonResourceRule, ResourceRule, SubjectRulesReviewStatus};

use http::HeaderMap;

use crate::auth::{AUTHENTICATED, everything};
use crate::context::{Identity, RequestContext};
use crate::registry::Registry;

/// Paths that everybody may read, also without a credential.
const PUBLIC: &[&str] = &["/healthz", "/livez", "/readyz", "/version"];

/// Whom the caller acts for: itself, or with `Impersonate-User` (`kubectl --as`) somebody else,
/// which only those may who may do everything.
///
/// # Errors
/// 403 Forbidden in Kubernetes' words.
pub(super) fn acting(caller: &Arc<Identity>, headers: &HeaderMap) -> Result<Arc<Identity>, StatusError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let groups = headers.get_all("impersonate-group").iter().filter_map(|value| value.to_str().ok());
    let mut groups: Vec<String> = groups.map(str::to_string).collect();
    let uid = text("impersonate-uid").unwrap_or_default().to_string();
    let Some(name) = text("impersonate-user") else {
        return match groups.is_empty() && uid.is_empty() {
            true => Ok(caller.clone()),
            false => Err(status::internal_error("requested impersonation without impersonating a user")),
        };
    };
    if !everything(caller) {
        let user = api::field::quote(&caller.name);
        let cause = format!("User {user} cannot impersonate resource \"users\" in API group \"\" at the cluster scope");
        return Err(status::forbidden(status::Subject { group: "", resource: "users" }, name, &cause));
    }
    let known = match name {
        "system:anonymous" => "system:unauthenticated",
        _ => AUTHENTICATED,
    };
    if !groups.iter().any(|group| group == known) {
        groups.push(known.to_string());
    }
    Ok(Arc::new(Identity { name: name.to_string(), uid, groups }))
}

impl Registry {
    /// Whether the caller may `get` a path that is no resource. Discovery is for all who are
    /// authenticated; metrics are for those who may do everything.
    ///
    /// # Errors
    /// 403 Forbidden in Kubernetes' words.
    pub(super) fn authorize_path(&self, ctx: &RequestContext, path: &str) -> Result<(), StatusError> {
        let identity = &ctx.identity;
        let public = PUBLIC
            .iter()
            .any(|open| path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        let allowed = match path {
            _ if public || everything(identity) => true,
            "/metrics" => false,
            _ => identity.in_group(AUTHENTICATED),
        };
        if allowed {
            return Ok(());
        }
        let user = api::field::quote(&identity.name);
        let cause = format!("User {user} cannot get path {}", api::field::quote(path));
        Err(status::forbidden(status::Subject { group: "", resource: "" }, "", &cause))
    }

    /// `selfsubjectrulesreviews`: what may I? Names alone are told, as in reviews of access.
    pub(super) fn rules_review(&self, ctx: &RequestContext) -> SubjectRulesReviewStatus {
        let all = || vec!["*".to_string()];
        if everything(&ctx.identity) {
            return SubjectRulesReviewStatus {
                resource_rules: vec![ResourceRule {
                    verbs: all(),
                    api_groups: all(),
                    resources: all(),
                    ..Default::default()
                }],
                non_resource_rules: vec![NonResourceRule { verbs: all(), non_resource_urls: all() }],
                ..Default::default()
            };
        }
        let create = vec!["create".to_string()];
        let about_oneself = [
            ("authentication.k8s.io", "selfsubjectreviews"),
            ("authorization.k8s.io", "selfsubjectaccessreviews"),
            ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ];
        SubjectRulesReviewStatus {
            resource_rules: about_oneself
                .map(|(group, resource)| ResourceRule {
                    verbs: create.clone(),
                    api_groups: vec![group.to_string()],
                    resources: vec![resource.to_string()],
                    ..Default::default()
                })
                .into(),
            non_resource_rules: vec![NonResourceRule {
                verbs: vec!["get".to_string()],
                non_resource_urls: PUBLIC.iter().map(|path| path.to_string()).collect(),
            }],
            // Nodes may do more than this, but what depends on each object.
            incomplete: ctx.identity.node().is_some(),
            ..Default::default()
        }
    }

    /// Whether requests can be served: the caches were filled from the store.
    pub(super) fn is_ready(&self) -> Result<(), String> {
        match self.caches.ready() {
            true => Ok(()),
            false => Err("the caches are not filled yet".to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admins_act_for_others() {
        let mut headers = HeaderMap::new();
        let admin = Arc::new(Identity::internal());
        assert_eq!(acting(&admin, &headers).expect("itself"), admin);
        headers.insert("impersonate-user", "bob".parse().expect("a value"));
        headers.append("impersonate-group", "dev".parse().expect("a value"));
        let bob = acting(&admin, &headers).expect("bob");
        assert_eq!((bob.name.as_str(), bob.groups.as_slice()), ("bob", &["dev".to_string(), AUTHENTICATED.into()][..]));
        let refused = acting(&bob, &headers).expect_err("bob may not");
        assert_eq!(refused.code(), 403);
        assert_eq!(
            refused.message(),
            r#"users "bob" is forbidden: User "bob" cannot impersonate resource "users" in API group "" at the cluster scope"#
        );
        headers.remove("impersonate-user");
        assert_eq!(acting(&admin, &headers).expect_err("whom?").code(), 500);
    }
}
