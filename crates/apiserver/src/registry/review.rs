//! Questions about oneself, and tokens of service accounts.

use std::collections::BTreeMap;

use api::status;
use api::time::to_time;
use chrono::TimeDelta;
use proto::authentication_v1 as authn;
use proto::authorization_v1 as authz;

use super::{Freshness, Registry, StatusError, Target, resource};
use crate::auth::{Account, Claims, ISSUER, Named};
use crate::context::RequestContext;

/// A token's life where the request names none, in seconds.
const DEFAULT_LIFE: i64 = 3600;
/// Bounds of a token's life, in seconds: Kubernetes' own.
const LIFE: std::ops::RangeInclusive<i64> = 600..=86_400;

impl Registry {
    /// `selfsubjectreviews`: who am I?
    ///
    /// # Errors
    /// 401 for the anonymous.
    pub fn self_subject_review(&self, ctx: &RequestContext) -> Result<authn::SelfSubjectReview, StatusError> {
        let identity = &ctx.identity;
        if !identity.in_group(crate::auth::AUTHENTICATED) {
            return Err(status::unauthorized());
        }
        let user_info = authn::UserInfo {
            username: identity.name.clone(),
            uid: identity.uid.clone(),
            groups: identity.groups.clone(),
            extra: BTreeMap::new(),
        };
        Ok(authn::SelfSubjectReview {
            status: Some(authn::SelfSubjectReviewStatus { user_info: Some(user_info) }),
            ..Default::default()
        })
    }

    /// `selfsubjectaccessreviews`: may I?
    pub fn access_review(
        &self,
        ctx: &RequestContext,
        spec: &authz::SelfSubjectAccessReviewSpec,
    ) -> authz::SubjectAccessReviewStatus {
        let allowed = match &spec.resource_attributes {
            Some(asked) => self.authorizer.reviews(&ctx.identity, &asked.verb, &asked.group, &asked.resource),
            None => {
                let path = spec.non_resource_attributes.as_ref().map_or("", |asked| asked.path.as_str());
                let open = ["/livez", "/readyz", "/healthz", "/version", "/api", "/apis", "/openapi"];
                crate::auth::everything(&ctx.identity) || open.iter().any(|prefix| path.starts_with(prefix))
            }
        };
        authz::SubjectAccessReviewStatus { allowed, ..Default::default() }
    }

    /// `serviceaccounts/token`: a token for the account.
    ///
    /// # Errors
    /// 403, 404 for no such account, 422 for a life out of bounds.
    pub async fn create_token(
        &self,
        ctx: &RequestContext,
        namespace: &str,
        name: &str,
        request: &authn::TokenRequest,
    ) -> Result<authn::TokenRequest, StatusError> {
        let accounts = resource::find("", "v1", "serviceaccounts").expect("ServiceAccounts are served");
        let target = Target { resource: accounts, namespace, name };
        self.authorize(ctx, "create", target, "token")?;
        let account = self.get_object(ctx, target, Freshness::Consistent).await?;
        let spec = request.spec.clone().unwrap_or_default();
        let life = spec.expiration_seconds.unwrap_or(DEFAULT_LIFE);
        if !LIFE.contains(&life) {
            let path = api::field::Path::new("spec");
            let path = path.child("expirationSeconds");
            let detail = if life < *LIFE.start() {
                "may not specify a duration less than 10 minutes"
            } else {
                "may not specify a duration larger than 1 day"
            };
            let errors = [api::field::Error::invalid(&path, life, detail)];
            return Err(status::invalid_kind("authentication.k8s.io", "TokenRequest", name, &errors));
        }
        let audiences = if spec.audiences.is_empty() { vec![ISSUER.to_string()] } else { spec.audiences.clone() };
        let ends = ctx.now + TimeDelta::seconds(life);
        let claims = Claims {
            iss: ISSUER.to_string(),
            sub: format!("system:serviceaccount:{namespace}:{name}"),
            aud: audiences.clone(),
            exp: ends.timestamp(),
            iat: ctx.now.timestamp(),
            account: Account {
                namespace: namespace.to_string(),
                serviceaccount: Named { name: name.to_string(), uid: account.uid() },
            },
        };
        let token = self.keys.sign(&claims).ok_or_else(|| status::internal_error("the token could not be signed"))?;
        let mut answer = request.clone();
        answer.spec = Some(authn::TokenRequestSpec { audiences, expiration_seconds: Some(life), ..spec });
        answer.status = Some(authn::TokenRequestStatus { token, expiration_timestamp: Some(to_time(ends)) });
        Ok(answer)
    }
}
