//! Volumes: those that are of the past, and files that hide each other.

use proto::core_v1::{PersistentVolumeClaimSpec, ProjectedVolumeSource, Volume, VolumeProjection, VolumeSource};

use crate::field::{Path, quote};
use crate::quantity::Quantity;

/// What to tell of the volumes at `at`.
pub(super) fn volumes(all: &[Volume], at: &Path<'_>, warnings: &mut Vec<String>) {
    for (i, volume) in all.iter().enumerate() {
        if let Some(source) = &volume.volume_source {
            of_the_past(source, &at.index(i), warnings);
        }
    }
    for volume in all {
        if let Some(source) = &volume.volume_source {
            overlaps(&volume.name, source, warnings);
        }
    }
}

fn of_the_past(source: &VolumeSource, at: &Path<'_>, warnings: &mut Vec<String>) {
    let before = [
        (
            source.photon_persistent_disk.is_some(),
            "photonPersistentDisk",
            "deprecated in v1.11, non-functional in v1.16+",
        ),
        (source.git_repo.is_some(), "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
        (source.scale_io.is_some(), "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        (source.flocker.is_some(), "flocker", "deprecated in v1.22, non-functional in v1.25+"),
        (source.storageos.is_some(), "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
        (source.quobyte.is_some(), "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
        (source.glusterfs.is_some(), "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ];
    let template = source.ephemeral.as_ref().and_then(|ephemeral| ephemeral.volume_claim_template.as_ref());
    let after = [
        (source.cephfs.is_some(), "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        (source.rbd.is_some(), "rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ];
    let mut tell = |all: &[(bool, &str, &str)]| {
        let given = all.iter().filter(|(given, ..)| *given);
        warnings.extend(given.map(|(_, name, told)| format!("{}: {told}", at.child(name))));
    };
    tell(&before);
    tell(&after);
    if let Some(spec) = template.and_then(|template| template.spec.as_ref()) {
        claim(spec, &at.child("ephemeral.volumeClaimTemplate.spec.resources"), warnings);
    }
}

fn claim(spec: &PersistentVolumeClaimSpec, at: &Path<'_>, warnings: &mut Vec<String>) {
    let resources = spec.resources.clone().unwrap_or_default();
    for (amounts, name) in [(&resources.requests, "requests"), (&resources.limits, "limits")] {
        let amount = amounts.get("storage").and_then(|amount| Quantity::try_from(amount).ok());
        if let Some(amount) = amount.filter(|amount| !amount.is_whole()) {
            let shown = quote(&amount.to_string());
            let field = at.child(name);
            warnings.push(format!(
                "{}: fractional byte value {shown} is invalid, must be an integer",
                field.key("storage")
            ));
        }
    }
}

/// A file of a volume: its path, and what it is made of where a volume has several sources.
#[derive(PartialEq)]
struct File<'a> {
    path: &'a str,
    source: String,
}

impl std::fmt::Display for File<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&quote(self.path))?;
        if self.source.is_empty() { Ok(()) } else { write!(f, " ({})", self.source) }
    }
}

impl File<'_> {
    /// Whether one is the other, or lies in it.
    fn overlaps(&self, other: &File<'_>) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !self.path.is_empty()
            && !other.path.is_empty()
            && (within(self.path, other.path) || within(other.path, self.path))
    }
}

fn overlaps(name: &str, source: &VolumeSource, warnings: &mut Vec<String>) {
    if let Some(map) = &source.config_map {
        let object = map.local_object_reference.as_ref().map_or("", |object| &object.name);
        let files = map.items.iter().map(|item| item.path.as_str());
        within(name, &format!("ConfigMap {}", quote(object)), files, warnings);
    }
    if let Some(secret) = &source.secret {
        let files = secret.items.iter().map(|item| item.path.as_str());
        within(name, &format!("Secret {}", quote(&secret.secret_name)), files, warnings);
    }
    if let Some(downward) = &source.downward_api {
        within(name, "DownwardAPI", downward.items.iter().map(|file| file.path.as_str()), warnings);
    }
    if let Some(source) = &source.projected {
        projected(name, source, warnings);
    }
}

/// The files of one source.
fn within<'a>(name: &str, kind: &str, paths: impl Iterator<Item = &'a str>, warnings: &mut Vec<String>) {
    let mut files = Vec::new();
    for path in paths {
        add(name, kind, File { path: path.trim_end_matches('/'), source: String::new() }, &mut files, warnings);
    }
}

fn projected(name: &str, projected: &ProjectedVolumeSource, warnings: &mut Vec<String>) {
    let mut files = Vec::new();
    for source in &projected.sources {
        if *source == VolumeProjection::default() {
            warnings.push(format!("volume {} (Projected) has no sources provided", quote(name)));
        }
        let (paths, kind) = paths(source);
        for path in paths {
            let file = File { path: path.trim_end_matches('/'), source: kind.clone() };
            add(name, "Projected", file, &mut files, warnings);
        }
    }
}

/// The paths of a source, and what it is called.
fn paths(source: &VolumeProjection) -> (Vec<&str>, String) {
    if let Some(map) = &source.config_map {
        let object = map.local_object_reference.as_ref().map_or("", |object| &object.name);
        (map.items.iter().map(|item| item.path.as_str()).collect(), format!("ConfigMap {}", quote(object)))
    } else if let Some(secret) = &source.secret {
        let object = secret.local_object_reference.as_ref().map_or("", |object| &object.name);
        (secret.items.iter().map(|item| item.path.as_str()).collect(), format!("Secret {}", quote(object)))
    } else if let Some(downward) = &source.downward_api {
        (downward.items.iter().map(|file| file.path.as_str()).collect(), "DownwardAPI".to_string())
    } else if let Some(token) = &source.service_account_token {
        (vec![&token.path], "ServiceAccountToken".to_string())
    } else {
        (Vec::new(), String::new())
    }
}

fn add<'a>(name: &str, kind: &str, file: File<'a>, files: &mut Vec<File<'a>>, warnings: &mut Vec<String>) {
    for other in files.iter().filter(|other| other.overlaps(&file)) {
        warnings.push(format!("volume {} ({kind}): overlapping paths: {file} with {other}", quote(name)));
    }
    files.push(file);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(volumes: &str) -> Vec<String> {
        let json = format!(r#"{{"spec":{{"volumes":{volumes}}}}}"#);
        let pod = proto::json::decode::<proto::core_v1::Pod>(json.as_bytes()).expect("valid JSON").value;
        let mut warnings = Vec::new();
        let spec = Path::new("spec");
        super::volumes(&pod.spec.expect("a spec").volumes, &spec.child("volumes"), &mut warnings);
        warnings
    }

    #[test]
    fn volumes_of_the_past_are_told() {
        assert_eq!(
            told(
                r#"[{"name":"a","gitRepo":{}},{"name":"b","storageos":{}},{"name":"c","ephemeral":{"volumeClaimTemplate":
                {"spec":{"resources":{"requests":{"storage":"1500m"}}}}}}]"#
            ),
            [
                "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
                "spec.volumes[1].storageOS: deprecated in v1.22, non-functional in v1.25+",
                r#"spec.volumes[2].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer"#,
            ]
        );
    }

    #[test]
    fn files_that_hide_each_other_are_told() {
        assert_eq!(
            told(
                r#"[{"name":"a","configMap":{"name":"m","items":[{"path":"a/"},{"path":"ab"},{"path":"a/b"}]}},
                {"name":"b","projected":{"sources":[{},{"secret":{"name":"s","items":[{"path":"t"}]}},
                {"serviceAccountToken":{"path":"t"}}]}}]"#
            ),
            [
                r#"volume "a" (ConfigMap "m"): overlapping paths: "a/b" with "a""#,
                r#"volume "b" (Projected) has no sources provided"#,
                r#"volume "b" (Projected): overlapping paths: "t" (ServiceAccountToken) with "t" (Secret "s")"#,
            ]
        );
    }
}
