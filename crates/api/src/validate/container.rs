//! Containers: names, images, ports, mounts, restarts.

use std::collections::BTreeSet;

use prost::Message;
use proto::core_v1::{Container, ContainerPort, ContainerRestartRule, EphemeralContainer};

use super::volume::Volumes;
use super::{complain, environment, mount, one_of, probe, resources, security};
use crate::field::{Error, Errors, Path};
use crate::names;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// What the containers of a Pod share.
pub(super) struct Around<'a> {
    /// Its volumes.
    pub(super) volumes: Volumes<'a>,
    /// The names of the containers seen so far.
    pub(super) names: BTreeSet<&'a str>,
    /// The names of its claims.
    pub(super) claims: BTreeSet<&'a str>,
    /// Its grace period.
    pub(super) grace: Option<i64>,
    /// Its restart policy is not Never.
    pub(super) restarts: bool,
    /// It shares the users of its host.
    pub(super) host_users: bool,
}

/// The containers that run together.
pub(super) fn containers<'a>(all: &'a [Container], around: &mut Around<'a>, at: &Path<'_>, errors: &mut Errors) {
    let mut ports = BTreeSet::new();
    for (i, container) in all.iter().enumerate() {
        let at = at.index(i);
        one(container, around, &at, errors);
        unique(container, around, &at, errors);
        probe::allowed(container, around.grace, &at, errors);
        restarts(container, &at, errors);
    }
    for (i, container) in all.iter().enumerate() {
        host_ports(&container.ports, &mut ports, &at.index(i).child("ports"), errors);
    }
}

/// The containers that run one after the other before those; with restartPolicy Always they stay.
pub(super) fn init_containers<'a>(all: &'a [Container], around: &mut Around<'a>, at: &Path<'_>, errors: &mut Errors) {
    for (i, container) in all.iter().enumerate() {
        let at = at.index(i);
        one(container, around, &at, errors);
        if container.restart_policy.is_some() || container.restart_policy_rules.is_empty() {
            restarts(container, &at, errors);
        } else {
            let detail = "must specify restartPolicy when restart rules are used";
            errors.push(Error::required(&at.child("restartPolicy"), detail));
        }
        unique(container, around, &at, errors);
        host_ports(&container.ports, &mut BTreeSet::new(), &at.child("ports"), errors);
        if container.restart_policy.as_deref() == Some("Always") {
            probe::allowed(container, around.grace, &at, errors);
        } else {
            probe::forbidden(container, &at, errors);
            let policies = container.resize_policy.iter().enumerate();
            for (j, policy) in policies.filter(|(_, policy)| policy.restart_policy == "RestartContainer") {
                let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                let list = at.child("resizePolicy");
                let at = list.index(j);
                errors.push(Error::invalid(&at.child("restartPolicy"), &policy.restart_policy, detail));
            }
        }
    }
}

/// Containers that are put into a running Pod: new Pods and templates may not have any, and are told all that is wrong.
pub(super) fn ephemeral_containers(
    all: &[EphemeralContainer],
    around: &Around<'_>,
    at: &Path<'_>,
    errors: &mut Errors,
) {
    let mut seen: BTreeSet<String> = around.names.iter().map(|name| (*name).to_string()).collect();
    for (i, ephemeral) in all.iter().enumerate() {
        let container = as_container(ephemeral);
        let at = at.index(i);
        one(&container, around, &at, errors);
        trimmed_image(&container, &at, errors);
        if !seen.insert(container.name.clone()) {
            errors.push(Error::duplicate(&at.child("name"), &container.name));
        }
        let target = ephemeral.target_container_name.as_str();
        if !target.is_empty() && !around.names.contains(target) {
            errors.push(Error::not_found(&at.child("targetContainerName"), target));
        }
        let detail = "cannot be set for an Ephemeral Container";
        let given = [
            (!container.ports.is_empty(), "ports"),
            (container.resources.as_ref().is_some_and(|asked| *asked != Default::default()), "resources"),
            (!container.resize_policy.is_empty(), "resizePolicy"),
            (container.restart_policy.is_some(), "restartPolicy"),
            (!container.restart_policy_rules.is_empty(), "restartPolicyRules"),
            (container.liveness_probe.is_some(), "livenessProbe"),
            (container.readiness_probe.is_some(), "readinessProbe"),
            (container.startup_probe.is_some(), "startupProbe"),
            (container.lifecycle.is_some(), "lifecycle"),
        ];
        for (_, name) in given.into_iter().filter(|(given, _)| *given) {
            errors.push(Error::forbidden(&at.child(name), detail));
        }
        for (j, mount) in container.volume_mounts.iter().enumerate() {
            for (path, name) in [(&mount.sub_path, "subPath"), (&mount.sub_path_expr, "subPathExpr")] {
                if !path.is_empty() {
                    errors.push(Error::forbidden(&at.child("volumeMounts").index(j).child(name), detail));
                }
            }
        }
    }
}

/// The same fields under the same numbers.
fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let common = ephemeral.ephemeral_container_common.as_ref().map(Message::encode_to_vec).unwrap_or_default();
    Container::decode(common.as_slice()).unwrap_or_default()
}

