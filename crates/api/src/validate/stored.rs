//! Kinds with few rules: ConfigMap, Secret, ServiceAccount, PodTemplate, Event, Lease, Namespace, Node.

use proto::coordination_v1::Lease;
use proto::core_v1::{ConfigMap, Event, Namespace, Node, PodTemplate, Secret, ServiceAccount};

use super::meta::{Name, object_meta, object_meta_update, standard_finalizer};
use super::pod_spec::{self, Owner};
use super::{complain, immutable, non_negative};
use crate::field::{Error, Errors, Path};
use crate::meta::Object;
use crate::names;

/// The most bytes that a ConfigMap's or Secret's values may have together.
const MAX_DATA: usize = 1024 * 1024;

fn metadata<K: Object>(object: &K, namespaced: bool, name: Name) -> Errors {
    let mut errors = Vec::new();
    object_meta(object.meta(), namespaced, name, &mut errors);
    errors
}

fn metadata_update<K: Object>(new: &K, old: &K) -> Errors {
    let mut errors = Vec::new();
    object_meta_update(new.meta(), old.meta(), &mut errors);
    errors
}

fn keys<'a>(keys: impl Iterator<Item = &'a String>, at: &Path<'_>, errors: &mut Errors) {
    for key in keys {
        complain(names::config_key(key), key, &at.key(key), errors);
    }
}

fn config_map(map: &ConfigMap, errors: &mut Errors) {
    keys(map.data.keys(), &Path::new("data"), errors);
    keys(map.binary_data.keys(), &Path::new("binaryData"), errors);
    for key in map.data.keys().filter(|key| map.binary_data.contains_key(*key)) {
        let detail = "duplicate of key present in binaryData";
        errors.push(Error::invalid(&Path::new("data").key(key), key.as_str(), detail));
    }
    let size =
        map.data.values().map(String::len).sum::<usize>() + map.binary_data.values().map(|v| v.len()).sum::<usize>();
    if size > MAX_DATA {
        errors.push(Error::too_long(&Path::new(""), MAX_DATA));
    }
}

/// A new ConfigMap.
pub fn config_map_create(map: &ConfigMap) -> Errors {
    let mut errors = metadata(map, true, Name::Subdomain);
    config_map(map, &mut errors);
    errors
}

const FROZEN: &str = "field is immutable when `immutable` is set";

/// A ConfigMap's new version.
pub fn config_map_update(new: &ConfigMap, old: &ConfigMap) -> Errors {
    let mut errors = metadata_update(new, old);
    if old.immutable == Some(true) {
        let changed = [
            ("immutable", new.immutable != Some(true)),
            ("data", new.data != old.data),
            ("binaryData", new.binary_data != old.binary_data),
        ];
        let changed = changed.into_iter().filter(|(_, changed)| *changed);
        errors.extend(changed.map(|(name, _)| Error::forbidden(&Path::new(name), FROZEN)));
    }
    // Kubernetes looks at the whole object once more.
    errors.extend(metadata(new, true, Name::Subdomain));
    config_map(new, &mut errors);
    errors
}

fn secret(secret: &Secret, errors: &mut Errors) {
    keys(secret.data.keys(), &Path::new("data"), errors);
    let at = Path::new("data");
    if secret.data.values().map(|value| value.len()).sum::<usize>() > MAX_DATA {
        errors.push(Error::too_long(&at, MAX_DATA));
    }
    let mut required = |keys: &[&str]| {
        let missing = keys.iter().filter(|key| !secret.data.contains_key(**key));
        errors.extend(missing.map(|key| Error::required(&at.key(key), "")));
    };
    match secret.r#type.as_str() {
        "kubernetes.io/service-account-token" => {
            let (owner, annotations) = ("kubernetes.io/service-account.name", Path::new("metadata.annotations"));
            if secret.annotation(owner).is_none_or(str::is_empty) {
                errors.push(Error::required(&annotations.key(owner), ""));
            }
        }
        "kubernetes.io/dockercfg" => {
            required(&[".dockercfg"]);
            json_object(secret, ".dockercfg", errors);
        }
        "kubernetes.io/dockerconfigjson" => {
            required(&[".dockerconfigjson"]);
            json_object(secret, ".dockerconfigjson", errors);
        }
        "kubernetes.io/basic-auth" if !["username", "password"].iter().any(|key| secret.data.contains_key(*key)) => {
            required(&["username", "password"]);
        }
        "kubernetes.io/ssh-auth" => required(&["ssh-privatekey"]),
        "kubernetes.io/tls" => required(&["tls.crt", "tls.key"]),
        _ => {}
    }
}

/// The value of a key, where it is there, must be a JSON object; the answer does not show it.
fn json_object(secret: &Secret, key: &str, errors: &mut Errors) {
    let Some(value) = secret.data.get(key) else { return };
    if let Err(problem) = serde_json::from_slice::<std::collections::BTreeMap<String, serde::de::IgnoredAny>>(value) {
        let detail = problem.to_string();
        errors.push(Error::invalid(&Path::new("data").key(key), "<secret contents redacted>", &detail));
    }
}

/// A new Secret.
pub fn secret_create(new: &Secret) -> Errors {
    let mut errors = metadata(new, true, Name::Subdomain);
    secret(new, &mut errors);
    errors
}

