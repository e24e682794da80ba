//! Defaults of a Pod's volumes.

use proto::core_v1::{
    DownwardApiVolumeFile, IscsiVolumeSource, PersistentVolumeClaimSpec, ProjectedVolumeSource, RbdVolumeSource,
    ScaleIoVolumeSource, Volume, VolumeSource,
};

use super::{image, text};
use crate::quantity;

/// Owner may write, all may read: 0644.
const MODE: i32 = 0o644;

pub(super) fn volume(volume: &mut Volume) {
    let source = volume.volume_source.get_or_insert_default();
    if *source == VolumeSource::default() {
        source.empty_dir = Some(Default::default());
    }
    if let Some(image) = &mut source.image
        && image.pull_policy.is_empty()
    {
        image.pull_policy = image::pull_policy(&image.reference).to_string();
    }
    if let Some(host_path) = &mut source.host_path {
        host_path.r#type.get_or_insert_default();
    }
    if let Some(secret) = &mut source.secret {
        secret.default_mode.get_or_insert(MODE);
    }
    if let Some(config_map) = &mut source.config_map {
        config_map.default_mode.get_or_insert(MODE);
    }
    if let Some(downward) = &mut source.downward_api {
        downward.default_mode.get_or_insert(MODE);
        downward.items.iter_mut().for_each(file);
    }
    if let Some(disk) = &mut source.azure_disk {
        disk.caching_mode.get_or_insert_with(|| "ReadWrite".to_string());
        disk.fs_type.get_or_insert_with(|| "ext4".to_string());
        disk.read_only.get_or_insert(false);
        disk.kind.get_or_insert_with(|| "Shared".to_string());
    }
    source.iscsi.iter_mut().for_each(iscsi);
    source.rbd.iter_mut().for_each(rbd);
    source.scale_io.iter_mut().for_each(scale_io);
    source.projected.iter_mut().for_each(projected);
    let template = source.ephemeral.as_mut().and_then(|ephemeral| ephemeral.volume_claim_template.as_mut());
    if let Some(template) = template {
        claim(template.spec.get_or_insert_default());
    }
}

fn iscsi(source: &mut IscsiVolumeSource) {
    text(&mut source.iscsi_interface, "default");
}

fn rbd(source: &mut RbdVolumeSource) {
    text(&mut source.pool, "rbd");
    text(&mut source.user, "admin");
    text(&mut source.keyring, "/etc/ceph/keyring");
}

fn scale_io(source: &mut ScaleIoVolumeSource) {
    text(&mut source.storage_mode, "ThinProvisioned");
    text(&mut source.fs_type, "xfs");
}

fn projected(projected: &mut ProjectedVolumeSource) {
    projected.default_mode.get_or_insert(MODE);
    for source in &mut projected.sources {
        if let Some(token) = &mut source.service_account_token {
            token.expiration_seconds.get_or_insert(3600);
        }
        source.downward_api.iter_mut().flat_map(|downward| &mut downward.items).for_each(file);
        // Their features (ClusterTrustBundleProjection, PodCertificateRequest) are off, and then Kubernetes drops them.
        source.cluster_trust_bundle = None;
        source.pod_certificate = None;
    }
}

fn file(file: &mut DownwardApiVolumeFile) {
    if let Some(field) = &mut file.field_ref {
        text(&mut field.api_version, "v1");
    }
}

fn claim(spec: &mut PersistentVolumeClaimSpec) {
    spec.volume_mode.get_or_insert_with(|| "Filesystem".to_string());
    if let Some(resources) = &mut spec.resources {
        for amount in resources.limits.values_mut().chain(resources.requests.values_mut()) {
            quantity::up_to_milli(amount);
        }
    }
}
