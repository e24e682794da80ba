//! What an agent may do: see and report what is its node's (node authorizer and node restriction in one).

use api::kind::KindInfo;
use proto::core_v1::{Pod, Volume};

use super::authorizer::Request;
use crate::cache::Caches;
use crate::object::Object;

/// The namespace of the nodes' Leases.
const LEASES: &str = "kube-node-lease";

/// The agent of `node`.
pub(super) fn may(caches: &Caches, node: &str, request: &Request<'_>) -> bool {
    let own_pod = || request.object.and_then(pod).is_some_and(|pod| node_of(pod) == node);
    match (request.group, request.resource, request.subresource) {
        ("", "pods", "") => matches!(request.verb, "get" | "delete") && own_pod(),
        ("", "pods", "status") => request.verb == "update" && own_pod(),
        ("", "nodes", "") => match request.verb {
            // Deleting a node is for people: a compromised agent must not be able to make room for another.
            "get" | "update" | "create" => request.name == node,
            _ => false,
        },
        ("", "nodes", "status") => request.verb == "update" && request.name == node,
        ("coordination.k8s.io", "leases", "") => request.namespace == LEASES && request.name == node,
        ("" | "events.k8s.io", "events", "") => matches!(request.verb, "create" | "update"),
        ("", "configmaps" | "secrets", "") if request.verb == "get" => {
            referenced(caches, node, request.resource, request.namespace, request.name)
        }
        ("", "services" | "namespaces", "") => request.verb == "get",
        _ => false,
    }
}

/// Lists and watches of a node's agent; `exact` is the value that the field selector fixes a field to.
pub(super) fn may_list<'a>(
    node: &str,
    info: &KindInfo,
    namespace: &str,
    exact: impl Fn(&'static str) -> Option<&'a str>,
) -> bool {
    match (info.group, info.resource) {
        ("", "pods") => exact("spec.nodeName") == Some(node),
        ("", "nodes") => exact("metadata.name") == Some(node),
        ("coordination.k8s.io", "leases") => namespace == LEASES && exact("metadata.name") == Some(node),
        ("", "services") => true,
        _ => false,
    }
}

/// The agent of all simulated nodes: what any node may do, for every node.
pub(super) fn simulated_may(request: &Request<'_>) -> bool {
    let bound = || request.object.and_then(pod).is_some_and(|pod| !node_of(pod).is_empty());
    match (request.group, request.resource, request.subresource) {
        ("", "pods", "") => matches!(request.verb, "get" | "delete") && bound(),
        ("", "pods", "status") => request.verb == "update" && bound(),
        ("", "nodes", "" | "status") => matches!(request.verb, "get" | "update" | "create"),
        ("coordination.k8s.io", "leases", "") => request.namespace == LEASES,
        ("" | "events.k8s.io", "events", "") => matches!(request.verb, "create" | "update"),
        ("", "configmaps" | "services" | "namespaces", "") => request.verb == "get",
        _ => false,
    }
}

/// Lists and watches of the agent of all simulated nodes.
pub(super) fn simulated_may_list(info: &KindInfo) -> bool {
    matches!((info.group, info.resource), ("", "pods" | "nodes" | "services") | ("coordination.k8s.io", "leases"))
}

/// Whether an agent has anything to do with this kind at all.
pub(super) fn touches(verb: &str, group: &str, resource: &str) -> bool {
    match (group, resource) {
        ("", "pods") => matches!(verb, "get" | "list" | "watch" | "delete" | "update"),
        ("", "nodes") | ("coordination.k8s.io", "leases") => verb != "deletecollection",
        ("" | "events.k8s.io", "events") => matches!(verb, "create" | "update"),
        ("", "services" | "configmaps" | "secrets" | "namespaces") => verb == "get",
        _ => false,
    }
}

fn pod(object: &dyn Object) -> Option<&Pod> {
    object.downcast_ref()
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().map_or("", |spec| &spec.node_name)
}

/// Whether a Pod of this node in that namespace needs the ConfigMap or Secret.
fn referenced(caches: &Caches, node: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let pods = caches.kind(crate::registry::pods());
    pods.any(namespace, |object| {
        object.field("spec.nodeName") == node
            && object.decode().downcast_ref::<Pod>().is_some_and(|pod| names(pod, resource, name))
    })
}

fn names(pod: &Pod, resource: &str, name: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let is = |reference: Option<&str>| reference == Some(name);
    let secret = resource == "secrets";
    let containers = spec.containers.iter().chain(&spec.init_containers);
    let in_containers = containers.into_iter().any(|container| {
        let from_env = container.env.iter().filter_map(|env| env.value_from.as_ref()).any(|source| {
            let secret_key = source.secret_key_ref.as_ref().and_then(|key| key.local_object_reference.as_ref());
            let map_key = source.config_map_key_ref.as_ref().and_then(|key| key.local_object_reference.as_ref());
            is((if secret { secret_key } else { map_key }).map(|reference| reference.name.as_str()))
        });
        let env_from = container.env_from.iter().any(|source| {
            let secret_ref = source.secret_ref.as_ref().and_then(|source| source.local_object_reference.as_ref());
            let map_ref = source.config_map_ref.as_ref().and_then(|source| source.local_object_reference.as_ref());
            is((if secret { secret_ref } else { map_ref }).map(|reference| reference.name.as_str()))
        });
        from_env || env_from
    });
    let pulls = secret && spec.image_pull_secrets.iter().any(|reference| reference.name == name);
    in_containers || pulls || spec.volumes.iter().any(|volume| mounts(volume, secret, name))
}

fn mounts(volume: &Volume, secret: bool, name: &str) -> bool {
    let Some(source) = &volume.volume_source else { return false };
    let direct = if secret {
        source.secret.as_ref().map(|secret| secret.secret_name.as_str())
    } else {
        let reference = source.config_map.as_ref().and_then(|map| map.local_object_reference.as_ref());
        reference.map(|reference| reference.name.as_str())
    };
    direct == Some(name)
}
