//! Defaults of a Pod's spec, alone or in a template.

use std::collections::BTreeMap;

use proto::core_v1::{
    Container, EphemeralContainerCommon, HttpGetAction, Lifecycle, PodSpec, Probe, Volume, VolumeSource,
};
use proto::resource::Quantity;

use super::text;

/// Owner may write, all may read: 0644.
const MODE: i32 = 0o644;

/// Everything but the restart policy.
pub(super) fn spec(spec: &mut PodSpec) {
    text(&mut spec.dns_policy, "ClusterFirst");
    text(&mut spec.scheduler_name, "default-scheduler");
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.security_context.get_or_insert_default();
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
    spec.volumes.iter_mut().for_each(volume);
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

/// The pull policy of an image that says none: newest for `latest`, else whatever is there.
pub fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    let (name, digest) = name.split_once('@').map_or((name, None), |(name, digest)| (name, Some(digest)));
    match (name.split_once(':'), digest) {
        (Some((_, "latest")), _) | (None, None) => "Always",
        _ => "IfNotPresent",
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
    for variable in &mut container.env {
        if let Some(field) = variable.value_from.as_mut().and_then(|from| from.field_ref.as_mut()) {
            text(&mut field.api_version, "v1");
        }
    }
    let probes = [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    probes.into_iter().flatten().for_each(probe);
    container.lifecycle.iter_mut().for_each(lifecycle);
}

fn ephemeral(container: &mut EphemeralContainerCommon) {
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

fn volume(volume: &mut Volume) {
    let source = volume.volume_source.get_or_insert_default();
    if *source == VolumeSource::default() {
        source.empty_dir = Some(Default::default());
    }
    if let Some(secret) = &mut source.secret {
        secret.default_mode.get_or_insert(MODE);
    }
    if let Some(config_map) = &mut source.config_map {
        config_map.default_mode.get_or_insert(MODE);
    }
    if let Some(downward) = &mut source.downward_api {
        downward.default_mode.get_or_insert(MODE);
        for field in downward.items.iter_mut().filter_map(|item| item.field_ref.as_mut()) {
            text(&mut field.api_version, "v1");
        }
    }
    if let Some(projected) = &mut source.projected {
        projected.default_mode.get_or_insert(MODE);
        for source in &mut projected.sources {
            if let Some(token) = &mut source.service_account_token {
                token.expiration_seconds.get_or_insert(3600);
            }
            let items = source.downward_api.iter_mut().flat_map(|downward| &mut downward.items);
            for field in items.filter_map(|item| item.field_ref.as_mut()) {
                text(&mut field.api_version, "v1");
            }
        }
    }
    if let Some(host_path) = &mut source.host_path {
        host_path.r#type.get_or_insert_default();
    }
}
