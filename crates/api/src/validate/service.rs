//! Services. Nothing here routes to them: what is checked is that a manifest means what Kubernetes would take it for.

use std::collections::BTreeSet;

use proto::core_v1::{Service, ServicePort, ServiceSpec};

use super::identity::address;
use super::meta::{Name, labels, object_meta, object_meta_update};
use super::{complain, container, one_of, probe};
use crate::field::{Error, Errors, Json, Path, Typed, quote};
use crate::meta::Object;
use crate::names;

const AFFINITY_SECONDS_MAX: i32 = 86_400;
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

/// A new Service.
pub fn service_create(new: &Service) -> Errors {
    let mut errors = Vec::new();
    object_meta(new.meta(), true, Name::Label, &mut errors);
    service(new, &mut errors);
    errors
}

/// A Service's new version.
pub fn service_update(new: &Service, old: &Service) -> Errors {
    let mut errors = Vec::new();
    object_meta_update(new.meta(), old.meta(), &mut errors);
    service(new, &mut errors);
    errors
}

fn service(service: &Service, errors: &mut Errors) {
    let spec = service.spec.clone().unwrap_or_default();
    let root = Path::new("spec");
    let kind = spec.r#type.as_str();
    let headless = spec.cluster_ips.first().map_or(spec.cluster_ip.as_str(), String::as_str) == "None";
    if spec.ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(Error::required(&root.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(Error::invalid(&root.child("clusterIPs").index(0), "None", &detail));
        }
        "ExternalName" => external_name(&spec, &root, errors),
        _ => {}
    }
    ports(&spec.ports, &root.child("ports"), errors);
    labels(&spec.selector, &root.child("selector"), errors);
    affinity(&spec, &root, errors);
    if kind != "ExternalName" {
        addresses(&spec, &root, errors);
    }
    for (i, ip) in spec.external_ips.iter().enumerate() {
        address(ip, &root.child("externalIPs").index(i), errors);
    }
    one_of(kind, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], &root.child("type"), errors);
    repeated_ports(&spec, &root.child("ports"), errors);
    load_balancer(&spec, &root, errors);
    traffic(&spec, &root, errors);
}

fn external_name(spec: &ServiceSpec, root: &Path<'_>, errors: &mut Errors) {
    let given = [
        (!spec.cluster_ips.is_empty(), "clusterIPs"),
        (!spec.ip_families.is_empty(), "ipFamilies"),
        (spec.ip_family_policy.is_some(), "ipFamilyPolicy"),
    ];
    for (_, name) in given.into_iter().filter(|(given, _)| *given) {
        errors.push(Error::forbidden(&root.child(name), "may not be set for ExternalName services"));
    }
    match spec.external_name.strip_suffix('.').unwrap_or(&spec.external_name) {
        "" => errors.push(Error::required(&root.child("externalName"), "")),
        name => complain(names::dns_subdomain(name), name, &root.child("externalName"), errors),
    }
}

fn ports(ports: &[ServicePort], at: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = at.index(i);
        let name = at.child("name");
        if !port.name.is_empty() {
            complain(names::dns_label(&port.name), &port.name, &name, errors);
            if !seen.insert(&port.name) {
                errors.push(Error::duplicate(&name, &port.name));
            }
        } else if ports.len() > 1 {
            errors.push(Error::required(&name, ""));
        }
        container::port_number(port.port, &at.child("port"), errors);
        one_of(&port.protocol, &["SCTP", "TCP", "UDP"], &at.child("protocol"), errors);
        probe::port(port.target_port.as_ref(), &at.child("targetPort"), errors);
        if let Some(protocol) = &port.app_protocol {
            complain(names::label_key(protocol), protocol, &at.child("appProtocol"), errors);
        }
    }
}

fn repeated_ports(spec: &ServiceSpec, at: &Path<'_>, errors: &mut Errors) {
    if spec.r#type == "ClusterIP" {
        for (i, _) in spec.ports.iter().enumerate().filter(|(_, port)| port.node_port != 0) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(Error::forbidden(&at.index(i).child("nodePort"), detail));
        }
    }
    let (mut nodes, mut own) = (BTreeSet::new(), BTreeSet::new());
    for (i, port) in spec.ports.iter().enumerate().filter(|(_, port)| port.node_port != 0) {
        if !nodes.insert((&port.protocol, port.node_port)) {
            errors.push(Error::duplicate(&at.index(i).child("nodePort"), port.node_port));
        }
    }
    for (i, port) in spec.ports.iter().enumerate() {
        if !own.insert((&port.protocol, port.port)) {
            // As Go shows a port of which only these two fields are set.
            let shown = format!(
                r#"{{"Name":"","Protocol":{},"AppProtocol":null,"Port":{},"TargetPort":0,"NodePort":0}}"#,
                quote(&port.protocol),
                port.port
            );
            errors.push(Error::duplicate(&at.index(i), Json(shown)));
        }
    }
}