/// A Secret's new version.
pub fn secret_update(new: &Secret, old: &Secret) -> Errors {
    let mut errors = metadata_update(new, old);
    immutable(&new.r#type, &old.r#type, &Path::new("type"), String::clone, &mut errors);
    if old.immutable == Some(true) {
        if new.immutable != Some(true) {
            errors.push(Error::forbidden(&Path::new("immutable"), FROZEN));
        }
        if new.data != old.data {
            errors.push(Error::forbidden(&Path::new("data"), FROZEN));
        }
    }
    errors.extend(metadata(new, true, Name::Subdomain));
    secret(new, &mut errors);
    errors
}

/// A new ServiceAccount.
pub fn service_account_create(account: &ServiceAccount) -> Errors {
    metadata(account, true, Name::Subdomain)
}

/// A ServiceAccount's new version.
pub fn service_account_update(new: &ServiceAccount, old: &ServiceAccount) -> Errors {
    let mut errors = metadata_update(new, old);
    errors.extend(metadata(new, true, Name::Subdomain));
    errors
}

fn pod_template(template: &PodTemplate, errors: &mut Errors) {
    let inner = template.template.clone().unwrap_or_default();
    pod_spec::template(&inner, &Path::new("template"), Owner::Template, errors);
}

/// A new PodTemplate.
pub fn pod_template_create(template: &PodTemplate) -> Errors {
    let mut errors = metadata(template, true, Name::Subdomain);
    pod_template(template, &mut errors);
    errors
}

/// A PodTemplate's new version.
pub fn pod_template_update(new: &PodTemplate, old: &PodTemplate) -> Errors {
    let mut errors = metadata_update(new, old);
    pod_template(new, &mut errors);
    errors
}

/// A new Event.
pub fn event_create(event: &Event) -> Errors {
    let mut errors = metadata(event, true, Name::Subdomain);
    let (namespace, own) = (involved_namespace(event), event.namespace());
    let modern = event.event_time.as_ref().and_then(crate::time::from_micro_time).is_some();
    // An Event of an object without namespace lies in `default`; newer writers may use `kube-system` too.
    let fits = match (namespace.is_empty(), modern) {
        (true, false) => own == "default",
        (true, true) => own == "default" || own == "kube-system",
        (false, false) => own == namespace,
        (false, true) => true,
    };
    if !fits {
        let detail = "does not match event.namespace";
        errors.push(Error::invalid(&Path::new("involvedObject.namespace"), namespace, detail));
    }
    if modern {
        modern_event(event, &mut errors);
    }
    errors
}

fn involved_namespace(event: &Event) -> &str {
    event.involved_object.as_ref().map_or("", |object| object.namespace.as_str())
}

/// An Event with an `eventTime` says who reports what, within limits.
fn modern_event(event: &Event, errors: &mut Errors) {
    let reporter = Path::new("reportingComponent");
    if event.reporting_component.is_empty() {
        errors.push(Error::required(&reporter, ""));
    }
    complain(names::label_key(&event.reporting_component), &event.reporting_component, &reporter, errors);
    let texts = [
        (&event.reporting_instance, "reportingInstance", 128, true),
        (&event.action, "action", 128, true),
        (&event.reason, "reason", 128, true),
        (&event.message, "message", 1024, false),
    ];
    for (text, name, max, needed) in texts {
        let at = Path::new(name);
        if needed && text.is_empty() {
            errors.push(Error::required(&at, ""));
        }
        if text.len() > max {
            errors.push(Error::invalid(&at, "", &format!("can have at most {max} characters")));
        }
    }
}

/// An Event's new version.
pub fn event_update(new: &Event, old: &Event) -> Errors {
    metadata_update(new, old)
}

fn lease(lease: &Lease, errors: &mut Errors) {
    let Some(spec) = &lease.spec else { return };
    let at = Path::new("spec");
    if let Some(seconds) = spec.lease_duration_seconds.filter(|seconds| *seconds <= 0) {
        errors.push(Error::invalid(&at.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
    }
    non_negative(spec.lease_transitions.map(i64::from), &at.child("leaseTransitions"), errors);
}

/// A new Lease.
pub fn lease_create(new: &Lease) -> Errors {
    let mut errors = metadata(new, true, Name::Subdomain);
    lease(new, &mut errors);
    errors
}

/// A Lease's new version.
pub fn lease_update(new: &Lease, old: &Lease) -> Errors {
    let mut errors = metadata_update(new, old);
    lease(new, &mut errors);
    errors
}

/// A new Namespace.
pub fn namespace_create(namespace: &Namespace) -> Errors {
    let mut errors = metadata(namespace, false, Name::Label);
    let at = Path::new("spec.finalizers");
    for finalizer in namespace.spec.iter().flat_map(|spec| &spec.finalizers) {
        complain(names::label_key(finalizer), finalizer, &at, &mut errors);
        standard_finalizer(finalizer, &at, &mut errors);
    }
    errors
}

/// A Namespace's new version.
pub fn namespace_update(new: &Namespace, old: &Namespace) -> Errors {
    metadata_update(new, old)
}

/// A new Node.
pub fn node_create(node: &Node) -> Errors {
    let mut errors = metadata(node, false, Name::Subdomain);
    taints(node, &mut errors);
    errors
}

/// A Node's new version.
pub fn node_update(new: &Node, old: &Node) -> Errors {
    let mut errors = metadata_update(new, old);
    taints(new, &mut errors);
    errors
}

fn taints(node: &Node, errors: &mut Errors) {
    let taints = node.spec.as_ref().map_or(&[][..], |spec| &spec.taints);
    let at = Path::new("spec.taints");
    let mut seen = std::collections::BTreeSet::new();
    for (i, taint) in taints.iter().enumerate() {
        let at = at.index(i);
        complain(names::label_key(&taint.key), &taint.key, &at.child("key"), errors);
        complain(names::label_value(&taint.value), &taint.value, &at.child("value"), errors);
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        super::one_of(&taint.effect, &effects, &at.child("effect"), errors);
        if !seen.insert((taint.key.as_str(), taint.effect.as_str())) {
            let mut error = Error::duplicate(&at, taint.key.as_str());
            error.message.push_str(": taints must be unique by key and effect pair");
            errors.push(error);
        }
    }
}
