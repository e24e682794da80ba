//! A container's environment.

use proto::core_v1::{EnvFromSource, EnvVar, EnvVarSource, FileKeySelector, LocalObjectReference};

use super::{complain, path, reference};
use crate::field::{Error, Errors, Path};
use crate::names;

/// What a `fieldRef` of a variable may name, apart from single labels and annotations.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn variables(all: &[EnvVar], at: &Path<'_>, errors: &mut Errors) {
    for (i, variable) in all.iter().enumerate() {
        let at = at.index(i);
        match variable.name.as_str() {
            "" => errors.push(Error::required(&at.child("name"), "")),
            name => complain(names::env_var(name), name, &at.child("name"), errors),
        }
        if let Some(source) = &variable.value_from {
            value_from(source, &variable.value, &at.child("valueFrom"), errors);
        }
    }
}

fn value_from(source: &EnvVarSource, value: &str, at: &Path<'_>, errors: &mut Errors) {
    let mut given = 0;
    if let Some(field) = &source.field_ref {
        given += 1;
        reference::field(field, &FIELDS, &at.child("fieldRef"), errors);
    }
    if let Some(resource) = &source.resource_field_ref {
        given += 1;
        reference::resource(resource, false, &at.child("resourceFieldRef"), errors);
    }
    let keys = [
        (source.config_map_key_ref.as_ref().map(|r| (&r.local_object_reference, &r.key)), "configMapKeyRef"),
        (source.secret_key_ref.as_ref().map(|r| (&r.local_object_reference, &r.key)), "secretKeyRef"),
    ];
    for (reference, name) in keys {
        let Some((object, key)) = reference else { continue };
        given += 1;
        let at = at.child(name);
        let object = name_of(object.as_ref());
        complain(names::dns_subdomain(object), object, &at.child("name"), errors);
        match key.as_str() {
            "" => errors.push(Error::required(&at.child("key"), "")),
            key => complain(names::config_key(key), key, &at.child("key"), errors),
        }
    }
    if let Some(file) = &source.file_key_ref {
        given += 1;
        file_key(file, &at.child("fileKeyRef"), errors);
    }
    if given == 0 {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(Error::invalid(at, "", detail));
    } else if !value.is_empty() {
        errors.push(Error::invalid(at, "", "may not be specified when `value` is not empty"));
    } else if given > 1 {
        errors.push(Error::invalid(at, "", "may not have more than one field specified at a time"));
    }
}

/// A variable in a file of a volume; whether there is such a volume is asked for the whole Pod.
fn file_key(file: &FileKeySelector, at: &Path<'_>, errors: &mut Errors) {
    match file.key.as_str() {
        "" => errors.push(Error::required(&at.child("key"), "")),
        key => complain(names::env_var(key), key, &at.child("key"), errors),
    }
    match file.volume_name.as_str() {
        "" => errors.push(Error::required(&at.child("volumeName"), "")),
        name => complain(names::dns_label(name), name, &at.child("volumeName"), errors),
    }
    match file.path.as_str() {
        "" => errors.push(Error::required(&at.child("path"), "")),
        text => path::no_backsteps(text, &at.child("path"), errors),
    }
}

/// The name in a reference, which may be missing altogether.
pub(super) fn name_of(object: Option<&LocalObjectReference>) -> &str {
    object.map_or("", |object| &object.name)
}

pub(super) fn sources(all: &[EnvFromSource], at: &Path<'_>, errors: &mut Errors) {
    for (i, source) in all.iter().enumerate() {
        let here = at.index(i);
        if !source.prefix.is_empty() {
            complain(names::env_var(&source.prefix), &source.prefix, &here.child("prefix"), errors);
        }
        let given = [
            (source.config_map_ref.as_ref().map(|r| &r.local_object_reference), "configMapRef"),
            (source.secret_ref.as_ref().map(|r| &r.local_object_reference), "secretRef"),
        ];
        for (reference, name) in &given {
            let Some(object) = reference else { continue };
            let at = here.child(name);
            match name_of(object.as_ref()) {
                "" => errors.push(Error::required(&at.child("name"), "")),
                // Kubernetes takes the name for one that gets an end yet.
                name => {
                    let problems = names::dns_subdomain(&names::mask_trailing_dash(name));
                    complain(problems, name, &at.child("name"), errors);
                }
            }
        }
        match given.iter().filter(|(reference, _)| reference.is_some()).count() {
            0 => errors.push(Error::invalid(at, "", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(Error::invalid(at, "", "may not have more than one field specified at a time")),
        }
    }
}
