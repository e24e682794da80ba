//! What a Pod asks of its node, and nothing else of it.
//!
//! The Pods of a Job are alike: ten thousand of them ask one question. A [`Class`] is that question; Pods that ask
//! the same share one (see [`Classes`]), and each node answers it once per pass however many Pods wait for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use api::proto::core_v1::{Affinity, NodeSelectorTerm, PodSpec, PreferredSchedulingTerm, Toleration};
use prost::Message;

use crate::resources::{self, Resources};

/// A port of the node itself that a container wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// Empty or `0.0.0.0`: on every address.
    pub ip: String,
    pub protocol: String,
    pub port: i32,
}

impl HostPort {
    /// Two wants exclude each other on one node unless protocol, port or address tell them apart.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let everywhere = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || everywhere(&self.ip) || everywhere(&other.ip))
    }
}

#[derive(Debug, Clone, Default)]
pub struct Class {
    pub requested: Resources,
    /// With an assumed use where none is stated; for comparing nodes.
    pub expected: Resources,
    pub node_selector: BTreeMap<String, String>,
    /// `None`: no required affinity. An empty list matches no node.
    pub required_terms: Option<Vec<NodeSelectorTerm>>,
    pub preferred_terms: Vec<PreferredSchedulingTerm>,
    pub tolerations: Vec<Toleration>,
    pub host_ports: Vec<HostPort>,
    /// Fields of the spec that ask for something which this scheduler doesn't weigh yet; told in an event.
    pub ignored: Vec<&'static str>,
}

impl Class {
    pub fn of(spec: &PodSpec) -> Self {
        let affinity = spec.affinity.clone().unwrap_or_default();
        let node_affinity = affinity.node_affinity.clone().unwrap_or_default();
        Self {
            requested: resources::requested(spec),
            expected: resources::expected(spec),
            node_selector: spec.node_selector.clone(),
            required_terms: node_affinity
                .required_during_scheduling_ignored_during_execution
                .map(|selector| selector.node_selector_terms),
            preferred_terms: node_affinity.preferred_during_scheduling_ignored_during_execution,
            tolerations: spec.tolerations.clone(),
            host_ports: host_ports(spec),
            ignored: ignored(spec, &affinity),
        }
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().filter(|container| container.restart_policy.as_deref() == Some("Always")));
    let mut ports: Vec<HostPort> = containers
        .flat_map(|container| &container.ports)
        .filter(|port| port.host_port > 0)
        .map(|port| HostPort { ip: port.host_ip.clone(), protocol: port.protocol.clone(), port: port.host_port })
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

fn ignored(spec: &PodSpec, affinity: &Affinity) -> Vec<&'static str> {
    let mut fields = Vec::new();
    if affinity.pod_affinity.is_some() {
        fields.push("spec.affinity.podAffinity");
    }
    if affinity.pod_anti_affinity.is_some() {
        fields.push("spec.affinity.podAntiAffinity");
    }
    if !spec.topology_spread_constraints.is_empty() {
        fields.push("spec.topologySpreadConstraints");
    }
    fields
}

/// The classes in use. A class lives as long as a Pod of it is known.
#[derive(Debug, Default)]
pub struct Classes {
    by_question: HashMap<Vec<u8>, Weak<Class>>,
    /// Dead entries are swept when the table has doubled since the last sweep.
    sweep_at: usize,
}

impl Classes {
    pub fn intern(&mut self, spec: &PodSpec) -> Arc<Class> {
        let question = question(spec).encode_to_vec();
        if let Some(class) = self.by_question.get(&question).and_then(Weak::upgrade) {
            return class;
        }
        if self.by_question.len() >= self.sweep_at.max(64) {
            self.by_question.retain(|_, class| class.strong_count() > 0);
            self.sweep_at = self.by_question.len() * 2;
        }
        let class = Arc::new(Class::of(spec));
        self.by_question.insert(question, Arc::downgrade(&class));
        class
    }
}

/// The part of a spec that [`Class::of`] reads: two specs with equal questions have equal classes.
fn question(spec: &PodSpec) -> PodSpec {
    let pared = |containers: &[api::proto::core_v1::Container]| {
        containers
            .iter()
            .map(|container| api::proto::core_v1::Container {
                resources: container.resources.clone(),
                ports: container.ports.iter().filter(|port| port.host_port > 0).cloned().collect(),
                restart_policy: container.restart_policy.clone(),
                ..Default::default()
            })
            .collect()
    };
    PodSpec {
        containers: pared(&spec.containers),
        init_containers: pared(&spec.init_containers),
        resources: spec.resources.clone(),
        overhead: spec.overhead.clone(),
        node_selector: spec.node_selector.clone(),
        affinity: spec.affinity.as_ref().map(|affinity| Affinity {
            node_affinity: affinity.node_affinity.clone(),
            pod_affinity: affinity.pod_affinity.as_ref().map(|_| Default::default()),
            pod_anti_affinity: affinity.pod_anti_affinity.as_ref().map(|_| Default::default()),
        }),
        tolerations: spec.tolerations.clone(),
        topology_spread_constraints: spec.topology_spread_constraints.first().cloned().into_iter().collect(),
        ..Default::default()
    }
}
