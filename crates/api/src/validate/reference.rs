//! What a variable of the environment or a file of a volume may show of its Pod: a field, or a resource of a container.

use proto::core_v1::{ObjectFieldSelector, ResourceFieldSelector};

use super::complain;
use crate::field::{Error, Errors, Path};
use crate::names;
use crate::quantity::Quantity;

/// Fields that the API can name at all, apart from single labels and annotations.
const KNOWN: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];

/// Requests and limits by their full names.
pub(super) const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const BYTES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// A field of the Pod, one of `allowed` or a single label or annotation.
pub(super) fn field(reference: &ObjectFieldSelector, allowed: &[&str], at: &Path<'_>, errors: &mut Errors) {
    let path = reference.field_path.as_str();
    let here = at.child("fieldPath");
    if reference.api_version.is_empty() {
        return errors.push(Error::required(&at.child("apiVersion"), ""));
    }
    if path.is_empty() {
        return errors.push(Error::required(&here, ""));
    }
    let problem = match (reference.api_version.as_str(), subscript(path)) {
        ("v1", Some(("metadata.annotations", key))) => {
            let key = key.to_lowercase();
            return complain(names::label_key(&key), &key, at, errors);
        }
        ("v1", Some(("metadata.labels", key))) => return complain(names::label_key(key), key, at, errors),
        ("v1", Some(_)) => format!("field label does not support subscript: {path}"),
        ("v1", None) => {
            // An older name.
            let path = if path == "spec.host" { "spec.nodeName" } else { path };
            if allowed.contains(&path) {
                return;
            }
            if KNOWN.contains(&path) {
                return errors.push(Error::not_supported(&here, path, allowed));
            }
            format!("field label not supported: {path}")
        }
        (version, _) => format!("unsupported pod version: {version}"),
    };
    errors.push(Error::invalid(&here, path, &format!("error converting fieldPath: {problem}")));
}

/// `metadata.labels['key']` as path and key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(path, _)| !path.is_empty())
}

/// A limit or request of a container; a file, which belongs to no container, must say of which (`in_volume`).
pub(super) fn resource(reference: &ResourceFieldSelector, in_volume: bool, at: &Path<'_>, errors: &mut Errors) {
    let name = reference.resource.as_str();
    let huge = name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
    if in_volume && reference.container_name.is_empty() {
        errors.push(Error::required(&at.child("containerName"), ""));
    } else if name.is_empty() {
        errors.push(Error::required(&at.child("resource"), ""));
    } else if !RESOURCES.contains(&name) && !huge {
        errors.push(Error::not_supported(&at.child("resource"), name, &RESOURCES));
    }
    let kind = match name.split_once('.') {
        Some(("limits" | "requests", kind)) => kind,
        _ => return,
    };
    let (divisors, shown): (&[&str], &str) = match kind {
        "cpu" => (&["1m", "1"], "cpu"),
        "memory" => (&BYTES, "memory"),
        "ephemeral-storage" => (&BYTES, "local ephemeral storage"),
        _ if huge => (&BYTES, "hugepages"),
        _ => return,
    };
    let Some(divisor) = &reference.divisor else { return };
    let zero = Quantity::try_from(divisor).is_ok_and(|divisor| divisor.signum() == 0);
    if !zero && !divisors.contains(&divisor.string.as_str()) {
        let list = if kind == "cpu" { "1m and 1".to_string() } else { divisors.join(", ") };
        let detail = format!("only divisor's values {list} are supported with the {shown} resource");
        errors.push(Error::invalid(&at.child("divisor"), name, &detail));
    }
}
