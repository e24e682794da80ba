//! Nodes: NAME STATUS ROLES AGE VERSION.

use api::time::Instant;
use proto::core_v1::{Node, NodeStatus};
use serde_json::{Value, json};

use super::{AGE, Column, NAME, column, format, wide};

pub const COLUMNS: &[Column] = &[
    NAME,
    column("Status", "string", "Whether the node is ready for Pods."),
    column("Roles", "string", "The node's roles, from its labels."),
    AGE,
    column("Version", "string", "The version of the node's agent."),
    wide("Internal-IP", "The node's address inside the cluster."),
    wide("External-IP", "The node's address outside the cluster."),
    wide("OS-Image", "The operating system."),
    wide("Kernel-Version", "The kernel."),
    wide("Container-Runtime", "What runs the containers."),
];

const ROLE: &str = "node-role.kubernetes.io/";
const UNKNOWN: &str = "<unknown>";

pub fn cells(node: &Node, now: Instant) -> Vec<Value> {
    let status = node.status.clone().unwrap_or_default();
    let info = status.node_info.clone().unwrap_or_default();
    let known = |text: &str| if text.is_empty() { json!(UNKNOWN) } else { json!(text) };
    vec![
        format::name(&node.metadata),
        json!(readiness(node, &status)),
        json!(roles(node)),
        format::age(&node.metadata, now),
        json!(info.kubelet_version),
        json!(address(&status, "InternalIP")),
        json!(address(&status, "ExternalIP")),
        known(&info.os_image),
        known(&info.kernel_version),
        known(&info.container_runtime_version),
    ]
}

fn readiness(node: &Node, status: &NodeStatus) -> String {
    let ready = status.conditions.iter().find(|c| c.r#type == "Ready");
    let word = match ready.map(|condition| condition.status.as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    match node.spec.as_ref().is_some_and(|spec| spec.unschedulable) {
        true => format!("{word},SchedulingDisabled"),
        false => word.to_string(),
    }
}

fn roles(node: &Node) -> String {
    let labels = node.metadata.as_ref().map(|metadata| metadata.labels.clone()).unwrap_or_default();
    let mut roles: Vec<&str> = labels
        .iter()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE) {
            Some(role) if !role.is_empty() => Some(role),
            _ if key == "kubernetes.io/role" && !value.is_empty() => Some(value.as_str()),
            _ => None,
        })
        .collect();
    roles.sort();
    roles.dedup();
    format::or_none(&roles.join(",")).to_string()
}

fn address(status: &NodeStatus, kind: &str) -> String {
    let found = status.addresses.iter().find(|address| address.r#type == kind);
    found.map_or_else(|| format::NONE.to_string(), |address| address.address.clone())
}
