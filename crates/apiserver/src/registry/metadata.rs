//! The managed part of an object's metadata: what the server sets, and what a writer cannot change.

use api::status;
use api::time::{Instant, to_time};

use super::{StatusError, Target};
use crate::object::Object;

/// Gives a new object its identity. Answers whether its name was generated.
///
/// # Errors
/// 400 for a namespace other than the request's, or a resourceVersion.
pub(super) fn for_create(object: &mut dyn Object, target: Target<'_>, now: Instant) -> Result<bool, StatusError> {
    let namespaced = target.resource.info.namespaced;
    let meta = object.metadata_mut();
    // One that is no number is none, as for Kubernetes.
    if meta.resource_version.parse::<u64>().is_ok_and(|version| version != 0) {
        return Err(status::bad_request("resourceVersion should not be set on objects to be created"));
    }
    meta.resource_version.clear();
    place(meta, target, namespaced)?;
    let generated = meta.name.is_empty() && !meta.generate_name.is_empty();
    if generated {
        meta.name = api::meta::generate_name(&meta.generate_name, rand::random());
    }
    meta.uid = uuid::Uuid::new_v4().to_string();
    meta.creation_timestamp = Some(to_time(now));
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.self_link.clear();
    meta.managed_fields.clear();
    Ok(generated)
}

fn place(meta: &mut proto::meta_v1::ObjectMeta, target: Target<'_>, namespaced: bool) -> Result<(), StatusError> {
    if !namespaced {
        meta.namespace.clear();
    } else if meta.namespace.is_empty() {
        meta.namespace = target.namespace.to_string();
    } else if meta.namespace != target.namespace {
        return Err(status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// Carries over what a writer cannot change; the resourceVersion has been taken out before.
///
/// # Errors
/// 400 for another name or namespace than the request's, 409 for another uid.
pub(super) fn for_update(new: &mut dyn Object, old: &dyn Object, target: Target<'_>) -> Result<(), StatusError> {
    let info = target.resource.info;
    let was = old.metadata();
    let meta = new.metadata_mut();
    if meta.name.is_empty() {
        meta.name = was.name.clone();
    }
    if meta.name != target.name {
        return Err(status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            meta.name, target.name
        )));
    }
    place(meta, target, info.namespaced)?;
    if !meta.uid.is_empty() && meta.uid != was.uid {
        return Err(status::precondition_failed(info, target.name, "UID", &meta.uid, &was.uid));
    }
    meta.uid = was.uid.clone();
    meta.generate_name = was.generate_name.clone();
    meta.creation_timestamp = was.creation_timestamp;
    meta.deletion_timestamp = was.deletion_timestamp;
    meta.deletion_grace_period_seconds = was.deletion_grace_period_seconds;
    meta.generation = was.generation;
    meta.self_link.clear();
    meta.managed_fields.clear();
    Ok(())
}

/// Keeps all metadata as it was.
pub(super) fn keep(new: &mut dyn Object, old: &dyn Object) {
    *new.metadata_mut() = old.metadata().clone();
    new.metadata_mut().resource_version.clear();
}
