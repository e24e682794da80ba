//! What is odd about a Pod's spec, alone or in a template, without being wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use proto::core_v1::{Affinity, Container, ContainerPort, NodeSelectorTerm, PodAffinityTerm, PodSpec};
use proto::resource;

use crate::field::{Path, quote};
use crate::names;
use crate::quantity::Quantity;

/// Labels of nodes that have newer names.
const OLD_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];
const TOLD_MAX: usize = 1000;
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

fn old_label(key: &str) -> Option<&'static str> {
    OLD_LABELS.iter().find(|(old, _)| *old == key).map(|(_, advice)| *advice)
}

/// All but volumes and annotations; `at` is the spec.
pub(super) fn spec(spec: &PodSpec, at: &Path<'_>, warnings: &mut Vec<String>) {
    for (key, advice) in spec.node_selector.keys().filter_map(|key| Some((key, old_label(key)?))) {
        warnings.push(format!("{}: {advice}", at.child("nodeSelector").key(key)));
    }
    if let Some(affinity) = &spec.affinity {
        self::affinity(affinity, &at.child("affinity"), warnings);
    }
    for (i, spread) in spec.topology_spread_constraints.iter().enumerate() {
        let list = at.child("topologySpreadConstraints");
        let at = list.index(i);
        if let Some(advice) = old_label(&spread.topology_key) {
            warnings.push(format!("{}: {} is {advice}", at.child("topologyKey"), spread.topology_key));
        }
        if spread.label_selector.is_none() {
            warnings.push(format!("{}: {NO_SELECTOR}", at.child("labelSelector")));
        }
    }
    repeated(spec, at, warnings);
    fractions(&spec.overhead, &at.child("overhead"), warnings);
    for (i, container) in spec.init_containers.iter().enumerate() {
        self::container(container, &at.child("initContainers").index(i), warnings);
    }
    for (i, container) in spec.containers.iter().enumerate() {
        self::container(container, &at.child("containers").index(i), warnings);
    }
    ports(spec, at, warnings);
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        warnings.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            at.child("terminationGracePeriodSeconds")
        ));
    }
    for (i, server) in spec.dns_config.iter().flat_map(|config| &config.nameservers).enumerate() {
        address(server, &at.child("dnsConfig").child("nameservers").index(i), warnings);
    }
    for (i, alias) in spec.host_aliases.iter().enumerate() {
        address(&alias.ip, &at.child("hostAliases").index(i).child("ip"), warnings);
    }
}

fn affinity(affinity: &Affinity, at: &Path<'_>, warnings: &mut Vec<String>) {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    if let Some(node) = &affinity.node_affinity {
        let at = at.child("nodeAffinity");
        let terms = node.required_during_scheduling_ignored_during_execution.iter();
        for (i, term) in terms.flat_map(|selector| &selector.node_selector_terms).enumerate() {
            node_term(term, false, &at.child(required).child("nodeSelectorTerms").index(i), warnings);
        }
        for (i, term) in node.preferred_during_scheduling_ignored_during_execution.iter().enumerate() {
            let preference = term.preference.clone().unwrap_or_default();
            node_term(&preference, true, &at.child(preferred).index(i).child("preference"), warnings);
        }
    }
    let mut unselective = |term: Option<&PodAffinityTerm>, at: &Path<'_>| {
        if term.is_none_or(|term| term.label_selector.is_none()) {
            warnings.push(format!("{}: {NO_SELECTOR}", at.child("labelSelector")));
        }
    };
    if let Some(pods) = &affinity.pod_affinity {
        let at = at.child("podAffinity");
        for (i, term) in pods.required_during_scheduling_ignored_during_execution.iter().enumerate() {
            unselective(Some(term), &at.child(required).index(i));
        }
        for (i, term) in pods.preferred_during_scheduling_ignored_during_execution.iter().enumerate() {
            unselective(term.pod_affinity_term.as_ref(), &at.child(preferred).index(i).child("podAffinityTerm"));
        }
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        let at = at.child("podAntiAffinity");
        for (i, term) in pods.required_during_scheduling_ignored_during_execution.iter().enumerate() {
            unselective(Some(term), &at.child(required).index(i));
        }
        for (i, term) in pods.preferred_during_scheduling_ignored_during_execution.iter().enumerate() {
            unselective(term.pod_affinity_term.as_ref(), &at.child(preferred).index(i).child("podAffinityTerm"));
        }
    }
}

fn node_term(term: &NodeSelectorTerm, values: bool, at: &Path<'_>, warnings: &mut Vec<String>) {
    for (i, requirement) in term.match_expressions.iter().enumerate() {
        let list = at.child("matchExpressions");
        let at = list.index(i);
        if let Some(advice) = old_label(&requirement.key) {
            warnings.push(format!("{}: {} is {advice}", at.child("key"), requirement.key));
        }
        for (j, value) in requirement.values.iter().enumerate().filter(|_| values) {
            for problem in names::label_value(value) {
                warnings.push(format!("{}: {value} is invalid, {problem}", at.child("values").index(j)));
            }
        }
    }
}

