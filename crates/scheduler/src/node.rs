//! One node as the scheduler sees it: what it offers, and what the Pods placed on it take.

use std::collections::BTreeMap;

use api::proto::core_v1::{Node, Taint};

use crate::class::{Class, HostPort};
use crate::resources::{self, Resources};

/// What a Node object says. Absent for a node that Pods name but that isn't registered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub allocatable: Resources,
    pub pod_limit: i64,
}

impl Offer {
    pub fn of(node: &Node) -> Self {
        let spec = node.spec.clone().unwrap_or_default();
        let status = node.status.as_ref();
        // A node that reports no allocatable offers its capacity, as Kubernetes defaults it.
        let amounts = match status {
            Some(status) if !status.allocatable.is_empty() => status.allocatable.clone(),
            Some(status) => status.capacity.clone(),
            None => BTreeMap::new(),
        };
        Self {
            labels: node.metadata.as_ref().map(|metadata| metadata.labels.clone()).unwrap_or_default(),
            taints: spec.taints,
            unschedulable: spec.unschedulable,
            allocatable: Resources::from_list(&amounts),
            pod_limit: resources::pod_limit(&amounts),
        }
    }
}

/// What the Pods on a node take together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Load {
    pub requested: Resources,
    pub expected: Resources,
    pub pods: i64,
    /// In no order, one entry for each Pod that wants it.
    pub host_ports: Vec<HostPort>,
}

impl Load {
    pub fn take(&mut self, class: &Class) {
        self.requested.add(&class.requested);
        self.expected.add(&class.expected);
        self.pods += 1;
        self.host_ports.extend(class.host_ports.iter().cloned());
    }

    pub fn give_back(&mut self, class: &Class) {
        self.requested.subtract(&class.requested);
        self.expected.subtract(&class.expected);
        self.pods -= 1;
        for port in &class.host_ports {
            if let Some(index) = self.host_ports.iter().position(|taken| taken == port) {
                self.host_ports.swap_remove(index);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct NodeState {
    pub name: String,
    pub offer: Option<Offer>,
    pub load: Load,
    /// Grows with each Pod that comes or goes, so that an answer given before is known to be old.
    pub version: u64,
}

impl NodeState {
    /// What is left of the offer. Negative where Pods were placed past the scheduler.
    pub fn free(offer: &Offer, load: &Load) -> Resources {
        let mut free = offer.allocatable.clone();
        free.subtract(&load.requested);
        free
    }
}
