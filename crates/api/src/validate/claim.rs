//! Volumes that are claims: one that is there already, or one that is made for the Pod.

use proto::core_v1::{
    EphemeralVolumeSource, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, TypedLocalObjectReference,
};
use proto::meta_v1::ObjectMeta;

use super::complain;
use super::meta::{annotations, label_selector, labels};
use super::volume::Around;
use super::volume_source::Source;
use crate::field::{Error, Errors, Json, Path, Typed};
use crate::names;
use crate::quantity::Quantity;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];

impl Source for PersistentVolumeClaimVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        if self.claim_name.is_empty() {
            errors.push(Error::required(&at.child("claimName"), ""));
        }
    }
}

impl Source for EphemeralVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        let at = at.child("volumeClaimTemplate");
        let Some(template) = &self.volume_claim_template else {
            return errors.push(Error::required(&at, ""));
        };
        template_meta(&template.metadata.clone().unwrap_or_default(), &at.child("metadata"), errors);
        claim(&template.spec.clone().unwrap_or_default(), &at.child("spec"), errors);
    }

    fn volume_name(&self, around: Around<'_>, first: bool, at: &Path<'_>, errors: &mut Errors) {
        let Some(pod) = around.pod.filter(|pod| first && !pod.is_empty() && !around.name.is_empty()) else { return };
        let claim = format!("{pod}-{}", around.name);
        for problem in names::dns_subdomain(&claim) {
            let detail = format!("PVC name {}: {problem}", crate::field::quote(&claim));
            errors.push(Error::invalid(at, around.name, &detail));
        }
    }
}

/// A template's claim gets labels and annotations, and everything else from its Pod.
fn template_meta(meta: &ObjectMeta, at: &Path<'_>, errors: &mut Errors) {
    annotations(&meta.annotations, &at.child("annotations"), errors);
    labels(&meta.labels, &at.child("labels"), errors);
    let given = [
        (!meta.name.is_empty(), "name"),
        (!meta.generate_name.is_empty(), "generateName"),
        (!meta.namespace.is_empty(), "namespace"),
        (!meta.self_link.is_empty(), "selfLink"),
        // As Kubernetes makes it of Go's `UID`.
        (!meta.uid.is_empty(), "uID"),
        (!meta.resource_version.is_empty(), "resourceVersion"),
        (meta.generation != 0, "generation"),
        (meta.creation_timestamp.is_some(), "creationTimestamp"),
        (meta.deletion_timestamp.is_some(), "deletionTimestamp"),
        (meta.deletion_grace_period_seconds.is_some(), "deletionGracePeriodSeconds"),
        (!meta.owner_references.is_empty(), "ownerReferences"),
        (!meta.finalizers.is_empty(), "finalizers"),
        (!meta.managed_fields.is_empty(), "managedFields"),
    ];
    for (_, name) in given.into_iter().filter(|(given, _)| *given) {
        errors.push(Error::forbidden(&at.child(name), "cannot be set"));
    }
}

fn claim(spec: &PersistentVolumeClaimSpec, at: &Path<'_>, errors: &mut Errors) {
    let modes = at.child("accessModes");
    if spec.access_modes.is_empty() {
        errors.push(Error::required(&modes, "at least 1 access mode is required"));
    }
    if let Some(selector) = &spec.selector {
        label_selector(selector, &at.child("selector"), errors);
    }
    let known = |mode: &&String| ACCESS_MODES.contains(&mode.as_str());
    for mode in spec.access_modes.iter().filter(|mode| !known(mode)) {
        errors.push(Error::not_supported(&modes, Typed(mode), &ACCESS_MODES));
    }
    let (alone, others): (Vec<&String>, Vec<&String>) =
        spec.access_modes.iter().filter(known).partition(|mode| *mode == "ReadWriteOncePod");
    if !alone.is_empty() && !others.is_empty() {
        errors.push(Error::forbidden(&modes, "may not use ReadWriteOncePod with other access modes"));
    }
    storage(spec, &at.child("resources"), errors);
    class(spec.storage_class_name.as_deref(), &at.child("storageClassName"), errors);
    if let Some(mode) = spec.volume_mode.as_deref().filter(|mode| !VOLUME_MODES.contains(mode)) {
        errors.push(Error::not_supported(&at.child("volumeMode"), Typed(mode), &VOLUME_MODES));
    }
    data_sources(spec, at, errors);
    class(spec.volume_attributes_class_name.as_deref(), &at.child("volumeAttributesClassName"), errors);
}

fn storage(spec: &PersistentVolumeClaimSpec, at: &Path<'_>, errors: &mut Errors) {
    let at = at.key("storage");
    match spec.resources.as_ref().and_then(|resources| resources.requests.get("storage")) {
        None => errors.push(Error::required(&at, "")),
        Some(asked) => {
            let amount = Quantity::try_from(asked).unwrap_or(Quantity::ZERO);
            if amount.signum() <= 0 {
                errors.push(Error::invalid(&at, amount.to_string(), "must be greater than zero"));
            }
        }
    }
}

fn class(name: Option<&str>, at: &Path<'_>, errors: &mut Errors) {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        complain(names::dns_subdomain(name), name, at, errors);
    }
}

/// What a claim is filled from.
fn data_sources(spec: &PersistentVolumeClaimSpec, at: &Path<'_>, errors: &mut Errors) {
    if let Some(source) = &spec.data_source {
        data_source(source, &at.child("dataSource"), errors);
    }
    let Some(reference) = &spec.data_source_ref else { return };
    let here = at.child("dataSourceRef");
    let local = TypedLocalObjectReference {
        api_group: reference.api_group.clone(),
        kind: reference.kind.clone(),
        name: reference.name.clone(),
    };
    data_source(&local, &here, errors);
    let namespace = reference.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    if let Some(namespace) = namespace {
        complain(names::dns_label(namespace), namespace, &here.child("namespace"), errors);
    }
    let Some(source) = &spec.data_source else { return };
    // The value shown is a path of Go's, which has no JSON.
    let path = Json("{}".to_string());
    if namespace.is_some() {
        errors.push(Error::invalid(at, path, "may not be specified when dataSourceRef.namespace is specified"));
    } else if *source != local {
        errors.push(Error::invalid(at, path, "must match dataSourceRef"));
    }
}

fn data_source(source: &TypedLocalObjectReference, at: &Path<'_>, errors: &mut Errors) {
    if source.name.is_empty() {
        errors.push(Error::required(&at.child("name"), ""));
    }
    if source.kind.is_empty() {
        errors.push(Error::required(&at.child("kind"), ""));
    }
    match source.api_group.as_deref().unwrap_or_default() {
        "" if source.kind != "PersistentVolumeClaim" => {
            let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.push(Error::invalid(at, &source.kind, detail));
        }
        "" => {}
        group => complain(names::dns_subdomain(group), group, &at.child("apiGroup"), errors),
    }
}
