//! Containers: names, images, ports, mounts, resources.

use std::collections::{BTreeMap, BTreeSet};

use proto::core_v1::{Container, ContainerPort, ResourceRequirements};
use proto::resource;

use super::volume::Volumes;
use super::{complain, environment, mount, one_of, probe};
use crate::field::{Error, Errors, Path};
use crate::names;
use crate::quantity::Quantity;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// What the containers of a Pod share.
pub(super) struct Around<'a> {
    /// Its volumes.
    pub(super) volumes: Volumes<'a>,
    /// The names of the containers seen so far.
    pub(super) names: BTreeSet<&'a str>,
    /// Its grace period.
    pub(super) grace: Option<i64>,
}

/// The containers that run together.
pub(super) fn containers<'a>(all: &'a [Container], around: &mut Around<'a>, at: &Path<'_>, errors: &mut Errors) {
    let mut ports = BTreeSet::new();
    for (i, container) in all.iter().enumerate() {
        let at = at.index(i);
        one(container, &around.volumes, &at, errors);
        unique(container, around, &at, errors);
        probe::allowed(container, around.grace, &at, errors);
        host_ports(&container.ports, &mut ports, &at.child("ports"), errors);
    }
}

/// The containers that run one after the other before those; with restartPolicy Always they stay.
pub(super) fn init_containers<'a>(all: &'a [Container], around: &mut Around<'a>, at: &Path<'_>, errors: &mut Errors) {
    for (i, container) in all.iter().enumerate() {
        let at = at.index(i);
        one(container, &around.volumes, &at, errors);
        unique(container, around, &at, errors);
        host_ports(&container.ports, &mut BTreeSet::new(), &at.child("ports"), errors);
        if container.restart_policy.as_deref() == Some("Always") {
            probe::allowed(container, around.grace, &at, errors);
        } else {
            probe::forbidden(container, &at, errors);
        }
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

fn one(container: &Container, volumes: &Volumes<'_>, at: &Path<'_>, errors: &mut Errors) {
    match container.name.as_str() {
        "" => errors.push(Error::required(&at.child("name"), "")),
        name => complain(names::dns_label(name), name, &at.child("name"), errors),
    }
    let image = at.child("image");
    match container.image.as_str() {
        "" => errors.push(Error::required(&image, "")),
        text if text.trim() != text => {
            errors.push(Error::invalid(&image, text, "must not have leading or trailing whitespace"));
        }
        _ => {}
    }
    let policies = ["FallbackToLogsOnError", "File"];
    one_of(&container.termination_message_policy, &policies, &at.child("terminationMessagePolicy"), errors);
    ports(&container.ports, &at.child("ports"), errors);
    environment::variables(&container.env, &at.child("env"), errors);
    environment::sources(&container.env_from, &at.child("envFrom"), errors);
    mount::all(container, volumes, at, errors);
    one_of(&container.image_pull_policy, &["Always", "IfNotPresent", "Never"], &at.child("imagePullPolicy"), errors);
    if let Some(asked) = &container.resources {
        resources(asked, &at.child("resources"), errors);
    }
    if let Some(policy) = &container.restart_policy {
        let policies = ["Always", "Never", "OnFailure"];
        if !policies.contains(&policy.as_str()) {
            errors.push(Error::not_supported(&at.child("restartPolicy"), policy, &policies));
        }
    }
}

fn ports(ports: &[ContainerPort], at: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = at.index(i);
        if !port.name.is_empty() {
            complain(names::port_name(&port.name), &port.name, &at.child("name"), errors);
            if !seen.insert(port.name.as_str()) {
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

type Quantities = BTreeMap<String, resource::Quantity>;

/// Limits and requests: known names, no negative amounts, no request above its limit.
pub(super) fn resources(asked: &ResourceRequirements, at: &Path<'_>, errors: &mut Errors) {
    let limits = amounts(&asked.limits, &at.child("limits"), errors);
    let requests = amounts(&asked.requests, &at.child("requests"), errors);
    let at = at.child("requests");
    for (name, request) in requests {
        let Some(limit) = limits.get(name) else { continue };
        if request.minus(*limit).signum() > 0 {
            let shown = asked.requests[name].string.as_str();
            let detail = format!("must be less than or equal to {name} limit of {}", asked.limits[name].string);
            errors.push(Error::invalid(&at, shown, &detail));
        }
    }
}

fn amounts<'a>(all: &'a Quantities, at: &Path<'_>, errors: &mut Errors) -> BTreeMap<&'a str, Quantity> {
    let mut parsed = BTreeMap::new();
    for (name, quantity) in all {
        let at = at.key(name);
        complain(names::label_key(name), name, &at, errors);
        let native = ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str()) || name.starts_with("hugepages-");
        if !native && !name.contains('/') {
            errors.push(Error::invalid(&at, name.as_str(), "must be a standard resource for containers"));
        }
        match Quantity::parse(&quantity.string) {
            Err(problem) => errors.push(Error::invalid(&at, quantity.string.as_str(), &problem.to_string())),
            Ok(amount) => {
                if amount.signum() < 0 {
                    let detail = "must be greater than or equal to 0";
                    errors.push(Error::invalid(&at, quantity.string.as_str(), detail));
                }
                if name.contains('/') && !amount.is_whole() {
                    errors.push(Error::invalid(&at, quantity.string.as_str(), "must be an integer"));
                }
                parsed.insert(name.as_str(), amount);
            }
        }
    }
    parsed
}
