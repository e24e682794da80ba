//! Volumes of a Pod: names, one source each, and what refers to them from elsewhere in the Pod.

use std::collections::{BTreeMap, BTreeSet};

use proto::core_v1::{EnvVar, PodSpec, Volume, VolumeSource};

use super::complain;
use super::volume_source::Source;
use crate::field::{Error, Errors, Path};
use crate::names;

/// The sound volumes of a Pod by name: what containers may mount.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a VolumeSource>;

/// The volume around a source.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// The name of the Pod, `None` in a template.
    pub(super) pod: Option<&'a str>,
}

/// All volumes; `pod` is the Pod's name, `None` in a template.
pub(super) fn volumes<'a>(all: &'a [Volume], pod: Option<&str>, at: &Path<'_>, errors: &mut Errors) -> Volumes<'a> {
    let mut sound = Volumes::new();
    let created = claims(all, pod);
    for (i, volume) in all.iter().enumerate() {
        let at = at.index(i);
        let before = errors.len();
        let name = at.child("name");
        let given = volume.volume_source.as_ref();
        source(given, Around { name: &volume.name, pod }, &at, errors);
        match volume.name.as_str() {
            "" => errors.push(Error::required(&name, "")),
            text => complain(names::dns_label(text), text, &name, errors),
        }
        if sound.contains_key(volume.name.as_str()) {
            errors.push(Error::duplicate(&name, &volume.name));
        }
        let Some(given) = given else { continue };
        if errors.len() == before {
            sound.insert(&volume.name, given);
        }
        if let Some(claim) = given.persistent_volume_claim.as_ref().filter(|claim| created.contains(&claim.claim_name))
        {
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(Error::invalid(&at.child("persistentVolumeClaim.claimName"), &claim.claim_name, detail));
        }
    }
    sound
}

/// The claims that are made for a Pod's ephemeral volumes.
fn claims(all: &[Volume], pod: Option<&str>) -> BTreeSet<String> {
    let Some(pod) = pod.filter(|pod| !pod.is_empty()) else { return BTreeSet::new() };
    let ephemeral =
        all.iter().filter(|volume| volume.volume_source.as_ref().is_some_and(|source| source.ephemeral.is_some()));
    ephemeral.map(|volume| format!("{pod}-{}", volume.name)).collect()
}

/// Exactly one source. The first is looked at, each further one is refused.
fn source(source: Option<&VolumeSource>, around: Around<'_>, at: &Path<'_>, errors: &mut Errors) {
    let mut found = false;
    for (name, refused, one) in source.map(sources).into_iter().flatten() {
        let Some(one) = one else { continue };
        if found {
            errors.push(Error::forbidden(&at.child(refused), "may not specify more than 1 volume type"));
        } else {
            one.check(around, &at.child(name), errors);
        }
        one.volume_name(around, !found, &at.child("name"), errors);
        found = true;
    }
    if !found {
        errors.push(Error::required(at, "must specify a volume type"));
    }
}

