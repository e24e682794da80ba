//! Services: NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE.

use api::time::Instant;
use proto::core_v1::{Service, ServicePort, ServiceSpec};
use serde_json::{Value, json};

use super::{AGE, Column, NAME, column, format, wide};

pub const COLUMNS: &[Column] = &[
    NAME,
    column("Type", "string", "How the Service is reached."),
    column("Cluster-IP", "string", "Its address inside the cluster."),
    column("External-IP", "string", "Its addresses outside the cluster."),
    column("Port(s)", "string", "Its ports."),
    AGE,
    wide("Selector", "The labels of the Pods behind it."),
];

pub fn cells(service: &Service, now: Instant) -> Vec<Value> {
    let spec = service.spec.clone().unwrap_or_default();
    let ports: Vec<String> = spec.ports.iter().map(port).collect();
    let address = spec.cluster_ips.first().unwrap_or(&spec.cluster_ip);
    vec![
        format::name(&service.metadata),
        json!(spec.r#type),
        json!(format::or_none(address)),
        json!(external(&spec)),
        json!(format::or_none(&ports.join(","))),
        format::age(&service.metadata, now),
        json!(format::labels(&spec.selector)),
    ]
}

fn external(spec: &ServiceSpec) -> String {
    let named = spec.r#type == "ExternalName";
    match (spec.external_ips.is_empty(), spec.r#type.as_str()) {
        (false, _) => spec.external_ips.join(","),
        (true, "LoadBalancer") => "<pending>".to_string(),
        (true, _) if named => format::or_none(&spec.external_name).to_string(),
        (true, _) => format::NONE.to_string(),
    }
}

fn port(port: &ServicePort) -> String {
    match port.node_port {
        0 => format!("{}/{}", port.port, port.protocol),
        node => format!("{}:{node}/{}", port.port, port.protocol),
    }
}
