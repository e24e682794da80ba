//! A Pod's spec, alone or in a template.

use std::collections::BTreeSet;

use proto::core_v1::{PodSpec, PodTemplateSpec, Toleration};

use super::container::Around;
use super::meta::{annotations, labels};
use super::{complain, container, identity, one_of, operating_system, resources, scheduling, security, volume};
use crate::field::{Error, Errors, Path};
use crate::names;

/// What a template belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A Job, whose own rule for the restart policy follows.
    Job,
    /// A PodTemplate.
    Template,
}

/// A template: its labels, annotations and spec.
pub(super) fn template(template: &PodTemplateSpec, at: &Path<'_>, owner: Owner, errors: &mut Errors) {
    let meta = template.metadata.clone().unwrap_or_default();
    // Kubernetes leaves `metadata` out of these paths.
    labels(&meta.labels, &at.child("labels"), errors);
    annotations(&meta.annotations, &at.child("annotations"), errors);
    let spec = template.spec.clone().unwrap_or_default();
    pod_spec(&spec, None, &at.child("spec"), owner == Owner::Job, errors);
    if !spec.ephemeral_containers.is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(Error::forbidden(&at.child("spec.ephemeralContainers"), detail));
    }
}

/// A spec; `pod` is the Pod's name, `None` in a template. `owner_says_restart`: the restart policy's rule is the owner's,
/// so nothing is said of it here.
pub(super) fn pod_spec(
    spec: &PodSpec,
    pod: Option<&str>,
    at: &Path<'_>,
    owner_says_restart: bool,
    errors: &mut Errors,
) {
    let volumes = volume::volumes(&spec.volumes, pod, &at.child("volumes"), errors);
    let claims = resources::claims(&spec.resource_claims, &at.child("resourceClaims"), errors);
    if spec.containers.is_empty() {
        errors.push(Error::required(&at.child("containers"), ""));
    }
    let mut around = Around {
        volumes,
        names: BTreeSet::new(),
        claims,
        grace: spec.termination_grace_period_seconds,
        restarts: spec.restart_policy != "Never",
        host_users: spec.host_users != Some(false),
    };
    container::containers(&spec.containers, &mut around, &at.child("containers"), errors);
    container::init_containers(&spec.init_containers, &mut around, &at.child("initContainers"), errors);
    let ephemeral = at.child("ephemeralContainers");
    container::ephemeral_containers(&spec.ephemeral_containers, &around, &ephemeral, errors);
    resources::of_pod(spec, &around.claims, &at.child("resources"), errors);
    identity::host_network(spec, at, errors);
    let policies = ["Always", "OnFailure", "Never"];
    if !(owner_says_restart && spec.restart_policy.is_empty()) {
        one_of(&spec.restart_policy, &policies, &at.child("restartPolicy"), errors);
    }
    let dns = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(&spec.dns_policy, &dns, &at.child("dnsPolicy"), errors);
    labels(&spec.node_selector, &at.child("nodeSelector"), errors);
    if let Some(context) = &spec.security_context {
        security::of_pod(context, spec, &at.child("securityContext"), errors);
    }
    if let Some(affinity) = &spec.affinity {
        scheduling::affinity(affinity, &at.child("affinity"), errors);
    }
    identity::dns(spec.dns_config.as_ref(), &spec.dns_policy, &at.child("dnsConfig"), errors);
    for (i, gate) in spec.readiness_gates.iter().enumerate() {
        let name = &gate.condition_type;
        complain(names::label_key(name), name, &at.child("readinessGates").index(i).child("conditionType"), errors);
    }
    scheduling::gates(&spec.scheduling_gates, &at.child("schedulingGates"), errors);
    let spread = at.child("topologySpreadConstraints");
    scheduling::topology_spread(&spec.topology_spread_constraints, &spread, errors);
    operating_system::host_processes(spec, at, errors);
    identity::host_users(spec, at, errors);
    identity::hostname_override(spec, at, errors);
    names_and_policies(spec, at, errors);
    operating_system::operating_system(spec, at, errors);
    volume::file_keys(spec, at, errors);
}

/// What a spec names elsewhere, its deadline, and policies of a word each.
fn names_and_policies(spec: &PodSpec, at: &Path<'_>, errors: &mut Errors) {
    let subdomain = |text: &String, name: &str, errors: &mut Errors| {
        if !text.is_empty() {
            complain(names::dns_subdomain(text), text, &at.child(name), errors);
        }
    };
    subdomain(&spec.service_account_name, "serviceAccountName", errors);
    subdomain(&spec.node_name, "nodeName", errors);
    if let Some(seconds) = spec.active_deadline_seconds.filter(|seconds| !(1..=i64::from(i32::MAX)).contains(seconds)) {
        let detail = "must be between 1 and 2147483647, inclusive";
        errors.push(Error::invalid(&at.child("activeDeadlineSeconds"), seconds, detail));
    }
    for (text, name) in [(&spec.hostname, "hostname"), (&spec.subdomain, "subdomain")] {
        if !text.is_empty() {
            complain(names::dns_label(text), text, &at.child(name), errors);
        }
    }
    tolerations(&spec.tolerations, &at.child("tolerations"), errors);
    identity::host_aliases(&spec.host_aliases, &at.child("hostAliases"), errors);
    subdomain(&spec.priority_class_name, "priorityClassName", errors);
    if let Some(name) = &spec.runtime_class_name {
        complain(names::dns_subdomain(name), name, &at.child("runtimeClassName"), errors);
    }
    if let Some(policy) = &spec.preemption_policy {
        one_of(policy, &["PreemptLowerPriority", "Never"], &at.child("preemptionPolicy"), errors);
    }
    resources::overhead(&spec.overhead, &at.child("overhead"), errors);
}

/// Tolerations of taints.
pub(super) fn tolerations(all: &[Toleration], at: &Path<'_>, errors: &mut Errors) {
    for (i, toleration) in all.iter().enumerate() {
        let at = at.index(i);
        let (operator, effect) = (at.child("operator"), at.child("effect"));
        if toleration.key.is_empty() {
            if toleration.operator != "Exists" {
                let detail =
                    "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
                errors.push(Error::invalid(&operator, toleration.operator.as_str(), detail));
            }
        } else {
            complain(names::label_key(&toleration.key), &toleration.key, &at.child("key"), errors);
        }
        if toleration.toleration_seconds.is_some() && toleration.effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(Error::invalid(&effect, toleration.effect.as_str(), detail));
        }
        match toleration.operator.as_str() {
            "Equal" | "" => {
                let problems = names::label_value(&toleration.value);
                if !problems.is_empty() {
                    errors.push(Error::invalid(&operator, &toleration.value, &problems.join(";")));
                }
            }
            "Exists" if !toleration.value.is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                errors.push(Error::invalid(&operator, toleration.value.as_str(), detail));
            }
            "Exists" => {}
            other @ ("Lt" | "Gt") => {
                errors.push(Error::not_supported(&operator, other, &["Equal", "Exists", "Lt", "Gt"]));
            }
            other => errors.push(Error::not_supported(&operator, other, &["Equal", "Exists"])),
        }
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if !toleration.effect.is_empty() && !effects.contains(&toleration.effect.as_str()) {
            errors.push(Error::not_supported(&effect, toleration.effect.as_str(), &effects));
        }
    }
}
