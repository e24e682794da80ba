//! A container's environment.

use proto::core_v1::{EnvFromSource, EnvVar, EnvVarSource};

use super::complain;
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

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
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
        field_path(&field.field_path, &at.child("fieldRef"), errors);
    }
    if let Some(resource) = &source.resource_field_ref {
        given += 1;
        let at = at.child("resourceFieldRef");
        match resource.resource.as_str() {
            "" => errors.push(Error::required(&at.child("resource"), "")),
            name if RESOURCES.contains(&name) || name.contains("hugepages-") => {}
            name => errors.push(Error::not_supported(&at.child("resource"), name, &RESOURCES)),
        }
    }
    let keys = [
        (source.config_map_key_ref.as_ref().map(|r| (&r.local_object_reference, &r.key)), "configMapKeyRef"),
        (source.secret_key_ref.as_ref().map(|r| (&r.local_object_reference, &r.key)), "secretKeyRef"),
    ];
    for (reference, name) in keys {
        let Some((object, key)) = reference else { continue };
        given += 1;
        let at = at.child(name);
        object_name(object.as_ref().map_or("", |object| &object.name), &at, errors);
        match key.as_str() {
            "" => errors.push(Error::required(&at.child("key"), "")),
            key => complain(names::config_key(key), key, &at.child("key"), errors),
        }
    }
    given += i32::from(source.file_key_ref.is_some());
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

fn field_path(path: &str, at: &Path<'_>, errors: &mut Errors) {
    let at = at.child("fieldPath");
    let keyed = |prefix: &str| path.strip_prefix(prefix).and_then(|rest| rest.strip_suffix("']"));
    if let Some(key) = keyed("metadata.labels['").or_else(|| keyed("metadata.annotations['")) {
        return complain(names::label_key(key), key, &at, errors);
    }
    match path {
        "" => errors.push(Error::required(&at, "")),
        path if FIELDS.contains(&path) => {}
        path => errors.push(Error::not_supported(&at, path, &FIELDS)),
    }
}

fn object_name(name: &str, at: &Path<'_>, errors: &mut Errors) {
    match name {
        "" => errors.push(Error::required(&at.child("name"), "")),
        name => complain(names::dns_subdomain(name), name, &at.child("name"), errors),
    }
}

pub(super) fn sources(all: &[EnvFromSource], at: &Path<'_>, errors: &mut Errors) {
    for (i, source) in all.iter().enumerate() {
        let at = at.index(i);
        if !source.prefix.is_empty() {
            complain(names::env_var(&source.prefix), &source.prefix, &at.child("prefix"), errors);
        }
        let given = [
            (source.config_map_ref.as_ref().map(|r| &r.local_object_reference), "configMapRef"),
            (source.secret_ref.as_ref().map(|r| &r.local_object_reference), "secretRef"),
        ];
        for (reference, name) in &given {
            if let Some(object) = reference {
                object_name(object.as_ref().map_or("", |object| &object.name), &at.child(name), errors);
            }
        }
        match given.iter().filter(|(reference, _)| reference.is_some()).count() {
            0 => errors.push(Error::invalid(&at, "", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(Error::invalid(&at, "", "may not have more than one field specified at a time")),
        }
    }
}