/// When this container alone is restarted (KEP-5307).
fn restarts(container: &Container, at: &Path<'_>, errors: &mut Errors) {
    let (rules, at_policy) = (&container.restart_policy_rules, at.child("restartPolicy"));
    match &container.restart_policy {
        None if rules.is_empty() => return,
        None => errors.push(Error::required(&at_policy, "must specify restartPolicy when restart rules are used")),
        Some(policy) => one_of_given(policy, &["Always", "Never", "OnFailure"], &at_policy, errors),
    }
    let at = at.child("restartPolicyRules");
    if rules.len() > RULES_MAX {
        errors.push(Error::too_many(&at, rules.len(), RULES_MAX));
    }
    for (i, rule) in rules.iter().enumerate() {
        restart_rule(rule, &at.index(i), errors);
    }
}

fn restart_rule(rule: &ContainerRestartRule, at: &Path<'_>, errors: &mut Errors) {
    one_of_given(&rule.action, &["Restart", "RestartAllContainers"], &at.child("action"), errors);
    let at = at.child("exitCodes");
    let Some(codes) = &rule.exit_codes else {
        return errors.push(Error::required(&at, "must be specified"));
    };
    one_of_given(&codes.operator, &["In", "NotIn"], &at.child("operator"), errors);
    if codes.values.len() > EXIT_CODES_MAX {
        errors.push(Error::too_many(&at.child("values"), codes.values.len(), EXIT_CODES_MAX));
    }
}

/// An enumeration of which an empty text is none either.
fn one_of_given(value: &str, supported: &[&str], at: &Path<'_>, errors: &mut Errors) {
    if !supported.contains(&value) {
        errors.push(Error::not_supported(at, value, supported));
    }
}

/// The image of a Pod's container, where templates may hold anything.
pub(super) fn trimmed_images(all: &[Container], at: &Path<'_>, errors: &mut Errors) {
    for (i, container) in all.iter().enumerate() {
        trimmed_image(container, &at.index(i), errors);
    }
}

fn trimmed_image(container: &Container, at: &Path<'_>, errors: &mut Errors) {
    if container.image.trim() != container.image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(Error::invalid(&at.child("image"), &container.image, detail));
    }
}

fn unique<'a>(container: &'a Container, around: &mut Around<'a>, at: &Path<'_>, errors: &mut Errors) {
    if !around.names.insert(&container.name) && !container.name.is_empty() {
        errors.push(Error::duplicate(&at.child("name"), &container.name));
    }
}

fn host_ports(ports: &[ContainerPort], taken: &mut BTreeSet<String>, at: &Path<'_>, errors: &mut Errors) {
    for (i, port) in ports.iter().enumerate().filter(|(_, port)| port.host_port != 0) {
        let shown = format!("{}/{}/{}", port.protocol, port.host_ip, port.host_port);
        if taken.contains(&shown) {
            errors.push(Error::duplicate(&at.index(i).child("hostPort"), &shown));
        }
        taken.insert(shown);
    }
}

fn one(container: &Container, around: &Around<'_>, at: &Path<'_>, errors: &mut Errors) {
    match container.name.as_str() {
        "" => errors.push(Error::required(&at.child("name"), "")),
        name => complain(names::dns_label(name), name, &at.child("name"), errors),
    }
    if container.image.is_empty() {
        errors.push(Error::required(&at.child("image"), ""));
    }
    let policies = ["File", "FallbackToLogsOnError"];
    one_of(&container.termination_message_policy, &policies, &at.child("terminationMessagePolicy"), errors);
    ports(&container.ports, &at.child("ports"), errors);
    environment::variables(&container.env, &at.child("env"), errors);
    environment::sources(&container.env_from, &at.child("envFrom"), errors);
    mount::all(container, &around.volumes, at, errors);
    one_of(&container.image_pull_policy, &["Always", "IfNotPresent", "Never"], &at.child("imagePullPolicy"), errors);
    if let Some(asked) = &container.resources {
        resources::of_container(asked, &around.claims, &at.child("resources"), errors);
    }
    resources::resize(&container.resize_policy, around.restarts, &at.child("resizePolicy"), errors);
    if let Some(context) = &container.security_context {
        security::of_container(context, around.host_users, &at.child("securityContext"), errors);
    }
}

fn ports(ports: &[ContainerPort], at: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = at.index(i);
        if !port.name.is_empty() {
            let problems = names::port_name(&port.name);
            if !problems.is_empty() {
                complain(problems, &port.name, &at.child("name"), errors);
            } else if !seen.insert(port.name.as_str()) {
                errors.push(Error::duplicate(&at.child("name"), port.name.as_str()));
            }
        }
        if port.container_port == 0 {
            errors.push(Error::required(&at.child("containerPort"), ""));
        } else {
            port_number(port.container_port, &at.child("containerPort"), errors);
        }
        if port.host_port != 0 {
            port_number(port.host_port, &at.child("hostPort"), errors);
        }
        one_of(&port.protocol, &PROTOCOLS, &at.child("protocol"), errors);
    }
}

/// A port from 1 to 65535.
pub(super) fn port_number(port: i32, at: &Path<'_>, errors: &mut Errors) {
    errors.extend(names::port_number(port).iter().map(|problem| Error::invalid(at, port, problem)));
}
