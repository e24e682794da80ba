//! Where a container finds the volumes of its Pod: as folders (`volumeMounts`) or as block devices (`volumeDevices`).

use std::collections::BTreeSet;

use proto::core_v1::{Container, VolumeMount};

use super::path;
use super::volume::Volumes;
use crate::field::{Error, Errors, Path, Typed};

const PROPAGATIONS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
const RECURSIVE: [&str; 3] = ["Disabled", "Enabled", "IfPossible"];

/// A container's mounts and devices; `at` is the container.
pub(super) fn all(container: &Container, volumes: &Volumes<'_>, at: &Path<'_>, errors: &mut Errors) {
    mounts(container, volumes, &at.child("volumeMounts"), errors);
    devices(container, volumes, &at.child("volumeDevices"), errors);
}

/// Where each volume is found. Of two entries with one name the later counts, as with Kubernetes' map.
fn places<'a>(entries: impl DoubleEndedIterator<Item = (&'a String, &'a String)>) -> Vec<(&'a str, &'a str)> {
    let mut seen = BTreeSet::new();
    entries.rev().filter(|(name, _)| seen.insert(*name)).map(|(name, path)| (name.as_str(), path.as_str())).collect()
}

fn mounts(container: &Container, volumes: &Volumes<'_>, at: &Path<'_>, errors: &mut Errors) {
    let privileged = container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true));
    let devices = places(container.volume_devices.iter().map(|device| (&device.name, &device.device_path)));
    let (names, places): (BTreeSet<&str>, BTreeSet<&str>) = devices.into_iter().unzip();
    let mut paths = BTreeSet::new();
    for (i, mount) in container.volume_mounts.iter().enumerate() {
        let here = at.index(i);
        let (name, path) = (mount.name.as_str(), mount.mount_path.as_str());
        if name.is_empty() {
            errors.push(Error::required(&here.child("name"), ""));
        }
        if !volumes.contains_key(name) {
            errors.push(Error::not_found(&here.child("name"), name));
        }
        if path.is_empty() {
            errors.push(Error::required(&here.child("mountPath"), ""));
        }
        if !paths.insert(path) {
            errors.push(Error::invalid(&here.child("mountPath"), path, "must be unique"));
        }
        if names.contains(name) {
            errors.push(Error::invalid(&here.child("name"), name, "must not already exist in volumeDevices"));
        }
        if places.contains(path) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(Error::invalid(&here.child("mountPath"), path, detail));
        }
        // From here on Kubernetes leaves the index out of most paths.
        if !mount.sub_path.is_empty() {
            path::descending(&mount.sub_path, &at.child("subPath"), errors);
        }
        if !mount.sub_path_expr.is_empty() {
            if !mount.sub_path.is_empty() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                errors.push(Error::invalid(&here.child("subPathExpr"), &mount.sub_path_expr, detail));
            }
            path::descending(&mount.sub_path_expr, &at.child("subPathExpr"), errors);
        }
        propagation(mount, privileged, &at.child("mountPropagation"), errors);
        recursive(mount, &at.child("recursiveReadOnly"), errors);
    }
}

fn propagation(mount: &VolumeMount, privileged: bool, at: &Path<'_>, errors: &mut Errors) {
    let Some(propagation) = mount.mount_propagation.as_deref() else { return };
    if !PROPAGATIONS.contains(&propagation) {
        errors.push(Error::not_supported(at, Typed(propagation), &PROPAGATIONS));
    }
    if propagation == "Bidirectional" && !privileged {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(Error::forbidden(at, detail));
    }
}

fn recursive(mount: &VolumeMount, at: &Path<'_>, errors: &mut Errors) {
    match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.read_only {
                errors.push(Error::forbidden(at, "may only be specified when readOnly is true"));
            }
            if mount.mount_propagation.as_deref().is_some_and(|propagation| propagation != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(Error::forbidden(at, detail));
            }
        }
        Some(other) => errors.push(Error::not_supported(at, Typed(other), &RECURSIVE)),
    }
}

fn devices(container: &Container, volumes: &Volumes<'_>, at: &Path<'_>, errors: &mut Errors) {
    let mounts = places(container.volume_mounts.iter().map(|mount| (&mount.name, &mount.mount_path)));
    let (mounted, places): (BTreeSet<&str>, BTreeSet<&str>) = mounts.into_iter().unzip();
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in container.volume_devices.iter().enumerate() {
        let here = at.index(i);
        let (at_name, at_path) = (here.child("name"), here.child("devicePath"));
        let (name, path) = (device.name.as_str(), device.device_path.as_str());
        if name.is_empty() {
            errors.push(Error::required(&at_name, ""));
        }
        if !name.is_empty() && !names.insert(name) {
            errors.push(Error::invalid(&at_name, name, "must be unique"));
        }
        match volumes.get(name) {
            None => errors.push(Error::not_found(&at_name, name)),
            Some(source) if source.persistent_volume_claim.is_none() && source.ephemeral.is_none() => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(Error::invalid(&at_name, name, detail));
            }
            Some(_) => {}
        }
        if path.is_empty() {
            errors.push(Error::required(&at_path, ""));
        }
        if paths.contains(path) {
            errors.push(Error::invalid(&at_path, path, "must be unique"));
        }
        if path::leads_up(path) {
            errors.push(Error::invalid(&at_path, path, "can not contain backsteps ('..')"));
        } else {
            paths.insert(path);
        }
        if mounted.contains(name) {
            errors.push(Error::invalid(&at_name, name, "must not already exist in volumeMounts"));
        }
        if places.contains(path) {
            let detail = "must not already exist as a path in volumeMounts";
            errors.push(Error::invalid(&at_path, path, detail));
        }
    }
}
