//! What a Pod's resources say of it as a whole.

use std::collections::BTreeMap;

use proto::core_v1::{Container, Pod, PodSpec, ResourceRequirements};
use proto::resource;

use crate::quantity::Quantity;

/// A Pod's quality of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QosClass {
    /// Every container has CPU and memory limits, and requests just as much.
    Guaranteed,
    /// Some container requests or limits something.
    Burstable,
    /// None does.
    BestEffort,
}

impl std::fmt::Display for QosClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What a Pod's containers request together, by resource: those that run along with each other, or more where an init
/// container alone, beside the sidecars before it, requests more (KEP-753).
pub fn requests_of_containers(spec: &PodSpec) -> BTreeMap<String, Quantity> {
    let mut together = BTreeMap::new();
    for container in &spec.containers {
        add(&mut together, container);
    }
    let mut sidecars = BTreeMap::new();
    let mut peak: BTreeMap<String, Quantity> = BTreeMap::new();
    for container in &spec.init_containers {
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut together, container);
            add(&mut sidecars, container);
            continue;
        }
        for (name, amount) in requests(container) {
            let amount = sidecars.get(name).map_or(amount, |beside: &Quantity| beside.plus(amount));
            raise(&mut peak, name, amount);
        }
    }
    for (name, amount) in peak {
        raise(&mut together, &name, amount);
    }
    together
}

fn raise(sums: &mut BTreeMap<String, Quantity>, name: &str, amount: Quantity) {
    match sums.get_mut(name) {
        Some(sum) if amount.minus(*sum).signum() > 0 => *sum = amount,
        Some(_) => {}
        None => drop(sums.insert(name.to_string(), amount)),
    }
}

/// What can't be read was refused when it was decoded.
fn requests(container: &Container) -> impl Iterator<Item = (&String, Quantity)> {
    let requests = container.resources.iter().flat_map(|resources| &resources.requests);
    requests.filter_map(|(name, amount)| Some((name, Quantity::parse(&amount.string).ok()?)))
}

fn add(sums: &mut BTreeMap<String, Quantity>, container: &Container) {
    for (name, amount) in requests(container) {
        sums.entry(name.clone()).and_modify(|sum| *sum = sum.plus(amount)).or_insert(amount);
    }
}

/// The class that Kubernetes gives this Pod (`status.qosClass`): by its own resources where it states some, else by its
/// containers'. Only CPU and memory count, and only amounts above zero.
pub fn qos_class(pod: &Pod) -> QosClass {
    let Some(spec) = &pod.spec else { return QosClass::BestEffort };
    if let Some(whole) = spec.resources.as_ref().filter(|whole| !whole.limits.is_empty() || !whole.requests.is_empty())
    {
        return class_of([Some(whole)].into_iter());
    }
    let containers = spec.init_containers.iter().chain(&spec.containers);
    class_of(containers.map(|container: &Container| container.resources.as_ref()))
}

fn class_of<'a>(all: impl Iterator<Item = Option<&'a ResourceRequirements>>) -> QosClass {
    let (mut stated, mut guaranteed) = (false, true);
    for requirements in all {
        let (limits, requests) =
            requirements.map_or_else(Default::default, |r| (amounts(&r.limits), amounts(&r.requests)));
        stated |= !limits.is_empty() || !requests.is_empty();
        guaranteed &= limits.len() == 2 && (requests.is_empty() || requests == limits);
    }
    match (stated, guaranteed) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

/// CPU and memory, where they are above zero.
fn amounts(list: &BTreeMap<String, resource::Quantity>) -> BTreeMap<&str, Quantity> {
    let counted = list.iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"));
    let read = counted.map(|(name, quantity)| (name.as_str(), Quantity::try_from(quantity).unwrap_or(Quantity::ZERO)));
    read.filter(|(_, quantity)| quantity.signum() > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_follows_cpu_and_memory() {
        for (resources, expected) in [
            (r#"{}"#, "BestEffort"),
            (r#"{"requests":{"cpu":"0"}}"#, "BestEffort"),
            (r#"{"requests":{"cpu":"1"}}"#, "Burstable"),
            (r#"{"limits":{"cpu":"1","memory":"1Gi"}}"#, "Guaranteed"),
            (r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"1000m","memory":"1Gi"}}"#, "Guaranteed"),
            (r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m","memory":"1Gi"}}"#, "Burstable"),
        ] {
            let json = format!(r#"{{"spec":{{"containers":[{{"name":"a","resources":{resources}}}]}}}}"#);
            let pod = proto::json::decode::<Pod>(json.as_bytes()).expect("valid JSON").value;
            assert_eq!(qos_class(&pod).to_string(), expected, "{resources}");
        }
    }
}