/// All sources in Kubernetes' order: the name that their own faults are told under, the name that they are refused under
/// as a second one (three differ for no reason), and the source where it is given.
fn sources(source: &VolumeSource) -> [(&'static str, &'static str, Option<&dyn Source>); 30] {
    fn row<'a, S: Source>(
        name: &'static str,
        source: Option<&'a S>,
    ) -> (&'static str, &'static str, Option<&'a dyn Source>) {
        let refused = match name {
            "persistentDisk" => "gcePersistentDisk",
            "cephfs" => "cephFS",
            "downwardAPI" => "downwarAPI",
            name => name,
        };
        (name, refused, source.map(|source| source as &dyn Source))
    }
    [
        row("emptyDir", source.empty_dir.as_ref()),
        row("hostPath", source.host_path.as_ref()),
        row("gitRepo", source.git_repo.as_ref()),
        row("persistentDisk", source.gce_persistent_disk.as_ref()),
        row("awsElasticBlockStore", source.aws_elastic_block_store.as_ref()),
        row("secret", source.secret.as_ref()),
        row("nfs", source.nfs.as_ref()),
        row("iscsi", source.iscsi.as_ref()),
        row("glusterfs", source.glusterfs.as_ref()),
        row("flocker", source.flocker.as_ref()),
        row("persistentVolumeClaim", source.persistent_volume_claim.as_ref()),
        row("rbd", source.rbd.as_ref()),
        row("cinder", source.cinder.as_ref()),
        row("cephfs", source.cephfs.as_ref()),
        row("quobyte", source.quobyte.as_ref()),
        row("downwardAPI", source.downward_api.as_ref()),
        row("fc", source.fc.as_ref()),
        row("flexVolume", source.flex_volume.as_ref()),
        row("configMap", source.config_map.as_ref()),
        row("azureFile", source.azure_file.as_ref()),
        row("vsphereVolume", source.vsphere_volume.as_ref()),
        row("photonPersistentDisk", source.photon_persistent_disk.as_ref()),
        row("portworxVolume", source.portworx_volume.as_ref()),
        row("azureDisk", source.azure_disk.as_ref()),
        row("storageos", source.storageos.as_ref()),
        row("projected", source.projected.as_ref()),
        row("scaleIO", source.scale_io.as_ref()),
        row("csi", source.csi.as_ref()),
        row("ephemeral", source.ephemeral.as_ref()),
        row("image", source.image.as_ref()),
    ]
}

/// A Pod (not a template) that asks for a token must say whose.
pub(super) fn tokens(spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    if !spec.service_account_name.is_empty() {
        return;
    }
    let volumes = at.child("volumes");
    for (i, volume) in spec.volumes.iter().enumerate() {
        let projected = volume.volume_source.as_ref().and_then(|source| source.projected.as_ref());
        let volume = volumes.index(i);
        let sources = volume.child("projected.sources");
        for (i, source) in projected.iter().flat_map(|projected| projected.sources.iter().enumerate()) {
            if source.service_account_token.is_some() {
                let detail = "must not be specified when serviceAccountName is not set";
                errors.push(Error::forbidden(&sources.index(i).child("serviceAccountToken"), detail));
            }
        }
    }
}

/// Variables of files: their volumes must be there, and empty at first.
pub(super) fn file_keys(spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    let volumes: BTreeMap<&str, Option<&VolumeSource>> =
        spec.volumes.iter().map(|volume| (volume.name.as_str(), volume.volume_source.as_ref())).collect();
    for (name, containers) in [("initContainers", &spec.init_containers), ("containers", &spec.containers)] {
        let at = at.child(name);
        for (i, container) in containers.iter().enumerate() {
            of_container(&container.env, &volumes, &at.index(i), errors);
        }
    }
    let at = at.child("ephemeralContainers");
    for (i, container) in spec.ephemeral_containers.iter().enumerate() {
        if let Some(common) = &container.ephemeral_container_common {
            of_container(&common.env, &volumes, &at.index(i), errors);
        }
    }
}

fn of_container(env: &[EnvVar], volumes: &BTreeMap<&str, Option<&VolumeSource>>, at: &Path<'_>, errors: &mut Errors) {
    let at = at.child("env");
    for (i, variable) in env.iter().enumerate() {
        let Some(file) = variable.value_from.as_ref().and_then(|from| from.file_key_ref.as_ref()) else { continue };
        let variable = at.index(i);
        let at = variable.child("valueFrom.fileKeyRef.volumeName");
        let name = file.volume_name.as_str();
        match volumes.get(name) {
            None => errors.push(Error::not_found(&at, name)),
            Some(source) if source.is_some_and(|source| source.empty_dir.is_some()) => {}
            Some(_) => errors.push(Error::invalid(&at, name, "referenced volume must be of type emptyDir")),
        }
    }
}
