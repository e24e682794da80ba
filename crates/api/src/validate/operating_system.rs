//! What a Pod for Linux or for Windows may say, and Windows' own options.

use proto::core_v1::{Container, PodSecurityContext, PodSpec, SecurityContext, WindowsSecurityContextOptions};

use super::complain;
use crate::field::{Error, Errors, Path};
use crate::names;

const SPEC_MAX: usize = 64 << 10;
const DOMAIN_MAX: usize = 256;
const USER_MAX: usize = 104;

/// The Pod's operating system, and what it rules out.
pub(super) fn operating_system(spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    let Some(os) = &spec.os else { return };
    match os.name.as_str() {
        "" => errors.push(Error::required(&at.child("os").child("name"), "")),
        "linux" => linux(spec, at, errors),
        "windows" => windows(spec, at, errors),
        other => errors.push(Error::not_supported(&at.child("os"), other, &["linux", "windows"])),
    }
}

fn linux(spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    let detail = "windows options cannot be set for a linux pod";
    if spec.security_context.as_ref().is_some_and(|context| context.windows_options.is_some()) {
        errors.push(Error::forbidden(&at.child("securityContext.windowsOptions"), detail));
    }
    each_context(spec, at, |context, at| {
        if context.windows_options.is_some() {
            errors.push(Error::forbidden(&at.child("windowsOptions"), detail));
        }
    });
}

fn windows(spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    let detail = "cannot be set for a windows pod";
    let context = spec.security_context.clone().unwrap_or_default();
    for (_, name) in unfit_for_windows(spec, &context).into_iter().filter(|(given, _)| *given) {
        errors.push(Error::forbidden(&at.child(name), detail));
    }
    each_context(spec, at, |context, at| {
        let given = [
            (context.app_armor_profile.is_some(), "appArmorProfile"),
            (context.se_linux_options.is_some(), "seLinuxOptions"),
            (context.seccomp_profile.is_some(), "seccompProfile"),
            (context.capabilities.is_some(), "capabilities"),
            (context.read_only_root_filesystem.is_some(), "readOnlyRootFilesystem"),
            (context.privileged.is_some(), "privileged"),
            (context.allow_privilege_escalation.is_some(), "allowPrivilegeEscalation"),
            (context.proc_mount.is_some(), "procMount"),
            (context.run_as_user.is_some(), "runAsUser"),
            (context.run_as_group.is_some(), "runAsGroup"),
        ];
        for (_, name) in given.into_iter().filter(|(given, _)| *given) {
            errors.push(Error::forbidden(&at.child(name), detail));
        }
    });
}

fn unfit_for_windows(spec: &PodSpec, context: &PodSecurityContext) -> [(bool, &'static str); 15] {
    [
        (context.app_armor_profile.is_some(), "securityContext.appArmorProfile"),
        (context.se_linux_options.is_some(), "securityContext.seLinuxOptions"),
        (spec.host_users.is_some(), "hostUsers"),
        (spec.host_pid, "hostPID"),
        (spec.host_ipc, "hostIPC"),
        (context.seccomp_profile.is_some(), "securityContext.seccompProfile"),
        (context.fs_group.is_some(), "securityContext.fsGroup"),
        (context.fs_group_change_policy.is_some(), "securityContext.fsGroupChangePolicy"),
        (!context.sysctls.is_empty(), "securityContext.sysctls"),
        (spec.share_process_namespace.is_some(), "shareProcessNamespace"),
        (context.run_as_user.is_some(), "securityContext.runAsUser"),
        (context.run_as_group.is_some(), "securityContext.runAsGroup"),
        (!context.supplemental_groups.is_empty(), "securityContext.supplementalGroups"),
        (context.supplemental_groups_policy.is_some(), "securityContext.supplementalGroupsPolicy"),
        (context.se_linux_change_policy.is_some(), "securityContext.seLinuxChangePolicy"),
    ]
}

/// Containers that are processes of their host: all of a Pod's or none.
pub(super) fn host_processes(spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    let asked = |options: Option<&WindowsSecurityContextOptions>| options.and_then(|options| options.host_process);
    let of_pod = asked(spec.security_context.as_ref().and_then(|context| context.windows_options.as_ref()));
    let (mut count, mut hosted) = (0, 0);
    each_container(spec, at, |container, at| {
        count += 1;
        let context = container.security_context.as_ref();
        let own = asked(context.and_then(|context| context.windows_options.as_ref()));
        if let (Some(of_pod), Some(own)) = (of_pod, own)
            && of_pod != own
        {
            let detail = format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            errors.push(Error::invalid(&at.child("securityContext.windowsOptions.hostProcess"), own, &detail));
        }
        hosted += usize::from(own.or(of_pod) == Some(true));
    });
    if hosted == 0 {
        return;
    }
    if hosted != count {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(Error::invalid(at, "", detail));
    }
    if !spec.host_network {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(Error::invalid(&at.child("hostNetwork"), false, detail));
    }
}

/// Calls `visit` with each container that can be in a template, in Kubernetes' order.
fn each_container(spec: &PodSpec, at: &Path<'_>, mut visit: impl FnMut(&Container, &Path<'_>)) {
    for (all, name) in [(&spec.init_containers, "initContainers"), (&spec.containers, "containers")] {
        for (i, container) in all.iter().enumerate() {
            visit(container, &at.child(name).index(i));
        }
    }
}

