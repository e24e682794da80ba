//! The one question before anything is done: may this identity do this here?
//!
//! | who | may |
//! |---|---|
//! | `system:masters`, `system:control-plane` | everything |
//! | `system:nodes`, `system:simulated-nodes` | what is theirs (`nodes.rs`) |
//! | all who are authenticated | ask about themselves |
//! | the anonymous | health and version, which are no registry calls |

use api::status::{self, StatusError, Subject};

use super::{CONTROL_PLANE, MASTERS, NODES, SIMULATED_NODES, nodes};
use crate::cache::{Caches, Filter};
use crate::context::Identity;
use crate::object::Object;
use crate::registry::Target;

/// Decides by identity and request; keeps no state of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authorizer;

/// One request as a rule sees it.
pub(super) struct Request<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// The object: as it is for updates and deletes, as sent for creates.
    pub object: Option<&'a dyn Object>,
}

impl Authorizer {
    /// Whether `identity` may do `verb` to this object.
    ///
    /// # Errors
    /// 403 Forbidden in Kubernetes' words.
    pub(crate) fn authorize(
        &self,
        caches: &Caches,
        identity: &Identity,
        verb: &str,
        target: Target<'_>,
        subresource: &str,
        object: Option<&dyn Object>,
    ) -> Result<(), StatusError> {
        if everything(identity) {
            return Ok(());
        }
        let info = target.resource.info;
        let request = Request {
            verb,
            group: info.group,
            resource: info.resource,
            subresource,
            namespace: target.namespace,
            name: target.name,
            object,
        };
        let allowed = match identity.node() {
            Some(node) => nodes::may(caches, node, &request),
            None if identity.in_group(SIMULATED_NODES) => nodes::simulated_may(&request),
            None => false,
        };
        if allowed { Ok(()) } else { Err(refused(identity, &request)) }
    }

    /// Whether `identity` may list or watch what `filter` selects.
    ///
    /// # Errors
    /// 403 Forbidden in Kubernetes' words.
    pub(crate) fn authorize_list(
        &self,
        identity: &Identity,
        verb: &str,
        target: Target<'_>,
        filter: &Filter,
    ) -> Result<(), StatusError> {
        if everything(identity) {
            return Ok(());
        }
        let info = target.resource.info;
        let exact = |field| filter.fields.as_ref().and_then(|fields| fields.exact(field));
        let allowed = match identity.node() {
            Some(node) => nodes::may_list(node, info, target.namespace, exact),
            None if identity.in_group(SIMULATED_NODES) => nodes::simulated_may_list(info),
            None => false,
        };
        if allowed {
            return Ok(());
        }
        let request = Request {
            verb,
            group: info.group,
            resource: info.resource,
            subresource: "",
            namespace: target.namespace,
            name: target.name,
            object: None,
        };
        Err(refused(identity, &request))
    }

    /// Whether `identity` may do what a SelfSubjectAccessReview describes, as far as names alone tell.
    pub(crate) fn reviews(&self, identity: &Identity, verb: &str, group: &str, resource: &str) -> bool {
        if everything(identity) {
            return true;
        }
        if group == "authentication.k8s.io" || (group == "authorization.k8s.io" && resource.starts_with("selfsubject"))
        {
            return verb == "create";
        }
        let agent = identity.in_group(NODES) || identity.in_group(SIMULATED_NODES);
        agent && nodes::touches(verb, group, resource)
    }
}

/// Whether no rule holds for this identity.
pub(crate) fn everything(identity: &Identity) -> bool {
    identity.in_group(MASTERS) || identity.in_group(CONTROL_PLANE)
}

fn refused(identity: &Identity, request: &Request<'_>) -> StatusError {
    let resource = match request.subresource {
        "" => request.resource.to_string(),
        subresource => format!("{}/{subresource}", request.resource),
    };
    let place = match request.namespace {
        "" => " at the cluster scope".to_string(),
        namespace => format!(" in the namespace {}", api::field::quote(namespace)),
    };
    let cause = format!(
        "User {} cannot {} resource {} in API group {}{place}",
        api::field::quote(&identity.name),
        request.verb,
        api::field::quote(&resource),
        api::field::quote(request.group),
    );
    status::forbidden(Subject { group: request.group, resource: request.resource }, request.name, &cause)
}
