//! Discovery: which kinds are served, in the old form (one list per group version)
//! and the aggregated one (everything in two answers). Both are mandatory: kubectl
//! uses the old one for `auth can-i` and `drain` even where the other works.

use axum::response::Response;
use serde_json::{Value, json};

use super::answer;
use api::kind::KindInfo;

/// Verbs of every kind's collection and objects.
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// A subresource, or a resource that stores nothing (a review).
struct Extra {
    name: &'static str,
    namespaced: bool,
    /// Group, version and kind where they are not those of the list.
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    verbs: &'static [&'static str],
}

const fn extra(name: &'static str, namespaced: bool, kind: &'static str, verbs: &'static [&'static str]) -> Extra {
    Extra { name, namespaced, group: "", version: "", kind, verbs }
}

const fn foreign(name: &'static str, group: &'static str, kind: &'static str) -> Extra {
    Extra { name, namespaced: true, group, version: "v1", kind, verbs: &["create"] }
}

/// Subresources and reviews of a group, apart from `status`.
fn extras(group: &str) -> &'static [Extra] {
    const CORE: &[Extra] = &[
        extra("bindings", true, "Binding", &["create"]),
        extra("namespaces/finalize", false, "Namespace", &["update"]),
        extra("pods/binding", true, "Binding", &["create"]),
        foreign("pods/eviction", "policy", "Eviction"),
        extra("pods/log", true, "Pod", &["get"]),
        foreign("serviceaccounts/token", "authentication.k8s.io", "TokenRequest"),
    ];
    const AUTHENTICATION: &[Extra] = &[extra("selfsubjectreviews", false, "SelfSubjectReview", &["create"])];
    const AUTHORIZATION: &[Extra] = &[
        extra("selfsubjectaccessreviews", false, "SelfSubjectAccessReview", &["create"]),
        extra("selfsubjectrulesreviews", false, "SelfSubjectRulesReview", &["create"]),
    ];
    match group {
        "" => CORE,
        "authentication.k8s.io" => AUTHENTICATION,
        "authorization.k8s.io" => AUTHORIZATION,
        _ => &[],
    }
}

/// Groups with a version, the core group first; then those that only have reviews.
/// `policy` has no resources of its own: its Eviction is a subresource of Pods.
pub fn groups(kinds: &[&'static KindInfo]) -> Vec<(String, String)> {
    let mut groups: Vec<(String, String)> = Vec::new();
    let served = kinds.iter().map(|info| (info.group, info.version));
    let others = [("authentication.k8s.io", "v1"), ("authorization.k8s.io", "v1"), ("policy", "v1")];
    for (group, version) in served.chain(others) {
        if !groups.iter().any(|(known, _)| known == group) {
            groups.push((group.to_string(), version.to_string()));
        }
    }
    groups
}

pub fn known(kinds: &[&'static KindInfo], group: &str, version: &str) -> bool {
    groups(kinds).iter().any(|(g, v)| g == group && v == version)
}

/// `/api` in the old form.
pub fn core_versions() -> Response {
    answer::json(200, &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}))
}

fn group_value(group: &str, version: &str) -> Value {
    let preferred = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [preferred.clone()], "preferredVersion": preferred})
}

