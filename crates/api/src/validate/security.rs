//! Who a Pod's processes are and what they may do: security contexts of Pods and containers, seccomp and AppArmor
//! profiles, sysctls.

use std::collections::BTreeSet;

use proto::core_v1::{AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext, Sysctl};

use super::operating_system::windows_options;
use super::path;
use crate::field::{Error, Errors, Json, Path, quote};
use crate::names;

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const PATH_MAX: usize = 4095;
const SYSCTL_MAX: usize = 253;
const SYSCTL: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// The context of a whole Pod. Host namespaces are fields of the spec.
pub(super) fn of_pod(context: &PodSecurityContext, spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    id(context.fs_group, &at.child("fsGroup"), errors);
    id(context.run_as_user, &at.child("runAsUser"), errors);
    id(context.run_as_group, &at.child("runAsGroup"), errors);
    for (i, group) in context.supplemental_groups.iter().enumerate() {
        id(Some(*group), &at.child("supplementalGroups").index(i), errors);
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(Error::invalid(&at.child("shareProcessNamespace"), true, detail));
    }
    sysctls(&context.sysctls, spec, &at.child("sysctls"), errors);
    one(&context.fs_group_change_policy, &["Always", "OnRootMismatch"], &at.child("fsGroupChangePolicy"), errors);
    seccomp(context.seccomp_profile.as_ref(), &at.child("seccompProfile"), errors);
    windows_options(context.windows_options.as_ref(), &at.child("windowsOptions"), errors);
    app_armor(context.app_armor_profile.as_ref(), &at.child("appArmorProfile"), errors);
    one(&context.supplemental_groups_policy, &["Merge", "Strict"], &at.child("supplementalGroupsPolicy"), errors);
    one(&context.se_linux_change_policy, &["Recursive"], &at.child("seLinuxChangePolicy"), errors);
}

/// The context of one container; `host_users`: the Pod shares its host's users. A privileged one is taken, as by every
/// cluster whose kube-apiserver runs with --allow-privileged.
pub(super) fn of_container(context: &SecurityContext, host_users: bool, at: &Path<'_>, errors: &mut Errors) {
    id(context.run_as_user, &at.child("runAsUser"), errors);
    id(context.run_as_group, &at.child("runAsGroup"), errors);
    one(&context.proc_mount, &["Default", "Unmasked"], &at.child("procMount"), errors);
    if host_users && context.proc_mount.as_deref() == Some("Unmasked") {
        let detail = "`hostUsers` must be false to use `Unmasked`";
        errors.push(Error::invalid(&at.child("procMount"), "Unmasked", detail));
    }
    seccomp(context.seccomp_profile.as_ref(), &at.child("seccompProfile"), errors);
    if context.allow_privilege_escalation == Some(false) {
        if context.privileged == Some(true) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(Error::invalid(at, Json::of(context), detail));
        }
        let added = context.capabilities.iter().flat_map(|capabilities| &capabilities.add);
        // Kubernetes says it once for each; the whole context each time would be more than its sender sent.
        for _ in added.filter(|name| *name == "CAP_SYS_ADMIN").take(1) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(Error::invalid(at, Json::of(context), detail));
        }
    }
    windows_options(context.windows_options.as_ref(), &at.child("windowsOptions"), errors);
    app_armor(context.app_armor_profile.as_ref(), &at.child("appArmorProfile"), errors);
}

/// A user or group by number.
fn id(id: Option<i64>, at: &Path<'_>, errors: &mut Errors) {
    if let Some(id) = id {
        errors.extend(names::in_range(id, 0, i64::from(i32::MAX)).iter().map(|detail| Error::invalid(at, id, detail)));
    }
}

/// A choice that may be left out.
fn one(value: &Option<String>, supported: &[&str], at: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = value.as_ref().filter(|value| !supported.contains(&value.as_str())) {
        errors.push(Error::not_supported(at, value, supported));
    }
}

fn sysctls(all: &[Sysctl], spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, sysctl) in all.iter().enumerate() {
        let at = at.index(i);
        let at = at.child("name");
        let name = sysctl.name.as_str();
        if name.is_empty() {
            errors.push(Error::required(&at, ""));
        } else if !is_sysctl(name) {
            let detail = format!("must have at most {SYSCTL_MAX} characters and match regex {SYSCTL}");
            errors.push(Error::invalid(&at, name, &detail));
        } else if seen.contains(name) {
            errors.push(Error::duplicate(&at, name));
        }
        let dotted = with_dots(name);
        if spec.host_network && dotted.starts_with("net.") {
            errors.push(Error::invalid(&at, name, "may not be specified when 'hostNetwork' is true"));
        } else if spec.host_ipc && is_ipc(&dotted) {
            errors.push(Error::invalid(&at, name, "may not be specified when 'hostIPC' is true"));
        }
        seen.insert(name);
    }
}

/// Names may be written with slashes; then dots and slashes change places.
fn with_dots(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name.as_bytes()[first] == b'/' => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_string(),
    }
}

fn is_ipc(name: &str) -> bool {
    name == "kernel.sem" || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix))
}

fn is_sysctl(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let segment = |text: &str| {
        let bytes = text.as_bytes();
        bytes.first().is_some_and(|c| inner(*c))
            && bytes.last().is_some_and(|c| inner(*c))
            && bytes.iter().all(|c| inner(*c) || matches!(c, b'-' | b'_'))
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(segment)
}

fn seccomp(profile: Option<&SeccompProfile>, at: &Path<'_>, errors: &mut Errors) {
    let Some(profile) = profile else { return };
    match profile.r#type.as_str() {
        "" => errors.push(Error::required(&at.child("type"), "type is required when seccompProfile is set")),
        other if !PROFILES.contains(&other) => {
            errors.push(Error::not_supported(&at.child("type"), other, &PROFILES));
        }
        _ => {}
    }
    let at = at.child("localhostProfile");
    match (&profile.localhost_profile, profile.r#type == "Localhost") {
        (None, true) => errors.push(Error::required(&at, "must be set when seccomp type is Localhost")),
        (Some(path), true) => path::descending(path, &at, errors),
        (Some(_), false) => {
            // As Go shows the struct, which has no JSON names.
            let (kind, path) = (&profile.r#type, serde_json::Value::from(profile.localhost_profile.clone()));
            let shown = Json(format!(r#"{{"Type":{},"LocalhostProfile":{path}}}"#, quote(kind)));
            errors.push(Error::invalid(&at, shown, "can only be set when seccomp type is Localhost"));
        }
        (None, false) => {}
    }
}

fn app_armor(profile: Option<&AppArmorProfile>, at: &Path<'_>, errors: &mut Errors) {
    let Some(profile) = profile else { return };
    let local = at.child("localhostProfile");
    match (profile.r#type.as_str(), &profile.localhost_profile) {
        ("Localhost", None) => errors.push(Error::required(&local, "must be set when AppArmor type is Localhost")),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                errors.push(Error::invalid(&local, name, "must not be padded with whitespace"));
            } else if name.is_empty() {
                errors.push(Error::required(&local, "must be set when AppArmor type is Localhost"));
            }
            if name.len() > PATH_MAX {
                errors.push(Error::too_long(&local, PATH_MAX));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            errors.push(Error::invalid(&local, name, "can only be set when AppArmor type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => errors.push(Error::required(&at.child("type"), "type is required when appArmorProfile is set")),
        (other, _) => errors.push(Error::not_supported(&at.child("type"), other, &PROFILES)),
    }
}
