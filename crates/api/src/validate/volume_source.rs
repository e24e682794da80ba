//! Volumes of the node, of the network and of clouds. Most only have fields that must be there.

use proto::core_v1::{
    AwsElasticBlockStoreVolumeSource, AzureFileVolumeSource, CephFsVolumeSource, CinderVolumeSource, CsiVolumeSource,
    EmptyDirVolumeSource, FcVolumeSource, FlexVolumeSource, FlockerVolumeSource, GcePersistentDiskVolumeSource,
    GitRepoVolumeSource, GlusterfsVolumeSource, HostPathVolumeSource, ImageVolumeSource, LocalObjectReference,
    NfsVolumeSource, PhotonPersistentDiskVolumeSource, PortworxVolumeSource, QuobyteVolumeSource, RbdVolumeSource,
    ScaleIoVolumeSource, StorageOsVolumeSource, VsphereVirtualDiskVolumeSource,
};

use super::volume::Around;
use super::{complain, one_of, path};
use crate::field::{Error, Errors, Path, Typed};
use crate::names;
use crate::quantity::Quantity;

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// What a volume is made of.
pub(super) trait Source {
    /// What is wrong with its own fields.
    fn check(&self, around: Around<'_>, at: &Path<'_>, errors: &mut Errors);

    /// What it makes of the volume's name; `first`: no other source comes before it.
    fn volume_name(&self, _around: Around<'_>, _first: bool, _at: &Path<'_>, _errors: &mut Errors) {}
}

/// Those of the fields that are empty.
fn required(fields: &[(&String, &str)], at: &Path<'_>, errors: &mut Errors) {
    for (_, name) in fields.iter().filter(|(value, _)| value.is_empty()) {
        errors.push(Error::required(&at.child(name), ""));
    }
}

/// A Secret's name, where a Secret is given.
fn secret(secret: Option<&LocalObjectReference>, at: &Path<'_>, errors: &mut Errors) {
    if let Some(secret) = secret {
        required(&[(&secret.name, "name")], &at.child("secretRef"), errors);
    }
}

fn partition(number: i32, at: &Path<'_>, errors: &mut Errors) {
    if !(0..=255).contains(&number) {
        errors.push(Error::invalid(&at.child("partition"), number, "must be between 1 and 255, inclusive"));
    }
}

/// A SCSI unit's number.
pub(super) fn lun(number: i32, at: &Path<'_>, errors: &mut Errors) {
    let problems = names::in_range(i64::from(number), 0, 255);
    errors.extend(problems.iter().map(|problem| Error::invalid(&at.child("lun"), number, problem)));
}

/// Sources of which only some fields are required.
macro_rules! only_required {
    ($($source:ty: $($field:ident $name:literal),+;)+) => {$(
        impl Source for $source {
            fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
                required(&[$((&self.$field, $name)),+], at, errors);
            }
        }
    )+};
}

only_required! {
    AzureFileVolumeSource: secret_name "secretName", share_name "shareName";
    GlusterfsVolumeSource: endpoints "endpoints", path "path";
    PhotonPersistentDiskVolumeSource: pd_id "pdID";
    PortworxVolumeSource: volume_id "volumeID";
    ScaleIoVolumeSource: gateway "gateway", system "system", volume_name "volumeName";
    VsphereVirtualDiskVolumeSource: volume_path "volumePath";
}

impl Source for EmptyDirVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        let limit = self.size_limit.as_ref().and_then(|limit| Quantity::try_from(limit).ok());
        if limit.is_some_and(|limit| limit.signum() < 0) {
            errors.push(Error::forbidden(&at.child("sizeLimit"), "SizeLimit field must be a valid resource quantity"));
        }
    }
}

impl Source for HostPathVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        if self.path.is_empty() {
            return errors.push(Error::required(&at.child("path"), ""));
        }
        path::no_backsteps(&self.path, &at.child("path"), errors);
        if let Some(kind) = self.r#type.as_deref().filter(|kind| !HOST_PATH_TYPES.contains(kind)) {
            errors.push(Error::not_supported(&at.child("type"), Typed(kind), &HOST_PATH_TYPES));
        }
    }
}

impl Source for GitRepoVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        required(&[(&self.repository, "repository")], at, errors);
        path::descending(&self.directory, &at.child("directory"), errors);
    }
}

impl Source for GcePersistentDiskVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        required(&[(&self.pd_name, "pdName")], at, errors);
        partition(self.partition, at, errors);
    }
}

impl Source for AwsElasticBlockStoreVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        required(&[(&self.volume_id, "volumeID")], at, errors);
        partition(self.partition, at, errors);
    }
}

impl Source for NfsVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        required(&[(&self.server, "server"), (&self.path, "path")], at, errors);
        if !self.path.starts_with('/') {
            errors.push(Error::invalid(&at.child("path"), &self.path, "must be an absolute path"));
        }
    }
}

