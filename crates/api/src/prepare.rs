//! What the server itself puts into new objects, beyond defaults.

use proto::batch_v1::Job;
use proto::core_v1::{Service, ServiceSpec};

use crate::meta::Object;

/// Labels of a Job's Pods: the name and the uid of their Job, each also under the older name without prefix.
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// See [`JOB_NAME`].
pub const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
/// See [`JOB_NAME`].
pub const LEGACY_JOB_NAME: &str = "job-name";
/// See [`JOB_NAME`].
pub const LEGACY_CONTROLLER_UID: &str = "controller-uid";

/// Gives a Job the selector of its Pods and their template the labels that it selects, from the Job's name and uid. Labels
/// that are there already stay; validation refuses the wrong ones. Nothing happens where the user selects
/// (`manualSelector`).
pub fn job_create(job: &mut Job) {
    let (name, uid) = (job.name().to_string(), job.uid().to_string());
    let spec = job.spec.get_or_insert_default();
    if spec.manual_selector == Some(true) {
        return;
    }
    let labels = &mut spec.template.get_or_insert_default().metadata.get_or_insert_default().labels;
    for (key, value) in
        [(LEGACY_JOB_NAME, &name), (JOB_NAME, &name), (LEGACY_CONTROLLER_UID, &uid), (CONTROLLER_UID, &uid)]
    {
        labels.entry(key.to_string()).or_insert_with(|| value.clone());
    }
    let selected = &mut spec.selector.get_or_insert_default().match_labels;
    selected.entry(CONTROLLER_UID.to_string()).or_insert(uid);
}

/// A Job without labels has those of its Pods. Kubernetes fills them in whenever it reads a Job, so only once it is valid.
pub fn job_labels(job: &mut Job) {
    let template = job.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let labels = template.and_then(|template| template.metadata.as_ref()).map(|meta| meta.labels.clone());
    let meta = job.metadata.get_or_insert_default();
    if let Some(labels) = labels.filter(|_| meta.labels.is_empty()) {
        meta.labels = labels;
    }
}

/// A Service that changes its type keeps nothing that its type alone brought along and that its new type can't have; what its
/// writer changed stays, for validation to judge. Addresses that are not repeated stay as they were.
pub fn service_update(new: &mut Service, old: &Service) {
    let was = old.spec.clone().unwrap_or_default();
    let spec = new.spec.get_or_insert_default();
    let addressed = |spec: &ServiceSpec| spec.r#type != "ExternalName";
    let ported = |spec: &ServiceSpec| matches!(spec.r#type.as_str(), "NodePort" | "LoadBalancer");
    let balanced = |spec: &ServiceSpec| spec.r#type == "LoadBalancer";
    let checked = |spec: &ServiceSpec| balanced(spec) && spec.external_traffic_policy == "Local";
    let external = |spec: &ServiceSpec| {
        ported(spec) || ((spec.r#type.is_empty() || spec.r#type == "ClusterIP") && !spec.external_ips.is_empty())
    };
    if addressed(&was) && addressed(spec) && spec.cluster_ip.is_empty() && spec.cluster_ips.is_empty() {
        spec.cluster_ip = was.cluster_ip.clone();
        spec.cluster_ips = was.cluster_ips.clone();
    }
    if addressed(&was) && !addressed(spec) {
        if (&spec.cluster_ip, &spec.cluster_ips) == (&was.cluster_ip, &was.cluster_ips) {
            spec.cluster_ip.clear();
            spec.cluster_ips.clear();
        }
        if spec.ip_families == was.ip_families {
            spec.ip_families.clear();
        }
        spec.ip_family_policy =
            spec.ip_family_policy.take().filter(|policy| Some(policy) != was.ip_family_policy.as_ref());
    }
    let ports = |spec: &ServiceSpec| spec.ports.iter().map(|port| port.node_port).collect::<Vec<_>>();
    if ported(&was) && !ported(spec) && ports(spec) == ports(&was) {
        spec.ports.iter_mut().for_each(|port| port.node_port = 0);
    }
    if checked(&was) && !checked(spec) && spec.health_check_node_port == was.health_check_node_port {
        spec.health_check_node_port = 0;
    }
    if balanced(&was) && !balanced(spec) {
        if spec.allocate_load_balancer_node_ports == was.allocate_load_balancer_node_ports {
            spec.allocate_load_balancer_node_ports = None;
        }
        if spec.load_balancer_class == was.load_balancer_class {
            spec.load_balancer_class = None;
        }
    }
    if external(&was) && !external(spec) && spec.external_traffic_policy == was.external_traffic_policy {
        spec.external_traffic_policy.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{defaults, validate};

    fn service(json: &str) -> Service {
        let mut service = proto::json::decode::<Service>(json.as_bytes()).expect("JSON").value;
        defaults::service(&mut service);
        service
    }

    #[test]
    fn a_service_may_change_its_type() {
        let of = |kind: &str| {
            let name = if kind == "ExternalName" { r#","externalName":"a.b""# } else { "" };
            format!(
                r#"{{"metadata":{{"name":"a","namespace":"b"}},"spec":{{"type":"{kind}","ports":[{{"port":1}}]{name}}}}}"#
            )
        };
        for before in ["ClusterIP", "NodePort", "LoadBalancer"] {
            for after in ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] {
                let old = service(&of(before));
                // As a patch of the type leaves it.
                let mut new = old.clone();
                let spec = new.spec.get_or_insert_default();
                spec.r#type = after.to_string();
                spec.external_name = "a.b".to_string();
                service_update(&mut new, &old);
                defaults::service(&mut new);
                let errors = validate::service_update(&new, &old);
                assert!(errors.is_empty(), "{before} to {after}: {errors:?}");
            }
        }
    }
}
