//! Defaults of a Pod's spec, alone or in a template.

use std::collections::BTreeMap;

use proto::core_v1::{Container, EnvVar, EphemeralContainerCommon, HttpGetAction, Lifecycle, PodSpec, Probe};
use proto::resource::Quantity;

use super::image::pull_policy;
use super::{text, volume};

/// Everything but the restart policy.
pub(super) fn spec(spec: &mut PodSpec) {
    text(&mut spec.dns_policy, "ClusterFirst");
    text(&mut spec.scheduler_name, "default-scheduler");
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.security_context.get_or_insert_default();
    // Of features that are off in Kubernetes 1.36 too (KEP-4671).
    spec.scheduling_group = None;
    // Two names of one field: the old one follows the new one.
    if spec.service_account_name.is_empty() {
        spec.service_account_name = spec.service_account.clone();
    }
    spec.service_account = spec.service_account_name.clone();
    spec.init_containers.iter_mut().for_each(container);
    spec.containers.iter_mut().for_each(container);
    for ephemeral in &mut spec.ephemeral_containers {
        self::ephemeral(ephemeral.ephemeral_container_common.get_or_insert_default());
    }
    spec.volumes.iter_mut().for_each(volume::volume);
}

/// What Pods get and templates don't.
pub(super) fn of_pods_only(spec: &mut PodSpec) {
    spec.enable_service_links.get_or_insert(true);
    let host_network = spec.host_network;
    for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        if let Some(resources) = &mut container.resources {
            requests_from_limits(&mut resources.requests, &resources.limits);
        }
        if host_network {
            for port in container.ports.iter_mut().filter(|port| port.host_port == 0) {
                port.host_port = port.container_port;
            }
        }
    }
}

fn requests_from_limits(requests: &mut BTreeMap<String, Quantity>, limits: &BTreeMap<String, Quantity>) {
    for (name, limit) in limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

fn container(container: &mut Container) {
    if container.image_pull_policy.is_empty() {
        container.image_pull_policy = pull_policy(&container.image).to_string();
    }
    text(&mut container.termination_message_path, "/dev/termination-log");
    text(&mut container.termination_message_policy, "File");
    for port in &mut container.ports {
        text(&mut port.protocol, "TCP");
    }
    environment(&mut container.env);
    let probes = [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    probes.into_iter().flatten().for_each(probe);
    container.lifecycle.iter_mut().for_each(lifecycle);
}

fn environment(variables: &mut [EnvVar]) {
    for from in variables.iter_mut().filter_map(|variable| variable.value_from.as_mut()) {
        if let Some(field) = &mut from.field_ref {
            text(&mut field.api_version, "v1");
        }
        if let Some(file) = &mut from.file_key_ref {
            file.optional.get_or_insert(false);
        }
    }
}

fn ephemeral(container: &mut EphemeralContainerCommon) {
    environment(&mut container.env);
    if container.image_pull_policy.is_empty() {
        container.image_pull_policy = pull_policy(&container.image).to_string();
    }
    text(&mut container.termination_message_path, "/dev/termination-log");
    text(&mut container.termination_message_policy, "File");
}

fn probe(probe: &mut Probe) {
    let fields = [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ];
    for (field, value) in fields.into_iter().filter(|(field, _)| **field == 0) {
        *field = value;
    }
    if let Some(handler) = &mut probe.handler {
        handler.http_get.iter_mut().for_each(http_get);
        if let Some(grpc) = &mut handler.grpc {
            grpc.service.get_or_insert_default();
        }
    }
}

fn lifecycle(lifecycle: &mut Lifecycle) {
    for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten() {
        handler.http_get.iter_mut().for_each(http_get);
    }
}

fn http_get(action: &mut HttpGetAction) {
    text(&mut action.path, "/");
    text(&mut action.scheme, "HTTP");
}