/// Aliases and pull secrets that are there twice, or without a name.
fn repeated(spec: &PodSpec, at: &Path<'_>, warnings: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (i, alias) in spec.host_aliases.iter().enumerate().filter(|(_, alias)| !seen.insert(&alias.ip)) {
        warnings.push(format!("{}: duplicate ip {}", at.child("hostAliases").index(i).child("ip"), quote(&alias.ip)));
    }
    let secrets = at.child("imagePullSecrets");
    let mut seen = BTreeSet::new();
    for (i, secret) in spec.image_pull_secrets.iter().enumerate().filter(|(_, secret)| !seen.insert(&secret.name)) {
        warnings.push(format!("{}: duplicate name {}", secrets.index(i).child("name"), quote(&secret.name)));
    }
    for (i, _) in spec.image_pull_secrets.iter().enumerate().filter(|(_, secret)| secret.name.is_empty()) {
        warnings.push(format!("{}: invalid empty name \"\"", secrets.index(i).child("name")));
    }
}

/// Bytes come whole.
fn fractions(amounts: &BTreeMap<String, resource::Quantity>, at: &Path<'_>, warnings: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        let amount = amounts.get(name).and_then(|amount| Quantity::parse(&amount.string).ok());
        if let Some(amount) = amount.filter(|amount| amount.millis() % 1000 != 0) {
            let shown = quote(&amount.to_proto().string);
            warnings.push(format!("{}: fractional byte value {shown} is invalid, must be an integer", at.key(name)));
        }
    }
}

fn container(container: &Container, at: &Path<'_>, warnings: &mut Vec<String>) {
    if let Some(asked) = &container.resources {
        let resources = at.child("resources");
        fractions(&asked.limits, &resources.child("limits"), warnings);
        fractions(&asked.requests, &resources.child("requests"), warnings);
    }
    let mut seen = BTreeSet::new();
    for (i, variable) in container.env.iter().enumerate() {
        let before = format!("$({})", variable.name);
        let builds_on_it =
            variable.value_from.is_none() && variable.value != before && variable.value.contains(&before);
        if !seen.insert(&variable.name) && !builds_on_it {
            warnings.push(format!(
                "{}: hides previous definition of {}, which may be dropped when using apply",
                at.child("env").index(i),
                quote(&variable.name)
            ));
        }
    }
}

/// Ports that containers of one Pod define twice, by number or by name.
fn ports(spec: &PodSpec, at: &Path<'_>, warnings: &mut Vec<String>) {
    let mut all: Vec<(String, &ContainerPort)> = Vec::new();
    for (containers, name) in [(&spec.init_containers, "initContainers"), (&spec.containers, "containers")] {
        for (i, container) in containers.iter().enumerate() {
            for (j, port) in container.ports.iter().enumerate() {
                let list = at.child(name);
                let container = list.index(i);
                all.push((container.child("ports").index(j).to_string(), port));
            }
        }
    }
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut numbers: BTreeMap<(i32, &str), Vec<(&String, &ContainerPort)>> = BTreeMap::new();
    let mut of_names = Vec::new();
    for (place, port) in &all {
        if !port.host_ip.is_empty() && port.host_port == 0 {
            let ContainerPort { name, host_port, container_port, protocol, host_ip } = port;
            warnings.push(format!(
                "{place}: hostIP set without hostPort: {{Name:{name} HostPort:{host_port} ContainerPort:{container_port} Protocol:{protocol} HostIP:{host_ip}}}"
            ));
        }
        let taken = numbers.entry((port.container_port, port.protocol.as_str())).or_default();
        for (other, earlier) in taken.iter() {
            let free = [&port.host_ip, &earlier.host_ip].into_iter().filter(|ip| ip.is_empty()).count();
            let what = if (&port.host_ip, port.host_port) == (&earlier.host_ip, earlier.host_port) {
                "duplicate"
            } else if port.host_port == 0 || earlier.host_port == 0 {
                "overlapping"
            } else if port.host_port == earlier.host_port && free == 1 {
                "dangerously ambiguous"
            } else {
                continue;
            };
            warnings.push(format!("{place}: {what} port definition with {other}"));
            if warnings.len() > TOLD_MAX {
                // More than an answer can hold.
                return;
            }
        }
        taken.push((place, port));
        if !port.name.is_empty() {
            match names.get(port.name.as_str()) {
                Some(first) => of_names.push(format!(
                    "{place}: duplicate port name {} with {first}, services and probes that select ports by name will use {first}",
                    quote(&port.name)
                )),
                None => drop(names.insert(&port.name, place)),
            }
        }
    }
    warnings.append(&mut of_names);
}

/// An address of IPv6 has many ways to be written, of which one is for everybody.
fn address(text: &str, at: &Path<'_>, warnings: &mut Vec<String>) {
    if let Ok(parsed) = text.parse::<Ipv6Addr>().map(|parsed| parsed.to_string())
        && parsed != text
    {
        warnings.push(format!(
            "{at}: IPv6 address {} should be in RFC 5952 canonical format ({})",
            quote(text),
            quote(&parsed)
        ));
    }
}
