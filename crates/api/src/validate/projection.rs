//! Volumes whose files the API server's objects give: ConfigMaps, Secrets, the Pod itself, tokens.

use std::collections::BTreeSet;

use proto::core_v1::{
    ConfigMapVolumeSource, DownwardApiVolumeFile, DownwardApiVolumeSource, KeyToPath, ProjectedVolumeSource,
    SecretVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};

use super::environment::name_of;
use super::volume::Around;
use super::volume_source::Source;
use super::{path, reference};
use crate::field::{Error, Errors, Path};

/// What a file may show of the Pod.
const FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

const CONFLICT: &str = "conflicting duplicate paths";

impl Source for SecretVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        if self.secret_name.is_empty() {
            errors.push(Error::required(&at.child("secretName"), ""));
        }
        path::mode(self.default_mode, &at.child("defaultMode"), errors);
        for (i, item) in self.items.iter().enumerate() {
            key_to_path(item, &at.child("items").index(i), errors);
        }
    }
}

impl Source for ConfigMapVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        if name_of(self.local_object_reference.as_ref()).is_empty() {
            errors.push(Error::required(&at.child("name"), ""));
        }
        path::mode(self.default_mode, &at.child("defaultMode"), errors);
        for (i, item) in self.items.iter().enumerate() {
            key_to_path(item, &at.child("items").index(i), errors);
        }
    }
}

impl Source for DownwardApiVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        path::mode(self.default_mode, &at.child("defaultMode"), errors);
        for file in &self.items {
            downward_file(file, at, errors);
        }
    }
}

fn key_to_path(item: &KeyToPath, at: &Path<'_>, errors: &mut Errors) {
    if item.key.is_empty() {
        errors.push(Error::required(&at.child("key"), ""));
    }
    if item.path.is_empty() {
        errors.push(Error::required(&at.child("path"), ""));
    }
    path::of_file(&item.path, &at.child("path"), errors);
    path::mode(item.mode, &at.child("mode"), errors);
}

/// A file of the downward API. Kubernetes tells its faults without the index.
fn downward_file(file: &DownwardApiVolumeFile, at: &Path<'_>, errors: &mut Errors) {
    if file.path.is_empty() {
        errors.push(Error::required(&at.child("path"), ""));
    }
    path::of_file(&file.path, &at.child("path"), errors);
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(field), resource) => {
            reference::field(field, &FIELDS, &at.child("fieldRef"), errors);
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(Error::invalid(at, "resource", detail));
            }
        }
        (None, Some(resource)) => reference::resource(resource, true, &at.child("resourceFieldRef"), errors),
        (None, None) => errors.push(Error::required(at, "one of fieldRef and resourceFieldRef is required")),
    }
    path::mode(file.mode, &at.child("mode"), errors);
}

impl Source for ProjectedVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        path::mode(self.default_mode, &at.child("defaultMode"), errors);
        let mut paths = BTreeSet::new();
        for (i, source) in self.sources.iter().enumerate() {
            let sources = at.child("sources");
            projection(source, &mut paths, at, &sources.index(i), errors);
        }
    }
}

/// One source of a projected volume. `paths` are those taken by the files so far, `whole` is the volume's source.
///
/// `clusterTrustBundle` and `podCertificate` are dropped before (see `defaults::volume`), for their features are off.
fn projection<'a>(
    source: &'a VolumeProjection,
    paths: &mut BTreeSet<&'a str>,
    whole: &Path<'_>,
    at: &Path<'_>,
    errors: &mut Errors,
) {
    let keyed = [
        (source.secret.as_ref().map(|one| (&one.local_object_reference, &one.items)), "secret"),
        (source.config_map.as_ref().map(|one| (&one.local_object_reference, &one.items)), "configMap"),
    ];
    let mut given = 0;
    for (one, kind) in keyed {
        let Some((object, items)) = one else { continue };
        given += 1;
        let (at, name) = (at.child(kind), name_of(object.as_ref()));
        if name.is_empty() {
            errors.push(Error::required(&at.child("name"), ""));
        }
        for (i, item) in items.iter().enumerate() {
            key_to_path(item, &at.child("items").index(i), errors);
            if !item.path.is_empty() && !paths.insert(&item.path) {
                errors.push(Error::invalid(whole, name, CONFLICT));
            }
        }
    }
    if let Some(downward) = &source.downward_api {
        given += 1;
        for file in &downward.items {
            downward_file(file, &at.child("downwardAPI"), errors);
            if !file.path.is_empty() && !paths.insert(&file.path) {
                errors.push(Error::invalid(whole, &file.path, CONFLICT));
            }
        }
    }
    if let Some(one) = &source.service_account_token {
        given += 1;
        token(one, whole, &at.child("serviceAccountToken"), errors);
    }
    if given > 1 {
        errors.push(Error::forbidden(at, "may not specify more than 1 volume type per source"));
    }
}

fn token(token: &ServiceAccountTokenProjection, whole: &Path<'_>, at: &Path<'_>, errors: &mut Errors) {
    let seconds = token.expiration_seconds.unwrap_or_default();
    let problem = match seconds {
        ..600 => Some("may not specify a duration less than 10 minutes"),
        seconds if seconds > 1 << 32 => Some("may not specify a duration larger than 2^32 seconds"),
        _ => None,
    };
    if let Some(problem) = problem {
        errors.push(Error::invalid(&at.child("expirationSeconds"), seconds, problem));
    }
    // The path's faults are told of the whole volume.
    match token.path.as_str() {
        "" => errors.push(Error::required(&whole.child("path"), "")),
        text => path::of_file(text, &whole.child("path"), errors),
    }
}