/// `/apis` in the old form.
pub fn group_list(kinds: &[&'static KindInfo]) -> Response {
    let groups = groups(kinds);
    let named = groups.iter().filter(|(group, _)| !group.is_empty());
    let values: Vec<Value> = named.map(|(group, version)| group_value(group, version)).collect();
    answer::json(200, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": values}))
}

/// `/apis/G`; `None` for a group that is not served.
pub fn group(kinds: &[&'static KindInfo], name: &str) -> Option<Response> {
    let (group, version) = groups(kinds).into_iter().find(|(group, _)| group == name)?;
    let mut value = group_value(&group, &version);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Some(answer::json(200, &value))
}

/// `/api/v1`, `/apis/G/V`.
pub fn resource_list(kinds: &[&'static KindInfo], group: &str, version: &str) -> Option<Response> {
    if !known(kinds, group, version) {
        return None;
    }
    let mut values: Vec<Value> = Vec::new();
    for info in kinds.iter().filter(|i| i.group == group && i.version == version) {
        let mut value = json!({
            "name": info.resource,
            "singularName": info.singular,
            "namespaced": info.namespaced,
            "kind": info.kind,
            "verbs": VERBS,
        });
        if !info.short_names.is_empty() {
            value["shortNames"] = json!(info.short_names);
        }
        if !info.categories.is_empty() {
            value["categories"] = json!(info.categories);
        }
        values.push(value);
        if info.status {
            values.push(json!({
                "name": format!("{}/status", info.resource),
                "singularName": "",
                "namespaced": info.namespaced,
                "kind": info.kind,
                "verbs": ["get", "patch", "update"],
            }));
        }
    }
    for extra in extras(group) {
        let mut value = json!({
            "name": extra.name,
            "singularName": extra.name.strip_suffix('s').filter(|n| !n.contains('/')).unwrap_or_default(),
            "namespaced": extra.namespaced,
            "kind": extra.kind,
            "verbs": extra.verbs,
        });
        if !extra.group.is_empty() {
            value["group"] = json!(extra.group);
            value["version"] = json!(extra.version);
        }
        values.push(value);
    }
    values.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let group_version = match group {
        "" => version.to_string(),
        _ => format!("{group}/{version}"),
    };
    let list = json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": values,
    });
    Some(answer::json(200, &list))
}

/// `/api` (`core`) or `/apis` in the aggregated form; `version` is that of apidiscovery.k8s.io.
pub fn aggregated(kinds: &[&'static KindInfo], core: bool, version: &'static str) -> Response {
    let groups = groups(kinds);
    let shown = groups.iter().filter(|(group, _)| group.is_empty() == core);
    let items: Vec<Value> = shown.map(|(group, of)| aggregated_group(kinds, group, of)).collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    });
    let content_type = match version {
        "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    };
    answer::bytes(200, content_type, list.to_string())
}

fn aggregated_group(kinds: &[&'static KindInfo], group: &str, version: &str) -> Value {
    let scope = |namespaced: bool| if namespaced { "Namespaced" } else { "Cluster" };
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let subresource = |name: &str, response: Value, verbs: &[&str]| json!({"subresource": name, "responseKind": response, "verbs": verbs});
    let mut values: Vec<Value> = Vec::new();
    for info in kinds.iter().filter(|i| i.group == group && i.version == version) {
        let own = kind(group, version, info.kind);
        let mut subresources = Vec::new();
        for extra in extras(group) {
            let Some((parent, name)) = extra.name.split_once('/') else { continue };
            if parent == info.resource {
                let (g, v) = if extra.group.is_empty() { (group, version) } else { (extra.group, extra.version) };
                subresources.push(subresource(name, kind(g, v, extra.kind), extra.verbs));
            }
        }
        if info.status {
            subresources.push(subresource("status", own.clone(), &["get", "patch", "update"]));
        }
        let mut value = json!({
            "resource": info.resource,
            "responseKind": own,
            "scope": scope(info.namespaced),
            "singularResource": info.singular,
            "verbs": VERBS,
        });
        for (name, list) in [("shortNames", info.short_names), ("categories", info.categories)] {
            if !list.is_empty() {
                value[name] = json!(list);
            }
        }
        if !subresources.is_empty() {
            value["subresources"] = json!(subresources);
        }
        values.push(value);
    }
    for extra in extras(group).iter().filter(|extra| !extra.name.contains('/')) {
        values.push(json!({
            "resource": extra.name,
            "responseKind": kind(group, version, extra.kind),
            "scope": scope(extra.namespaced),
            "singularResource": extra.name.strip_suffix('s').unwrap_or(extra.name),
            "verbs": extra.verbs,
        }));
    }
    values.sort_by(|a, b| a["resource"].as_str().cmp(&b["resource"].as_str()));
    json!({
        "metadata": {"name": group, "creationTimestamp": null},
        "versions": [{"version": version, "resources": values, "freshness": "Current"}],
    })
}