impl Source for FlockerVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        match (self.dataset_name.is_empty(), self.dataset_uuid.is_empty()) {
            (true, true) => errors.push(Error::required(at, "one of datasetName and datasetUUID is required")),
            (false, false) => {
                let detail = "datasetName and datasetUUID can not be specified simultaneously";
                errors.push(Error::invalid(at, "resource", detail));
            }
            _ => {}
        }
        if self.dataset_name.contains('/') {
            errors.push(Error::invalid(&at.child("datasetName"), &self.dataset_name, "must not contain '/'"));
        }
    }
}

impl Source for RbdVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        if self.monitors.is_empty() {
            errors.push(Error::required(&at.child("monitors"), ""));
        }
        required(&[(&self.image, "image")], at, errors);
    }
}

impl Source for CinderVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        required(&[(&self.volume_id, "volumeID")], at, errors);
        secret(self.secret_ref.as_ref(), at, errors);
    }
}

impl Source for CephFsVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        if self.monitors.is_empty() {
            errors.push(Error::required(&at.child("monitors"), ""));
        }
    }
}

impl Source for QuobyteVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        let detail = "must be a host:port pair or multiple pairs separated by commas";
        let registry = at.child("registry");
        if self.registry.is_empty() {
            errors.push(Error::required(&registry, detail));
        } else if self.tenant.len() > 64 {
            let detail = "must be a UUID and may not exceed a length of 64 characters";
            errors.push(Error::required(&at.child("tenant"), detail));
        } else {
            let wrong = self.registry.split(',').filter(|pair| !is_host_port(pair));
            // Each shows the whole list, so a few must do.
            errors.extend(wrong.take(16).map(|_| Error::invalid(&registry, &self.registry, detail)));
        }
        required(&[(&self.volume, "volume")], at, errors);
    }
}

/// Whether Go can part it into a host and a port: `host:port`, `[host]:port`, either of them maybe empty.
fn is_host_port(pair: &str) -> bool {
    let Some((host, port)) = pair.rsplit_once(':') else { return false };
    let host = match host.strip_prefix('[') {
        None if host.contains(':') => return false,
        None => host,
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => host,
            _ => return false,
        },
    };
    !host.contains(['[', ']']) && !port.contains(['[', ']'])
}

impl Source for FcVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        let names = at.child("targetWWNs");
        match (self.target_ww_ns.is_empty(), self.wwids.is_empty()) {
            (true, true) => {
                errors.push(Error::required(&names, "must specify either targetWWNs or wwids, but not both"));
            }
            (false, false) => {
                let detail = "targetWWNs and wwids can not be specified simultaneously";
                errors.push(Error::invalid(&names, &self.target_ww_ns, detail));
            }
            _ => {}
        }
        if !self.target_ww_ns.is_empty() {
            match self.lun {
                None => errors.push(Error::required(&at.child("lun"), "lun is required if targetWWNs is specified")),
                Some(number) => lun(number, at, errors),
            }
        }
    }
}

impl Source for FlexVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        required(&[(&self.driver, "driver")], at, errors);
        let options = at.child("options");
        for key in self.options.keys() {
            let namespace = key.split_once('/').map_or(key.as_str(), |(namespace, _)| namespace);
            let namespace = format!(".{}", namespace.to_lowercase());
            if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
                let detail = "kubernetes.io and k8s.io namespaces are reserved";
                errors.push(Error::invalid(&options.key(key), key, detail));
            }
        }
    }
}

impl Source for StorageOsVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        required(&[(&self.volume_name, "volumeName")], at, errors);
        let names = [(&self.volume_name, "volumeName"), (&self.volume_namespace, "volumeNamespace")];
        for (text, name) in names.into_iter().filter(|(text, _)| !text.is_empty()) {
            complain(names::dns_label(text), text, &at.child(name), errors);
        }
        secret(self.secret_ref.as_ref(), at, errors);
    }
}

impl Source for CsiVolumeSource {
    fn check(&self, _around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        let driver = at.child("driver");
        required(&[(&self.driver, "driver")], at, errors);
        if self.driver.len() > names::LABEL_MAX {
            errors.push(Error::too_long(&driver, names::LABEL_MAX));
        }
        if !self.driver.is_empty() {
            complain(names::dns_subdomain(&self.driver.to_lowercase()), &self.driver, &driver, errors);
        }
        match self.node_publish_secret_ref.as_ref().map(|secret| secret.name.as_str()) {
            None => {}
            Some("") => errors.push(Error::required(&at.child("nodePublishSecretRef.name"), "")),
            Some(name) => complain(names::dns_subdomain(name), name, &at.child("name"), errors),
        }
    }
}

impl Source for ImageVolumeSource {
    fn check(&self, around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
        if around.pod.is_some() {
            required(&[(&self.reference, "reference")], at, errors);
        }
        one_of(&self.pull_policy, &["Always", "IfNotPresent", "Never"], &at.child("pullPolicy"), errors);
    }
}
