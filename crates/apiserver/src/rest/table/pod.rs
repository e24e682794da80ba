//! Pods: NAME READY STATUS RESTARTS AGE, where STATUS says the most telling of
//! phase, reasons of containers, and deletion.

use api::time::Instant;
use proto::core_v1::{ContainerState, ContainerStatus, Pod, PodStatus};
use serde_json::{Value, json};

use super::{AGE, Column, NAME, column, format, wide};

pub const COLUMNS: &[Column] = &[
    NAME,
    column("Ready", "string", "Containers that are ready, of all containers."),
    column("Status", "string", "What the Pod does, in one word."),
    column("Restarts", "string", "How often containers were restarted, and when last."),
    AGE,
    wide("IP", "The Pod's address."),
    wide("Node", "The node that the Pod is on."),
    wide("Nominated Node", "The node that the Pod is promised."),
    wide("Readiness Gates", "Readiness gates that are open, of all."),
];

pub fn cells(pod: &Pod, now: Instant) -> Vec<Value> {
    let none = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&none);
    let view = view(pod, status);
    let spec = pod.spec.as_ref();
    let restarts = match view.last_restart {
        Some(at) if view.restarts > 0 => {
            format!("{} ({} ago)", view.restarts, api::duration::human(now - at))
        }
        _ => view.restarts.to_string(),
    };
    let total = spec.map_or(0, |spec| {
        let sidecars = spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
        spec.containers.len() + sidecars.count()
    });
    let address = status.pod_ips.first().map_or(status.pod_ip.as_str(), |first| first.ip.as_str());
    vec![
        format::name(&pod.metadata),
        json!(format!("{}/{total}", view.ready)),
        json!(view.reason),
        json!(restarts),
        format::age(&pod.metadata, now),
        json!(format::or_none(address)),
        json!(format::or_none(spec.map_or("", |spec| spec.node_name.as_str()))),
        json!(format::or_none(&status.nominated_node_name)),
        json!(readiness_gates(pod, status)),
    ]
}

/// What the cells Ready, Status and Restarts are made of.
struct View {
    reason: String,
    ready: usize,
    restarts: i32,
    last_restart: Option<Instant>,
}

impl View {
    fn count(&mut self, container: &ContainerStatus) {
        self.restarts += container.restart_count;
        let ended = container.last_state.as_ref().and_then(|s| s.terminated.as_ref());
        if let Some(at) = ended.and_then(|ended| api::time::opt(&ended.finished_at)) {
            self.last_restart = self.last_restart.max(Some(at));
        }
    }
}

fn view(pod: &Pod, status: &PodStatus) -> View {
    let mut view = View { reason: status.phase.clone(), ready: 0, restarts: 0, last_restart: None };
    if !status.reason.is_empty() {
        view.reason = status.reason.clone();
    }
    let scheduled = status.conditions.iter().find(|c| c.r#type == "PodScheduled");
    if scheduled.is_some_and(|c| c.reason == "SchedulingGated") {
        view.reason = "SchedulingGated".to_string();
    }
    let initializing = initializing(pod, status, &mut view);
    let initialized = status.conditions.iter().any(|c| c.r#type == "Initialized" && c.status == "True");
    if !initializing || initialized {
        main_containers(status, &mut view);
    }
    let finished = matches!(status.phase.as_str(), "Succeeded" | "Failed");
    if format::deleting(&pod.metadata) && !finished {
        view.reason = match status.reason.as_str() {
            "NodeLost" => "Unknown".to_string(),
            _ => "Terminating".to_string(),
        };
    }
    view
}

/// Looks through the init containers up to the first that is not done; whether there is one.
fn initializing(pod: &Pod, status: &PodStatus, view: &mut View) -> bool {
    let declared = pod.spec.as_ref().map_or(&[][..], |spec| spec.init_containers.as_slice());
    let sidecar = |name: &str| declared.iter().any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"));
    for (at, container) in status.init_container_statuses.iter().enumerate() {
        view.count(container);
        let none = ContainerState::default();
        let state = container.state.as_ref().unwrap_or(&none);
        if state.terminated.as_ref().is_some_and(|ended| ended.exit_code == 0) {
            continue;
        }
        if sidecar(&container.name) && container.started == Some(true) {
            view.ready += usize::from(container.ready);
            continue;
        }
        view.reason = match (&state.terminated, &state.waiting) {
            (Some(ended), _) => format!("Init:{}", ended_reason(ended)),
            (None, Some(waiting)) if !matches!(waiting.reason.as_str(), "" | "PodInitializing") => {
                format!("Init:{}", waiting.reason)
            }
            _ => format!("Init:{at}/{}", declared.len()),
        };
        return true;
    }
    false
}

fn main_containers(status: &PodStatus, view: &mut View) {
    let mut running = false;
    for container in status.container_statuses.iter().rev() {
        view.count(container);
        let Some(state) = &container.state else { continue };
        match (&state.waiting, &state.terminated, &state.running) {
            (Some(waiting), _, _) if !waiting.reason.is_empty() => view.reason = waiting.reason.clone(),
            (_, Some(ended), _) => view.reason = ended_reason(ended),
            (_, _, Some(_)) if container.ready => {
                running = true;
                view.ready += 1;
            }
            _ => {}
        }
    }
    if view.reason == "Completed" && running {
        let ready = status.conditions.iter().any(|c| c.r#type == "Ready" && c.status == "True");
        view.reason = if ready { "Running".to_string() } else { "NotReady".to_string() };
    }
}

fn ended_reason(ended: &proto::core_v1::ContainerStateTerminated) -> String {
    match (ended.reason.as_str(), ended.signal) {
        ("", 0) => format!("ExitCode:{}", ended.exit_code),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_string(),
    }
}

fn readiness_gates(pod: &Pod, status: &PodStatus) -> String {
    let gates = pod.spec.as_ref().map_or(&[][..], |spec| spec.readiness_gates.as_slice());
    if gates.is_empty() {
        return format::NONE.to_string();
    }
    let open = gates
        .iter()
        .filter(|gate| status.conditions.iter().any(|c| c.r#type == gate.condition_type && c.status == "True"));
    format!("{}/{}", open.count(), gates.len())
}
