//! Names, labels, annotations, owners and finalizers of any object.

use std::collections::{BTreeMap, BTreeSet};

use proto::meta_v1::{LabelSelector, ObjectMeta, OwnerReference};

use super::{complain, immutable, non_negative};
use crate::field::{Error, Errors, Json, Path};
use crate::meta::{FINALIZER_FOREGROUND, FINALIZER_ORPHAN};
use crate::{names, time};

/// All keys and values of an object's annotations together.
const ANNOTATIONS_MAX: usize = 256 << 10;
const FIELD_MANAGER_MAX: usize = 128;

/// Which names a kind's objects may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Labels with dots between them: most kinds.
    Subdomain,
    /// One label: Namespaces and Services.
    Label,
}

impl Name {
    fn problems(self, name: &str) -> Vec<String> {
        match self {
            Name::Subdomain => names::dns_subdomain(name),
            Name::Label => names::dns_label(name),
        }
    }
}

/// The metadata of a new object (or of any, taken alone).
pub fn object_meta(meta: &ObjectMeta, namespaced: bool, name: Name, errors: &mut Errors) {
    any_meta(meta, namespaced, name, errors);
    for (i, finalizer) in meta.finalizers.iter().enumerate() {
        standard_finalizer(finalizer, &Path::new("metadata.finalizers").index(i), errors);
    }
}

/// What Kubernetes asks of the metadata at every update before the kind's own rules, which ask again: the answer's message
/// shows each line once, its causes show all.
pub fn any_update(new: &ObjectMeta, old: &ObjectMeta, namespaced: bool) -> Errors {
    let mut errors = Vec::new();
    any_meta(new, namespaced, Name::Subdomain, &mut errors);
    object_meta_update(new, old, &mut errors);
    errors
}

fn any_meta(meta: &ObjectMeta, namespaced: bool, name: Name, errors: &mut Errors) {
    let at = Path::new("metadata");
    if !meta.generate_name.is_empty() {
        let problems = name.problems(&names::mask_trailing_dash(&meta.generate_name));
        complain(problems, &meta.generate_name, &at.child("generateName"), errors);
    }
    if meta.name.is_empty() {
        errors.push(Error::required(&at.child("name"), "name or generateName is required"));
    } else {
        complain(name.problems(&meta.name), &meta.name, &at.child("name"), errors);
    }
    if !namespaced {
        if !meta.namespace.is_empty() {
            errors.push(Error::forbidden(&at.child("namespace"), "not allowed on this type"));
        }
    } else if meta.namespace.is_empty() {
        errors.push(Error::required(&at.child("namespace"), ""));
    } else {
        complain(names::dns_label(&meta.namespace), &meta.namespace, &at.child("namespace"), errors);
    }
    non_negative(Some(meta.generation), &at.child("generation"), errors);
    labels(&meta.labels, &at.child("labels"), errors);
    annotations(&meta.annotations, &at.child("annotations"), errors);
    owners(&meta.owner_references, &at.child("ownerReferences"), errors);
    finalizers(&meta.finalizers, &at.child("finalizers"), errors);
    managed_fields(meta, &at.child("managedFields"), errors);
}

/// A finalizer of the server's own, or one with its owner's domain.
pub(super) fn standard_finalizer(name: &str, at: &Path<'_>, errors: &mut Errors) {
    if !name.contains('/') && !["kubernetes", FINALIZER_FOREGROUND, FINALIZER_ORPHAN].contains(&name) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(Error::invalid(at, name, detail));
    }
}

/// What may not change in an object's metadata.
pub fn object_meta_update(new: &ObjectMeta, old: &ObjectMeta, errors: &mut Errors) {
    let at = Path::new("metadata");
    if crate::meta::is_deleting(old) {
        let before: BTreeSet<&String> = old.finalizers.iter().collect();
        let added: BTreeSet<&String> = new.finalizers.iter().filter(|name| !before.contains(name)).collect();
        if !added.is_empty() {
            let shown: Vec<String> = added.into_iter().map(|name| crate::field::quote(name)).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            errors.push(Error::forbidden(&at.child("finalizers"), &detail));
        }
    }
    if new.generation < old.generation {
        errors.push(Error::invalid(&at.child("generation"), new.generation, "must not be decremented"));
    }
    immutable(&new.name, &old.name, &at.child("name"), String::clone, errors);
    immutable(&new.namespace, &old.namespace, &at.child("namespace"), String::clone, errors);
    immutable(&new.uid, &old.uid, &at.child("uid"), String::clone, errors);
    let times = [
        (&new.creation_timestamp, &old.creation_timestamp, "creationTimestamp"),
        (&new.deletion_timestamp, &old.deletion_timestamp, "deletionTimestamp"),
    ];
    for (new, old, name) in times {
        let (new, old) = (time::opt(new), time::opt(old));
        let shown = |at: &Option<time::Instant>| at.map(time::rfc3339);
        immutable(&new, &old, &at.child(name), shown, errors);
    }
    let (grace, before) = (&new.deletion_grace_period_seconds, &old.deletion_grace_period_seconds);
    immutable(grace, before, &at.child("deletionGracePeriodSeconds"), |grace| *grace, errors);

    labels(&new.labels, &at.child("labels"), errors);
    annotations(&new.annotations, &at.child("annotations"), errors);
    owners(&new.owner_references, &at.child("ownerReferences"), errors);
    managed_fields(new, &at.child("managedFields"), errors);
}

