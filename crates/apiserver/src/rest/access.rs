//! What this face asks of the registry that no object is behind: paths, rules, readiness.

use api::status::{self, StatusError};
use proto::authorization_v1::{NonResourceRule, ResourceRule, SubjectRulesReviewStatus};

use crate::auth::{AUTHENTICATED, everything};
use crate::context::RequestContext;
use crate::registry::Registry;

/// Paths that everybody may read, also without a credential.
const PUBLIC: &[&str] = &["/healthz", "/livez", "/readyz", "/version"];

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
