//! What Kubernetes fills in where a manifest says nothing.
//!
//! Each function takes an object as it was sent and completes it; running it again changes nothing. Every kind has one,
//! also those with nothing to fill in, so that the API server's strategies are all alike.

mod image;
mod pod;
mod volume;

use proto::batch_v1::{CronJob, Job, JobSpec};
use proto::coordination_v1::Lease;
use proto::core_v1::{
    ConfigMap, Event, Namespace, Node, ObjectReference, Pod, PodTemplate, Secret, Service, ServiceAccount, ServicePort,
    ServiceSpec,
};
use proto::intstr::IntOrString;

pub use image::pull_policy;

/// Sets an empty text.
fn text(field: &mut String, value: &str) {
    if field.is_empty() {
        *field = value.to_string();
    }
}

/// A Job: parallelism, completions, backoffLimit and so on, and its template.
///
/// `restartPolicy` stays empty where it is left out: validation then asks for it, as Kubernetes does, while an `Always`
/// that was written out is accepted.
pub fn job(job: &mut Job) {
    let spec = job.spec.get_or_insert_default();
    if spec.completions.is_none() && spec.parallelism.is_none() {
        spec.completions = Some(1);
    }
    spec.parallelism.get_or_insert(1);
    let limit = if spec.backoff_limit_per_index.is_some() { i32::MAX } else { 6 };
    spec.backoff_limit.get_or_insert(limit);
    spec.completion_mode.get_or_insert_with(|| "NonIndexed".to_string());
    spec.suspend.get_or_insert(false);
    let replacement = if spec.pod_failure_policy.is_some() { "Failed" } else { "TerminatingOrFailed" };
    spec.pod_replacement_policy.get_or_insert_with(|| replacement.to_string());
    spec.manual_selector.get_or_insert(false);
    job_spec(spec);

    let template_labels =
        spec.template.as_ref().and_then(|template| template.metadata.as_ref()).map(|meta| &meta.labels);
    if let Some(labels) = template_labels.filter(|labels| !labels.is_empty()).cloned() {
        let meta = job.metadata.get_or_insert_default();
        if meta.labels.is_empty() {
            meta.labels = labels;
        }
    }
}

/// A CronJob: policies and limits. Its template's Job gets the rest when it is made.
pub fn cron_job(cron_job: &mut CronJob) {
    let spec = cron_job.spec.get_or_insert_default();
    text(&mut spec.concurrency_policy, "Allow");
    spec.suspend.get_or_insert(false);
    spec.successful_jobs_history_limit.get_or_insert(3);
    spec.failed_jobs_history_limit.get_or_insert(1);
    job_spec(spec.job_template.get_or_insert_default().spec.get_or_insert_default());
}

/// What the specs of Jobs and of CronJobs' templates have in common.
fn job_spec(spec: &mut JobSpec) {
    for rule in spec.pod_failure_policy.iter_mut().flat_map(|policy| &mut policy.rules) {
        for pattern in &mut rule.on_pod_conditions {
            text(&mut pattern.status, "True");
        }
    }
    spec.depends_on.iter_mut().for_each(crate::dependency::default);
    pod::spec(spec.template.get_or_insert_default().spec.get_or_insert_default());
}

/// A Pod: its spec, and requests where only limits are given.
pub fn pod(pod: &mut Pod) {
    let spec = pod.spec.get_or_insert_default();
    text(&mut spec.restart_policy, "Always");
    pod::spec(spec);
    pod::of_pods_only(spec);
}

/// A PodTemplate.
pub fn pod_template(template: &mut PodTemplate) {
    let spec = template.template.get_or_insert_default().spec.get_or_insert_default();
    text(&mut spec.restart_policy, "Always");
    pod::spec(spec);
}

/// A Node: what it can give is what it has, unless it says less.
pub fn node(node: &mut Node) {
    node.spec.get_or_insert_default();
    let status = node.status.get_or_insert_default();
    if status.allocatable.is_empty() {
        status.allocatable = status.capacity.clone();
    }
}