/// Keys and values of labels.
pub(super) fn labels(labels: &BTreeMap<String, String>, at: &Path<'_>, errors: &mut Errors) {
    for (key, value) in labels {
        complain(names::label_key(key), key, at, errors);
        complain(names::label_value(value), value, at, errors);
    }
}

/// Keys of annotations, and the size of all.
pub(super) fn annotations(annotations: &BTreeMap<String, String>, at: &Path<'_>, errors: &mut Errors) {
    for key in annotations.keys() {
        complain(names::label_key(&key.to_lowercase()), key, at, errors);
    }
    if annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > ANNOTATIONS_MAX {
        errors.push(Error::too_long(at, ANNOTATIONS_MAX));
    }
}

fn owners(owners: &[OwnerReference], at: &Path<'_>, errors: &mut Errors) {
    let mut controller: Option<String> = None;
    for owner in owners {
        let version = owner.api_version.rsplit('/').next().unwrap_or_default();
        if version.is_empty() {
            errors.push(Error::invalid(&at.child("apiVersion"), &owner.api_version, "version must not be empty"));
        }
        for (value, name) in [(&owner.kind, "kind"), (&owner.name, "name"), (&owner.uid, "uid")] {
            if value.is_empty() {
                errors.push(Error::invalid(&at.child(name), value, "must not be empty"));
            }
        }
        if owner.api_version == "v1" && owner.kind == "Event" {
            errors.push(Error::invalid(at, Json::of(owner), "/v1, Kind=Event is disallowed from being an owner"));
        }
        if owner.controller == Some(true) {
            let this = format!("{}/{}", owner.kind, owner.name);
            if let Some(first) = &controller {
                let all: Vec<String> = owners.iter().map(|owner| Json::of(owner).0).collect();
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                errors.push(Error::invalid(at, Json(format!("[{}]", all.join(","))), &detail));
            } else {
                controller = Some(this);
            }
        }
    }
}

fn finalizers(finalizers: &[String], at: &Path<'_>, errors: &mut Errors) {
    for finalizer in finalizers {
        complain(names::label_key(finalizer), finalizer, at, errors);
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if has(FINALIZER_ORPHAN) && has(FINALIZER_FOREGROUND) {
        let detail = format!("finalizer {FINALIZER_ORPHAN} and {FINALIZER_FOREGROUND} cannot be both set");
        errors.push(Error::invalid(at, finalizers, &detail));
    }
}

fn managed_fields(meta: &ObjectMeta, at: &Path<'_>, errors: &mut Errors) {
    for (i, entry) in meta.managed_fields.iter().enumerate() {
        let at = at.index(i);
        if !["Apply", "Update"].contains(&entry.operation.as_str()) {
            errors.push(Error::invalid(&at.child("operation"), &entry.operation, "must be `Apply` or `Update`"));
        }
        if !["", "FieldsV1"].contains(&entry.fields_type.as_str()) {
            errors.push(Error::invalid(&at.child("fieldsType"), &entry.fields_type, "must be `FieldsV1`"));
        }
        field_manager(&entry.manager, &at.child("manager"), errors);
    }
}

/// The name of who writes.
pub fn field_manager(manager: &str, at: &Path<'_>, errors: &mut Errors) {
    if manager.len() > FIELD_MANAGER_MAX {
        errors.push(Error::too_long(at, FIELD_MANAGER_MAX));
    }
    for (i, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {i})", c as u32);
        errors.push(Error::invalid(at, manager, &detail));
    }
}

/// A selector in an object.
pub(super) fn label_selector(selector: &LabelSelector, at: &Path<'_>, errors: &mut Errors) {
    labels(&selector.match_labels, &at.child("matchLabels"), errors);
    let expressions = at.child("matchExpressions");
    for (i, expression) in selector.match_expressions.iter().enumerate() {
        let at = expressions.index(i);
        let values = at.child("values");
        match (expression.operator.as_str(), expression.values.is_empty()) {
            ("In" | "NotIn", true) => {
                errors.push(Error::required(&values, "must be specified when `operator` is 'In' or 'NotIn'"));
            }
            ("Exists" | "DoesNotExist", false) => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(Error::forbidden(&values, detail));
            }
            ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
            (other, _) => errors.push(Error::invalid(&at.child("operator"), other, "not a valid selector operator")),
        }
        complain(names::label_key(&expression.key), &expression.key, &at.child("key"), errors);
        for (i, value) in expression.values.iter().enumerate() {
            complain(names::label_value(value), value, &values.index(i), errors);
        }
    }
}
