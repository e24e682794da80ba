//! Pods.

use proto::core_v1::{Pod, PodSpec};

use super::meta::{Name, object_meta, object_meta_update};
use super::{container, pod_spec, volume};
use crate::fence;
use crate::field::{Error, Errors, Path};
use crate::meta::{Object, same_content};

/// A new Pod.
pub fn pod_create(pod: &Pod) -> Errors {
    let mut errors = Vec::new();
    object_meta(pod.meta(), true, Name::Subdomain, &mut errors);
    let (spec, at) = (pod.spec.clone().unwrap_or_default(), Path::new("spec"));
    pod_spec::pod_spec(&spec, Some(pod.name()), &at, false, &mut errors);
    volume::tokens(&spec, &at, &mut errors);
    container::trimmed_images(&spec.containers, &at.child("containers"), &mut errors);
    container::trimmed_images(&spec.init_containers, &at.child("initContainers"), &mut errors);
    if !spec.ephemeral_containers.is_empty() {
        errors.push(Error::forbidden(&at.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !spec.node_name.is_empty() && !spec.scheduling_gates.is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(Error::forbidden(&at.child("nodeName"), detail));
    }
    errors
}

/// A Pod's new version: images, the deadline, added tolerations; the node where it had none.
pub fn pod_update(new: &Pod, old: &Pod) -> Errors {
    let mut errors = Vec::new();
    object_meta_update(new.meta(), old.meta(), &mut errors);
    let (after, before) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    for (name, new, old) in [
        ("containers", &after.containers, &before.containers),
        ("initContainers", &after.init_containers, &before.init_containers),
    ] {
        if new.len() != old.len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(Error::forbidden(&Path::new("spec").child(name), detail));
            return errors;
        }
    }
    if after.tolerations.len() < before.tolerations.len()
        || before.tolerations.iter().any(|toleration| !after.tolerations.contains(toleration))
    {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(Error::forbidden(&Path::new("spec.tolerations"), detail));
    }
    if !before.node_name.is_empty() && fence::is_shortened(&after.tolerations, &before.tolerations) {
        let detail = "a pod that is bound to a node may not tolerate node.kubernetes.io/unreachable for a shorter time than \
                      before: its node holds it to the time with which it began";
        errors.push(Error::forbidden(&Path::new("spec.tolerations"), detail));
    }
    if !same_content(Some(&adopted(&before, &after)), Some(&after)) {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(Error::forbidden(&Path::new("spec"), detail));
    }
    if errors.is_empty() {
        let at = Path::new("spec");
        container::trimmed_images(&after.containers, &at.child("containers"), &mut errors);
        container::trimmed_images(&after.init_containers, &at.child("initContainers"), &mut errors);
        pod_spec::pod_spec(&after, Some(new.name()), &Path::new("spec"), false, &mut errors);
    }
    errors
}

/// `old` with all of `new` that may change.
fn adopted(old: &PodSpec, new: &PodSpec) -> PodSpec {
    let mut spec = old.clone();
    for (old, new) in spec.containers.iter_mut().zip(&new.containers) {
        old.image = new.image.clone();
    }
    for (old, new) in spec.init_containers.iter_mut().zip(&new.init_containers) {
        old.image = new.image.clone();
    }
    spec.active_deadline_seconds = new.active_deadline_seconds;
    spec.tolerations = new.tolerations.clone();
    spec.scheduling_gates = new.scheduling_gates.clone();
    if spec.node_name.is_empty() {
        spec.node_name = new.node_name.clone();
    }
    spec
}

/// A Pod's new status: only its metadata has rules here.
pub fn pod_status_update(new: &Pod, old: &Pod) -> Errors {
    let mut errors = Vec::new();
    object_meta_update(new.meta(), old.meta(), &mut errors);
    errors
}
