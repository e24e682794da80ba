//! A Pod's status as a kubelet writes it, from its containers' lives.

use api::time::to_time;
use chrono::{DateTime, Utc};
use proto::core_v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIp,
    Pod, PodIp, PodStatus,
};

use super::backoff;
use super::conditions::conditions;
use super::decide::{Circumstances, is_past_deadline};
use super::life::{Exit, Life, Member, Role, Run, is_terminal, members, spec};

/// What the node adds to each of its Pods' statuses.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// The node's address; a Pod's too, since containers share the host's network.
    pub ip: String,
    /// The runtime's name in container ids: `process://...`.
    pub runtime: &'static str,
}

/// The status to report. `over` says that nothing runs and nothing will: only then is the phase terminal.
pub fn status(pod: &Pod, lives: &[Life], circumstances: Circumstances, over: bool, node: &NodeFacts) -> PodStatus {
    let before = pod.status.clone().unwrap_or_default();
    let context = Context { pod, lives, now: circumstances.now, over, node };
    let statuses = |main: bool| {
        members(spec(pod))
            .filter(|member| (member.role == Role::Main) == main)
            .map(|member| context.container_status(member))
            .collect::<Vec<_>>()
    };
    let deadline = is_past_deadline(pod, circumstances);
    let phase = match before.phase.as_str() {
        phase if is_terminal(phase) => phase.to_owned(),
        _ if over && deadline => "Failed".to_owned(),
        _ => context.phase().to_owned(),
    };
    let has_address = !over && lives.iter().any(|life| life.current.is_some());
    let ip = if has_address || !before.pod_ip.is_empty() { node.ip.clone() } else { String::new() };
    let (reason, message) = if deadline && !is_terminal(&before.phase) {
        ("DeadlineExceeded".to_owned(), "Pod was active on the node longer than the specified deadline".to_owned())
    } else {
        (before.reason.clone(), before.message.clone())
    };
    let mut status = PodStatus {
        observed_generation: pod.metadata.as_ref().map_or(0, |metadata| metadata.generation),
        phase,
        reason,
        message,
        host_ip: node.ip.clone(),
        host_ips: vec![HostIp { ip: node.ip.clone() }],
        pod_ips: if ip.is_empty() { Vec::new() } else { vec![PodIp { ip: ip.clone() }] },
        pod_ip: ip,
        start_time: before.start_time.or_else(|| Some(to_time(circumstances.since))),
        init_container_statuses: statuses(false),
        container_statuses: statuses(true),
        ..before
    };
    status.conditions = conditions(pod, &status, lives, over, circumstances.now);
    status
}

struct Context<'a> {
    pod: &'a Pod,
    lives: &'a [Life],
    now: DateTime<Utc>,
    over: bool,
    node: &'a NodeFacts,
}