fn affinity(spec: &ServiceSpec, root: &Path<'_>, errors: &mut Errors) {
    one_of(&spec.session_affinity, &["ClientIP", "None"], &root.child("sessionAffinity"), errors);
    let timeout =
        spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds.as_ref());
    if let Some(seconds) = timeout.filter(|seconds| !(1..=AFFINITY_SECONDS_MAX).contains(*seconds)) {
        let config = root.child("sessionAffinityConfig");
        let client = config.child("clientIP");
        let detail = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
        errors.push(Error::invalid(&client.child("timeoutSeconds"), *seconds, &detail));
    }
}

fn addresses(spec: &ServiceSpec, root: &Path<'_>, errors: &mut Errors) {
    let (at, families) = (root.child("clusterIPs"), root.child("ipFamilies"));
    match (spec.cluster_ip.as_str(), spec.cluster_ips.first()) {
        ("", Some(_)) => {
            errors.push(Error::invalid(&at, &spec.cluster_ips, "must be empty when `clusterIP` is not specified"));
        }
        (ip, Some(first)) if first != ip => {
            errors.push(Error::invalid(&at, &spec.cluster_ips, "first value must match `clusterIP`"));
        }
        _ => {}
    }
    let mut seen = BTreeSet::new();
    for (i, family) in spec.ip_families.iter().enumerate() {
        if !FAMILIES.contains(&family.as_str()) {
            errors.push(Error::not_supported(&families.index(i), Typed(family), &FAMILIES));
        }
        if !seen.insert(family) {
            errors.push(Error::duplicate(&families.index(i), Typed(family)));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    if let Some(policy) = spec.ip_family_policy.as_ref().filter(|policy| !policies.contains(&policy.as_str())) {
        errors.push(Error::not_supported(&root.child("ipFamilyPolicy"), Typed(policy), &policies));
    }
    for (i, ip) in spec.cluster_ips.iter().enumerate() {
        if i == 0 && ip == "None" {
            if spec.cluster_ips.len() > 1 {
                errors.push(Error::invalid(&at, &spec.cluster_ips, "'None' must be the first and only value"));
            }
        } else {
            address(ip, &at.index(i), errors);
        }
    }
    if spec.cluster_ips.len() > 2 {
        errors.push(Error::invalid(&at, &spec.cluster_ips, "may only hold up to 2 values"));
    }
}

/// A network: an address and how many of its bits are the network's, the others 0.
fn network(text: &str, at: &Path<'_>, errors: &mut Errors) {
    let parsed = text.split_once('/').and_then(|(ip, bits)| {
        let ip: std::net::IpAddr = ip.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some(ip)
    });
    if parsed.is_none() {
        let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        errors.push(Error::invalid(at, text, detail));
    }
}

fn load_balancer(spec: &ServiceSpec, root: &Path<'_>, errors: &mut Errors) {
    let balanced = spec.r#type == "LoadBalancer";
    let only = "may only be used when `type` is 'LoadBalancer'";
    let ranges = root.child("LoadBalancerSourceRanges");
    if !spec.load_balancer_source_ranges.is_empty() && !balanced {
        errors.push(Error::forbidden(&ranges, only));
    }
    for (i, range) in spec.load_balancer_source_ranges.iter().enumerate() {
        network(range.trim(), &ranges.index(i), errors);
    }
    if spec.allocate_load_balancer_node_ports.is_some() && !balanced {
        errors.push(Error::forbidden(&root.child("allocateLoadBalancerNodePorts"), only));
    }
    let at = root.child("loadBalancerClass");
    match &spec.load_balancer_class {
        Some(class) if balanced => complain(names::label_key(class), class, &at, errors),
        Some(_) => errors.push(Error::forbidden(&at, only)),
        None => {}
    }
}

fn traffic(spec: &ServiceSpec, root: &Path<'_>, errors: &mut Errors) {
    let kind = spec.r#type.as_str();
    let external =
        matches!(kind, "LoadBalancer" | "NodePort") || (kind == "ClusterIP" && !spec.external_ips.is_empty());
    let (at, policy) = (root.child("externalTrafficPolicy"), spec.external_traffic_policy.as_str());
    if external {
        one_of(policy, &["Cluster", "Local"], &at, errors);
    } else if !policy.is_empty() {
        errors.push(Error::invalid(&at, Typed(policy), "may only be set for externally-accessible services"));
    }
    let at = root.child("healthCheckNodePort");
    if kind != "LoadBalancer" || policy != "Local" {
        if spec.health_check_node_port != 0 {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(Error::invalid(&at, spec.health_check_node_port, detail));
        }
    } else if spec.health_check_node_port != 0 {
        container::port_number(spec.health_check_node_port, &at, errors);
    }
    if let Some(policy) = &spec.internal_traffic_policy {
        let supported = ["Cluster", "Local"];
        if !supported.contains(&policy.as_str()) {
            errors.push(Error::not_supported(&root.child("internalTrafficPolicy"), Typed(policy), &supported));
        }
    }
    let supported = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    if let Some(wish) = spec.traffic_distribution.as_ref().filter(|wish| !supported.contains(&wish.as_str())) {
        errors.push(Error::not_supported(&root.child("trafficDistribution"), wish, &supported));
    }
}