fn each_context(spec: &PodSpec, at: &Path<'_>, mut visit: impl FnMut(&SecurityContext, &Path<'_>)) {
    each_container(spec, at, |container, at| {
        if let Some(context) = &container.security_context {
            visit(context, &at.child("securityContext"));
        }
    });
}

/// Windows' options in a security context.
pub(super) fn windows_options(options: Option<&WindowsSecurityContextOptions>, at: &Path<'_>, errors: &mut Errors) {
    let Some(options) = options else { return };
    if let Some(name) = &options.gmsa_credential_spec_name {
        complain(names::dns_subdomain(name), name, &at.child("gmsaCredentialSpecName"), errors);
    }
    if let Some(spec) = &options.gmsa_credential_spec {
        let at = at.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.push(Error::invalid(&at, spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > SPEC_MAX {
            errors.push(Error::invalid(&at, spec, "gmsaCredentialSpec size must be under 64 KiB"));
        }
    }
    if let Some(name) = &options.run_as_user_name {
        let at = at.child("runAsUserName");
        complain(user_name(name), name, &at, errors);
    }
}

/// What is wrong with `DOMAIN\user`, whose domain may be left out.
fn user_name(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut say = |wrong: bool, what: String| {
        if wrong {
            problems.push(format!("runAsUserName{what}"));
        }
        wrong
    };
    let parts: Vec<&str> = name.split('\\').collect();
    if say(name.is_empty(), " cannot be an empty string".into())
        || say(name.contains(|c: char| c.is_ascii_control()), " cannot contain control characters".into())
        || say(parts.len() > 2, " cannot contain more than one backslash".into())
    {
        return problems;
    }
    let user = parts[parts.len() - 1];
    if let [domain, _] = parts[..] {
        let long = domain.len() >= DOMAIN_MAX;
        say(long, format!("'s Domain length must be under {DOMAIN_MAX} characters"));
        let named = is_net_bios(domain) || is_dns(domain);
        say(!named, "'s Domain doesn't match the NetBios nor the DNS format".into());
    }
    if !say(user.is_empty(), "'s User cannot be empty".into()) {
        let long = user.len() > USER_MAX;
        say(long, format!("'s User length must not be longer than {USER_MAX} characters"));
    }
    let blank = !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' '));
    say(blank, "'s User cannot contain only periods or spaces".into());
    let bad = user.contains(|c| "\"/\\:;|=,+*?<>@[]".contains(c));
    say(bad, "'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]".into());
    problems
}

fn is_net_bios(domain: &str) -> bool {
    (1..=15).contains(&domain.chars().count())
        && !domain.starts_with('.')
        && !domain.contains(|c| "\\/:*?\"<>|".contains(c))
}

fn is_dns(domain: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric();
    domain.split('.').all(|label| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|c| word(*c))
            && bytes.last().is_some_and(|c| word(*c))
            && bytes.iter().all(|c| word(*c) || *c == b'-')
    })
}