impl Context<'_> {
    /// A kubelet's rules: see how many of the containers wait, run, and have ended.
    fn phase(&self) -> &'static str {
        let all = || members(spec(self.pod)).map(|member| (member, &self.lives[member.index]));
        let main = || all().filter(|(member, _)| member.role == Role::Main);
        let init_failed =
            all().any(|(member, life)| member.role == Role::Init && !member.will_restart(life) && life.has_failed());
        if self.over {
            let succeeded = !init_failed && main().all(|(_, life)| life.succeeded());
            return if succeeded { "Succeeded" } else { "Failed" };
        }
        let started = main().all(|(_, life)| life.current.is_some());
        if started { "Running" } else { "Pending" }
    }

    fn container_status(&self, member: Member) -> ContainerStatus {
        let life = &self.lives[member.index];
        let state = self.state(member, life);
        let running = state.running.is_some();
        let waits_again = state.waiting.is_some() && life.current.is_some();
        let last = if waits_again { life.exit() } else { life.previous.as_ref() };
        let number = if waits_again || life.current.is_none() { life.starts } else { life.starts - 1 };
        let ready = match member.role {
            Role::Init => life.succeeded(),
            Role::Sidecar | Role::Main => running,
        };
        ContainerStatus {
            name: member.container.name.clone(),
            ready,
            restart_count: i32::try_from(life.starts.saturating_sub(1)).unwrap_or(i32::MAX),
            failed_restarts: i32::try_from(life.failures).unwrap_or(i32::MAX),
            image: member.container.image.clone(),
            image_id: if life.starts > 0 { member.container.image.clone() } else { String::new() },
            container_id: if life.starts > 0 {
                self.container_id(member, number.min(life.starts - 1))
            } else {
                String::new()
            },
            started: Some(running),
            last_state: last.map(|exit| ContainerState {
                terminated: Some(self.terminated(member, exit, number.saturating_sub(1))),
                ..ContainerState::default()
            }),
            state: Some(state),
            ..ContainerStatus::default()
        }
    }

    fn state(&self, member: Member, life: &Life) -> ContainerState {
        let waiting = |reason: &str, message: String| ContainerState {
            waiting: Some(ContainerStateWaiting { reason: reason.to_owned(), message }),
            ..ContainerState::default()
        };
        match &life.current {
            Some(Run::Running { started_at }) => ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(to_time(*started_at)) }),
                ..ContainerState::default()
            },
            Some(Run::Exited(exit))
                if !self.over && member.will_restart(life) && backoff::restart_at(life, exit) > self.now =>
            {
                let delay = backoff::shown(backoff::restart_at(life, exit) - exit.finished_at);
                let metadata = self.pod.metadata.as_ref();
                let part = |pick: fn(&proto::meta_v1::ObjectMeta) -> &str| metadata.map_or("", pick);
                waiting(
                    "CrashLoopBackOff",
                    format!(
                        "back-off {delay} restarting failed container={} pod={}_{}({})",
                        member.container.name,
                        part(|metadata| &metadata.name),
                        part(|metadata| &metadata.namespace),
                        part(|metadata| &metadata.uid)
                    ),
                )
            }
            Some(Run::Exited(exit)) => ContainerState {
                terminated: Some(self.terminated(member, exit, life.starts - 1)),
                ..ContainerState::default()
            },
            None if self.over
                && self.pod.metadata.as_ref().is_some_and(|metadata| metadata.deletion_timestamp.is_some()) =>
            {
                ContainerState {
                    terminated: Some(ContainerStateTerminated {
                        exit_code: 137,
                        reason: "ContainerStatusUnknown".to_owned(),
                        message: "The container could not be located when the pod was terminated".to_owned(),
                        ..ContainerStateTerminated::default()
                    }),
                    ..ContainerState::default()
                }
            }
            None => match &life.blocked {
                Some(blocked) => waiting(&blocked.reason, blocked.message.clone()),
                None if self.has_init() && member.role == Role::Main => waiting("PodInitializing", String::new()),
                None if self.has_init() && member.index > 0 => waiting("PodInitializing", String::new()),
                None => waiting("ContainerCreating", String::new()),
            },
        }
    }

    fn has_init(&self) -> bool {
        !spec(self.pod).init_containers.is_empty()
    }

    fn terminated(&self, member: Member, exit: &Exit, number: u32) -> ContainerStateTerminated {
        ContainerStateTerminated {
            exit_code: exit.code,
            // Container engines fold the signal into the exit code and leave this field alone.
            signal: 0,
            reason: exit.reason.clone(),
            message: exit.message.clone(),
            started_at: Some(to_time(exit.started_at)),
            finished_at: Some(to_time(exit.finished_at)),
            container_id: self.container_id(member, number),
        }
    }

    /// The Pod's uid, the container and the number of its start: what its files lie under.
    fn container_id(&self, member: Member, number: u32) -> String {
        let uid = self.pod.metadata.as_ref().map_or("", |metadata| metadata.uid.as_str());
        format!("{}://{uid}/{}/{number}", self.node.runtime, member.container.name)
    }
}

impl Member<'_> {
    fn will_restart(&self, life: &Life) -> bool {
        life.exit().is_some_and(|exit| self.restart.after(exit))
    }
}

impl Life {
    fn has_failed(&self) -> bool {
        self.exit().is_some_and(|exit| exit.code != 0)
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
