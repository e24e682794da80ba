//! Amounts of a node's resources: what a node offers, what a Pod asks for, and the sums between them.
//!
//! CPU counts in millicores, everything else in whole units (bytes, devices). A Pod's request is the most that it
//! needs at any one time:
//!
//! ```text
//!   time ->   init1   init2 | containers run together
//!   cpu         3       1   |   1 + 1          => request = max(3, 1, 1 + 1) = 3
//!   with a sidecar (init container that restarts Always) of 1 started before init2:
//!               3     1 + 1 |   1 + 1 + 1      => request = max(3, 2, 3)     = 3
//! ```

use std::collections::BTreeMap;

use api::proto::core_v1::{Container, PodSpec};
use api::proto::resource::Quantity;

/// The resource names that have a field of their own.
pub const CPU: &str = "cpu";
pub const MEMORY: &str = "memory";
pub const EPHEMERAL_STORAGE: &str = "ephemeral-storage";
pub const PODS: &str = "pods";

/// What a container without a request is taken to use when nodes are compared (never when they are filtered):
/// Kubernetes' own figures, so that Pods without requests spread instead of piling up.
const UNSTATED_MILLI_CPU: i64 = 100;
const UNSTATED_MEMORY_BYTES: i64 = 200 * 1024 * 1024;

/// Amounts of CPU (millicores), memory and ephemeral storage (bytes), and of everything else by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Devices, huge pages: whole units under their full name.
    pub extended: BTreeMap<String, i64>,
}

impl Resources {
    /// Reads a resource list as it stands in a manifest. What cannot be read counts as 0: validation has refused it.
    pub fn from_list(list: &BTreeMap<String, Quantity>) -> Self {
        let mut resources = Self::default();
        for (name, quantity) in list {
            match name.as_str() {
                CPU => resources.milli_cpu = milli_value(quantity),
                MEMORY => resources.memory = value(quantity),
                EPHEMERAL_STORAGE => resources.ephemeral_storage = value(quantity),
                PODS => {}
                _ => {
                    resources.extended.insert(name.clone(), value(quantity));
                }
            }
        }
        resources
    }

    pub fn add(&mut self, other: &Self) {
        self.milli_cpu = self.milli_cpu.saturating_add(other.milli_cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.saturating_add(other.ephemeral_storage);
        for (name, amount) in &other.extended {
            let sum = self.extended.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    pub fn subtract(&mut self, other: &Self) {
        self.milli_cpu -= other.milli_cpu;
        self.memory -= other.memory;
        self.ephemeral_storage -= other.ephemeral_storage;
        for (name, amount) in &other.extended {
            *self.extended.entry(name.clone()).or_default() -= amount;
        }
    }

    /// The larger of both, resource by resource.
    pub fn raise_to(&mut self, other: &Self) {
        self.milli_cpu = self.milli_cpu.max(other.milli_cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(other.ephemeral_storage);
        for (name, amount) in &other.extended {
            let most = self.extended.entry(name.clone()).or_default();
            *most = (*most).max(*amount);
        }
    }

    /// The names of the resources of which `self` (a request) wants more than `free` has; a resource that is not
    /// asked for is never short, however overcommitted the node is.
    pub fn short_of<'a>(&'a self, free: &Self) -> Vec<&'a str> {
        let mut short = Vec::new();
        if self.milli_cpu > 0 && self.milli_cpu > free.milli_cpu {
            short.push(CPU);
        }
        if self.memory > 0 && self.memory > free.memory {
            short.push(MEMORY);
        }
        if self.ephemeral_storage > 0 && self.ephemeral_storage > free.ephemeral_storage {
            short.push(EPHEMERAL_STORAGE);
        }
        for (name, amount) in &self.extended {
            if *amount > 0 && *amount > free.extended.get(name).copied().unwrap_or_default() {
                short.push(name);
            }
        }
        short
    }
}

/// What a Pod asks of its node: the picture above, plus the Pod's own overhead. A request that the Pod states for
/// itself as a whole (`spec.resources`) stands in place of its containers' sum.
pub fn requested(spec: &PodSpec) -> Resources {
    peak(spec, requests_of)
}

/// As [`requested`], with an assumed use for containers that state none: for comparing nodes only.
pub fn expected(spec: &PodSpec) -> Resources {
    peak(spec, |container| {
        let mut resources = requests_of(container);
        let stated = container.resources.as_ref().map(|resources| &resources.requests);
        if !stated.is_some_and(|requests| requests.contains_key(CPU)) {
            resources.milli_cpu = UNSTATED_MILLI_CPU;
        }
        if !stated.is_some_and(|requests| requests.contains_key(MEMORY)) {
            resources.memory = UNSTATED_MEMORY_BYTES;
        }
        resources
    })
}

fn peak(spec: &PodSpec, requests: impl Fn(&Container) -> Resources) -> Resources {
    let mut sidecars = Resources::default();
    let mut most = Resources::default();
    for container in &spec.init_containers {
        let mut together = sidecars.clone();
        together.add(&requests(container));
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = together.clone();
        }
        most.raise_to(&together);
    }
    let mut together = sidecars;
    for container in &spec.containers {
        together.add(&requests(container));
    }
    most.raise_to(&together);
    if let Some(whole) = &spec.resources {
        let stated = Resources::from_list(&whole.requests);
        if whole.requests.contains_key(CPU) {
            most.milli_cpu = stated.milli_cpu;
        }
        if whole.requests.contains_key(MEMORY) {
            most.memory = stated.memory;
        }
    }
    most.add(&Resources::from_list(&spec.overhead));
    most
}

fn requests_of(container: &Container) -> Resources {
    container.resources.as_ref().map(|resources| Resources::from_list(&resources.requests)).unwrap_or_default()
}

fn value(quantity: &Quantity) -> i64 {
    api::quantity::value(quantity).unwrap_or_default()
}

fn milli_value(quantity: &Quantity) -> i64 {
    api::quantity::milli_value(quantity).unwrap_or_default()
}

/// How many Pods a node takes at most: its allocatable `pods`; a node that states none takes none, as in Kubernetes.
pub fn pod_limit(allocatable: &BTreeMap<String, Quantity>) -> i64 {
    allocatable.get(PODS).map(value).unwrap_or_default()
}
