//! Deletion: preconditions, grace, propagation, finalizers, and collections.
//!
//! ```text
//!  delete --> precondition? --> propagation adds `orphan` / `foregroundDeletion`, or takes them off
//!         --> grace > 0 (Pods), or finalizers?  yes: deletionTimestamp is set, the object stays (Pending)
//!                                               no:  it goes at once (Gone)
//!  update that takes the last finalizer of a deleting object --> it goes (is_due)
//! ```

use api::status;
use api::time::{Instant, later, to_time};

use super::ask::{Ask, Effect};
use super::{DeleteOptions, Deleted, ListOptions, Listed, Propagation, Registry, StatusError, Target};
use crate::context::RequestContext;
use crate::object::Object;
use crate::registry::Resource;

/// The finalizer of a deletion that leaves the dependents.
pub(crate) const ORPHAN: &str = "orphan";
/// The finalizer of a deletion that takes the dependents first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// From the message.
///
/// # Errors
/// 422 Invalid as Kubernetes words it.
pub(super) fn parse_options(options: &proto::meta_v1::DeleteOptions) -> Result<DeleteOptions, StatusError> {
    let errors = api::validate::delete_options(options);
    if !errors.is_empty() {
        return Err(status::invalid_kind("meta.k8s.io", "DeleteOptions", "", &errors));
    }
    let propagation = match (options.propagation_policy.as_deref(), options.orphan_dependents) {
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        _ => None,
    };
    let preconditions = options.preconditions.as_ref();
    Ok(DeleteOptions {
        grace_period_seconds: options.grace_period_seconds,
        uid: preconditions.and_then(|p| p.uid.clone()),
        resource_version: preconditions.and_then(|p| p.resource_version.clone()),
        propagation,
        dry_run: !options.dry_run.is_empty(),
    })
}

/// The object must be the one that the caller means.
///
/// # Errors
/// 409 in Kubernetes' words.
pub(super) fn require(target: Target<'_>, object: &dyn Object, options: &DeleteOptions) -> Result<(), StatusError> {
    let (info, meta) = (target.resource.info, object.metadata());
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != meta.uid) {
        return Err(status::delete_precondition_failed(info, target.name, "UID", uid, &meta.uid));
    }
    if let Some(revision) = options.resource_version.as_ref().filter(|revision| **revision != meta.resource_version) {
        return Err(status::delete_precondition_failed(
            info,
            target.name,
            "ResourceVersion",
            revision,
            &meta.resource_version,
        ));
    }
    Ok(())
}

/// Namespaces that a cluster cannot be without.
///
/// # Errors
/// 403 as Kubernetes' admission words it.
pub(super) fn require_mortal(target: Target<'_>) -> Result<(), StatusError> {
    let namespaces = crate::strategy::namespaces();
    if target.resource.index == namespaces.index && matches!(target.name, "default" | "kube-system") {
        return Err(status::forbidden(namespaces.info, target.name, "this namespace may not be deleted"));
    }
    Ok(())
}

/// Changes the object into one that is being deleted; true when nothing holds it and it goes at once.
pub(super) fn begin(object: &mut dyn Object, resource: &Resource, options: &DeleteOptions, now: Instant) -> bool {
    let strategy = resource.strategy;
    propagate(object, options.propagation.or_else(|| strategy.default_propagation()));
    strategy.on_delete(object, now);
    let grace = strategy.grace(object, options.grace_period_seconds);
    let meta = object.metadata_mut();
    if meta.deletion_timestamp.is_none() {
        meta.deletion_timestamp = Some(to_time(later(now, grace)));
        meta.deletion_grace_period_seconds = Some(grace);
        if meta.generation > 0 {
            meta.generation += 1;
        }
    } else if meta.deletion_grace_period_seconds.is_some_and(|left| grace < left) {
        // A second delete may only hurry.
        meta.deletion_timestamp = Some(to_time(later(now, grace)));
        meta.deletion_grace_period_seconds = Some(grace);
    }
    is_due(object)
}

fn propagate(object: &mut dyn Object, propagation: Option<Propagation>) {
    let meta = object.metadata_mut();
    // The latest wish counts; finalizers of others stay.
    if let Some(propagation) = propagation {
        meta.finalizers.retain(|finalizer| finalizer != ORPHAN && finalizer != FOREGROUND);
        match propagation {
            Propagation::Orphan => meta.finalizers.push(ORPHAN.to_string()),
            Propagation::Foreground => meta.finalizers.push(FOREGROUND.to_string()),
            Propagation::Background => {}
        }
    }
}

/// Whether a deleting object has nothing left that holds it.
pub(super) fn is_due(object: &dyn Object) -> bool {
    let meta = object.metadata();
    meta.deletion_timestamp.is_some()
        && meta.finalizers.is_empty()
        && meta.deletion_grace_period_seconds.unwrap_or(0) == 0
        && crate::strategy::may_go(object)
}

impl Registry {
    /// A namespace that is being deleted goes by a second delete, once nothing is left in it: this is how the namespace
    /// controller ends it.
    pub(super) fn require_empty(&self, target: Target<'_>, object: &dyn Object) -> Result<(), StatusError> {
        let namespaces = crate::strategy::namespaces();
        if target.resource.index != namespaces.index || object.metadata().deletion_timestamp.is_none() {
            return Ok(());
        }
        let kinds = self.resources().iter().filter(|resource| resource.info.namespaced);
        let full = { kinds }.any(|resource| self.caches.kind(resource).any(target.name, |_| true));
        if full {
            let cause = "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace \
                         will automatically be purged by the system.";
            return Err(status::conflict(namespaces.info, target.name, cause));
        }
        Ok(())
    }

    pub(super) async fn delete_object(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        options: &DeleteOptions,
    ) -> Result<Deleted, StatusError> {
        let done = self.one(ctx, Ask::Delete { target, options: options.clone() }, options.dry_run).await?;
        Ok(match done.effect {
            Effect::Removed => Deleted::Gone(done.object),
            Effect::Stored | Effect::Unchanged => Deleted::Pending(done.object),
        })
    }

    pub(super) async fn delete_matching(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<Listed, StatusError> {
        self.authorizer.authorize(&self.caches, &ctx.identity, "deletecollection", target, "", None)?;
        let listed = self.list_objects(ctx, target, list).await?;
        for object in &listed.items {
            let target = Target { resource: target.resource, namespace: object.namespace(), name: object.name() };
            match self.delete_object(ctx, target, options).await {
                Err(error) if error.is_not_found() => {}
                other => drop(other?),
            }
        }
        Ok(listed)
    }
}