/// A Namespace: its label and phase.
pub fn namespace(namespace: &mut Namespace) {
    let meta = namespace.metadata.get_or_insert_default();
    if !meta.name.is_empty() {
        meta.labels.insert("kubernetes.io/metadata.name".to_string(), meta.name.clone());
    }
    namespace.spec.get_or_insert_default();
    text(&mut namespace.status.get_or_insert_default().phase, "Active");
}

/// A ConfigMap has no defaults.
pub fn config_map(_config_map: &mut ConfigMap) {}

/// A Secret: `stringData` is moved into `data`, and the type is Opaque.
pub fn secret(secret: &mut Secret) {
    for (key, value) in std::mem::take(&mut secret.string_data) {
        secret.data.insert(key, value.into_bytes());
    }
    text(&mut secret.r#type, "Opaque");
}

/// A ServiceAccount names its Secrets by their names alone.
pub fn service_account(account: &mut ServiceAccount) {
    for secret in &mut account.secrets {
        *secret = ObjectReference { name: std::mem::take(&mut secret.name), ..Default::default() };
    }
}

/// A Service: type, affinity, policies and ports.
pub fn service(service: &mut Service) {
    let spec = service.spec.get_or_insert_default();
    text(&mut spec.session_affinity, "None");
    text(&mut spec.r#type, "ClusterIP");
    match spec.session_affinity.as_str() {
        "None" => spec.session_affinity_config = None,
        "ClientIP" => {
            let config = spec.session_affinity_config.get_or_insert_default();
            config.client_ip.get_or_insert_default().timeout_seconds.get_or_insert(10_800);
        }
        _ => {}
    }
    spec.ports.iter_mut().for_each(service_port);
    if spec.cluster_ips.is_empty() && !spec.cluster_ip.is_empty() && spec.r#type != "ExternalName" {
        spec.cluster_ips.push(spec.cluster_ip.clone());
    }
    families(spec);
    let external = matches!(spec.r#type.as_str(), "NodePort" | "LoadBalancer")
        || (spec.r#type == "ClusterIP" && !spec.external_ips.is_empty());
    if external {
        text(&mut spec.external_traffic_policy, "Cluster");
    }
    if matches!(spec.r#type.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        spec.internal_traffic_policy.get_or_insert_with(|| "Cluster".to_string());
    }
    if spec.r#type == "LoadBalancer" {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    }
    service.status.get_or_insert_default();
}

/// Which families of addresses a Service has: one, or both where it is a name for addresses that others write.
fn families(spec: &mut ServiceSpec) {
    if spec.r#type == "ExternalName" {
        return;
    }
    let both = spec.cluster_ip == "None" && spec.selector.is_empty();
    let policy = if both { "RequireDualStack" } else { "SingleStack" };
    let policy = spec.ip_family_policy.get_or_insert_with(|| policy.to_string()).clone();
    if spec.ip_families.is_empty() {
        spec.ip_families.push("IPv4".to_string());
    }
    if both && policy != "SingleStack" && spec.ip_families.len() == 1 {
        let other = if spec.ip_families[0] == "IPv4" { "IPv6" } else { "IPv4" };
        spec.ip_families.push(other.to_string());
    }
}

fn service_port(port: &mut ServicePort) {
    text(&mut port.protocol, "TCP");
    let unset = match &port.target_port {
        None => true,
        Some(target) => target.r#type == 0 && target.int_val == 0 || target.r#type == 1 && target.str_val.is_empty(),
    };
    if unset {
        port.target_port = Some(IntOrString { r#type: 0, int_val: port.port, str_val: String::new() });
    }
}

/// An Event has no defaults.
pub fn event(_event: &mut Event) {}

/// A Lease: what only coordinated election knows (KEP-4355, off in Kubernetes 1.36 too) is dropped.
pub fn lease(lease: &mut Lease) {
    if let Some(spec) = &mut lease.spec {
        spec.strategy = None;
        spec.preferred_holder = None;
    }
}

#[cfg(test)]
mod tests;
