//! What a Pod asks for and the process runtime can't give: told in one Warning event, never dropped in silence.

use proto::core_v1::{Container, Pod, PodSpec, Volume};

/// Field paths with what is missing, in the order of the spec; empty: everything is honoured.
pub fn unsupported(pod: &Pod) -> Vec<String> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let mut found: Vec<String> =
        spec.volumes.iter().map(|volume| format!("spec.volumes[{}] ({})", volume.name, kind(volume))).collect();
    let lists = [("initContainers", &spec.init_containers), ("containers", &spec.containers)];
    for (list, containers) in lists {
        for container in containers {
            let fields = of_container(container);
            found.extend(fields.into_iter().map(|field| format!("spec.{list}[{}].{field}", container.name)));
        }
    }
    found.extend(of_pod(spec).into_iter().map(|field| format!("spec.{field}")));
    found
}

fn of_container(container: &Container) -> Vec<&'static str> {
    let resources = container.resources.as_ref();
    let context = container.security_context.as_ref();
    let asked = [
        ("ports (containers share the node's network)", !container.ports.is_empty()),
        ("volumeMounts", !container.volume_mounts.is_empty()),
        ("volumeDevices", !container.volume_devices.is_empty()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("lifecycle", container.lifecycle.is_some()),
        ("resources.limits", resources.is_some_and(|resources| !resources.limits.is_empty())),
        ("resources.claims", resources.is_some_and(|resources| !resources.claims.is_empty())),
        ("restartPolicyRules", !container.restart_policy_rules.is_empty()),
        ("stdin", container.stdin),
        ("tty", container.tty),
        ("securityContext.privileged", context.is_some_and(|context| context.privileged == Some(true))),
        ("securityContext.capabilities", context.is_some_and(|context| context.capabilities.is_some())),
        (
            "securityContext.readOnlyRootFilesystem",
            context.is_some_and(|context| context.read_only_root_filesystem == Some(true)),
        ),
        (
            "securityContext.allowPrivilegeEscalation",
            context.is_some_and(|context| context.allow_privilege_escalation == Some(false)),
        ),
        ("securityContext.seccompProfile", context.is_some_and(|context| context.seccomp_profile.is_some())),
        ("securityContext.appArmorProfile", context.is_some_and(|context| context.app_armor_profile.is_some())),
        ("securityContext.seLinuxOptions", context.is_some_and(|context| context.se_linux_options.is_some())),
    ];
    names(&asked)
}

fn of_pod(spec: &PodSpec) -> Vec<&'static str> {
    let context = spec.security_context.as_ref();
    let asked = [
        ("ephemeralContainers", !spec.ephemeral_containers.is_empty()),
        ("hostname", !spec.hostname.is_empty()),
        ("subdomain", !spec.subdomain.is_empty()),
        ("hostAliases", !spec.host_aliases.is_empty()),
        ("dnsConfig", spec.dns_config.is_some()),
        ("shareProcessNamespace", spec.share_process_namespace == Some(true)),
        ("runtimeClassName", spec.runtime_class_name.is_some()),
        ("readinessGates", !spec.readiness_gates.is_empty()),
        ("resourceClaims", !spec.resource_claims.is_empty()),
        ("hostUsers", spec.host_users == Some(false)),
        ("securityContext.sysctls", context.is_some_and(|context| !context.sysctls.is_empty())),
        ("securityContext.seccompProfile", context.is_some_and(|context| context.seccomp_profile.is_some())),
        ("securityContext.seLinuxOptions", context.is_some_and(|context| context.se_linux_options.is_some())),
    ];
    names(&asked)
}

fn names(asked: &[(&'static str, bool)]) -> Vec<&'static str> {
    asked.iter().filter(|(_, asked)| *asked).map(|(name, _)| *name).collect()
}

/// The volume's kind as its field is called.
fn kind(volume: &Volume) -> &'static str {
    let Some(source) = &volume.volume_source else { return "emptyDir" };
    let kinds = [
        ("hostPath", source.host_path.is_some()),
        ("configMap", source.config_map.is_some()),
        ("secret", source.secret.is_some()),
        ("persistentVolumeClaim", source.persistent_volume_claim.is_some()),
        ("projected", source.projected.is_some()),
        ("downwardAPI", source.downward_api.is_some()),
        ("nfs", source.nfs.is_some()),
        ("csi", source.csi.is_some()),
        ("ephemeral", source.ephemeral.is_some()),
        ("image", source.image.is_some()),
        ("emptyDir", source.empty_dir.is_some()),
    ];
    kinds.iter().find(|(_, is)| *is).map_or("of a kind that needs a plugin", |(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use proto::core_v1::{ContainerPort, EmptyDirVolumeSource, Probe, VolumeSource};

    use super::*;

    #[test]
    fn a_plain_pod_is_honoured_whole_and_the_rest_is_named() {
        let plain = Container { name: "main".into(), image: "busybox".into(), ..Container::default() };
        let of = |spec: PodSpec| unsupported(&Pod { spec: Some(spec), ..Pod::default() });
        assert!(of(PodSpec { containers: vec![plain.clone()], ..PodSpec::default() }).is_empty());
        let source = VolumeSource { empty_dir: Some(EmptyDirVolumeSource::default()), ..VolumeSource::default() };
        let spec = PodSpec {
            containers: vec![Container {
                ports: vec![ContainerPort::default()],
                liveness_probe: Some(Probe::default()),
                ..plain
            }],
            volumes: vec![Volume { name: "scratch".into(), volume_source: Some(source) }],
            hostname: "h".into(),
            ..PodSpec::default()
        };
        assert_eq!(
            of(spec),
            [
                "spec.volumes[scratch] (emptyDir)",
                "spec.containers[main].ports (containers share the node's network)",
                "spec.containers[main].livenessProbe",
                "spec.hostname",
            ]
        );
    }
}
