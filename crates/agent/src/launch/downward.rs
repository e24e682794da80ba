//! What a container may learn of its own Pod: `fieldRef` and `resourceFieldRef`.

use proto::core_v1::{Container, Pod, ResourceFieldSelector};

/// The Pod and where it runs.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub pod: &'a Pod,
    pub node_ip: &'a str,
    /// What the node can give: the limit of a container that sets none.
    pub cpu_millis: i64,
    pub memory_bytes: i64,
}

impl Facts<'_> {
    pub fn namespace(&self) -> &str {
        self.pod.metadata.as_ref().map_or("", |metadata| &metadata.namespace)
    }
}

/// The value of a `fieldPath`. Errors are the message of `CreateContainerConfigError`.
pub fn field(path: &str, facts: &Facts) -> Result<String, String> {
    let metadata = facts.pod.metadata.as_ref();
    let spec = facts.pod.spec.as_ref();
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => metadata.map(|metadata| &metadata.labels),
            "metadata.annotations" => metadata.map(|metadata| &metadata.annotations),
            _ => return Err(format!("fieldPath {path:?} does not support subscript")),
        };
        return Ok(map.and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let of_metadata = |pick: fn(&proto::meta_v1::ObjectMeta) -> &String| metadata.map(pick).cloned();
    let of_spec = |pick: fn(&proto::core_v1::PodSpec) -> &String| spec.map(pick).cloned();
    let value = match path {
        "metadata.name" => of_metadata(|metadata| &metadata.name),
        "metadata.namespace" => of_metadata(|metadata| &metadata.namespace),
        "metadata.uid" => of_metadata(|metadata| &metadata.uid),
        "spec.nodeName" => of_spec(|spec| &spec.node_name),
        "spec.serviceAccountName" => of_spec(|spec| &spec.service_account_name),
        "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs" => Some(facts.node_ip.to_owned()),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    };
    Ok(value.unwrap_or_default())
}

/// `metadata.labels['a']` in its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

/// The value of a `resourceFieldRef`, divided and rounded up.
pub fn resource(selector: &ResourceFieldSelector, own: &Container, facts: &Facts) -> Result<String, String> {
    let container = match selector.container_name.as_str() {
        "" => own,
        name => all_containers(facts.pod)
            .find(|container| container.name == name)
            .ok_or_else(|| format!("container {name} not found"))?,
    };
    let divisor = match selector.divisor.as_ref().map_or("", |divisor| divisor.string.as_str()) {
        "" | "0" => "1",
        text => text,
    };
    let unknown = || format!("unsupported container resource : {}", selector.resource);
    let (list, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let resources = container.resources.as_ref();
    let set = match list {
        "limits" => resources.and_then(|resources| resources.limits.get(name)),
        "requests" => resources.and_then(|resources| resources.requests.get(name)),
        _ => return Err(unknown()),
    };
    // CPU is counted in thousandths, everything else in whole units.
    let unit_nanos = if name == "cpu" { 1_000_000 } else { 1_000_000_000 };
    let units = |text: &str| match proto::quantity::parse(text) {
        Ok((nanos, _)) => Ok(round_up(nanos, unit_nanos)),
        Err(_) => Err(format!("{text:?} is no quantity")),
    };
    let value = match (set, list, name) {
        (Some(quantity), _, _) => units(&quantity.string)?,
        (None, "limits", "cpu") => i128::from(facts.cpu_millis),
        (None, "limits", "memory") => i128::from(facts.memory_bytes),
        (None, _, _) => 0,
    };
    Ok(round_up(value, units(divisor)?.max(1)).to_string())
}

fn round_up(value: i128, divisor: i128) -> i128 {
    value.div_euclid(divisor) + i128::from(value.rem_euclid(divisor) > 0)
}

fn all_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().chain(&spec.containers))
}
