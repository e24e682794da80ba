//! What a worker knows of its Pod's containers: values only, so that `decide` and the status can be tested as tables.

use std::time::Duration;

use chrono::{DateTime, Utc};
use proto::core_v1::{Container, Pod, PodCondition, PodSpec, PodStatus};

/// How one start of a container ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// The exit code, or 128 + signal.
    pub code: i32,
    pub signal: i32,
    /// `Completed`, `Error`, `ContainerCannotRun`, `ContainerStatusUnknown` ...
    pub reason: String,
    pub message: String,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
}

/// One start of a container.
#[derive(Clone, Debug, PartialEq)]
pub enum Run {
    Running { started_at: DateTime<Utc> },
    Exited(Exit),
}

/// Why a container that should run is not even tried: told as its waiting state.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocked {
    pub reason: String,
    pub message: String,
    /// When it is tried again.
    pub until: DateTime<Utc>,
}

/// The life of one container so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Life {
    /// Starts made so far; the next one has this number.
    pub starts: u32,
    /// The latest start.
    pub current: Option<Run>,
    /// How the start before it ended.
    pub previous: Option<Exit>,
    /// Restarts that count for the back-off: since the last run of ten minutes.
    pub crashes: u32,
    /// Restarts that followed a non-zero exit, over all its life: what a Job with restartPolicy Always counts.
    pub failures: u32,
    pub blocked: Option<Blocked>,
    /// It has been told to end until this moment of the boot clock; `None`: it has not been told.
    pub stop_by: Option<Duration>,
}

impl Life {
    pub fn is_running(&self) -> bool {
        matches!(self.current, Some(Run::Running { .. }))
    }

    /// It is told to end until then, where it was not told to do so sooner.
    pub fn told_to_stop(&mut self, by: Duration) {
        self.stop_by = Some(self.stop_by.map_or(by, |before| before.min(by)));
    }

    pub fn exit(&self) -> Option<&Exit> {
        match &self.current {
            Some(Run::Exited(exit)) => Some(exit),
            _ => None,
        }
    }

    pub fn succeeded(&self) -> bool {
        self.exit().is_some_and(|exit| exit.code == 0)
    }

    /// A new start has been made.
    pub fn started(&mut self, run: Run) {
        if let Some(Run::Exited(exit)) = self.current.take() {
            self.crashes = super::backoff::crashes_after(self.crashes, &exit);
            self.failures += u32::from(exit.code != 0);
            self.previous = Some(exit);
        }
        self.starts += 1;
        self.current = Some(run);
        self.blocked = None;
        self.stop_by = None;
    }
}

/// What a container is for its Pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    /// Runs to its end before the next.
    Init,
    /// An init container that restarts always: runs beside the main ones, and ends after them.
    Sidecar,
    Main,
}

/// When a container starts again after its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Restart {
    Never,
    OnFailure,
    Always,
}

impl Restart {
    fn parse(text: &str) -> Restart {
        match text {
            "Never" => Restart::Never,
            "OnFailure" => Restart::OnFailure,
            // Kubernetes' default.
            _ => Restart::Always,
        }
    }

    pub fn after(self, exit: &Exit) -> bool {
        match self {
            Restart::Never => false,
            Restart::OnFailure => exit.code != 0,
            Restart::Always => true,
        }
    }
}

/// A container with its place in the Pod. A Pod's containers are counted through, the init containers first; a worker's lives
/// are in the same order.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    pub index: usize,
    pub role: Role,
    pub restart: Restart,
    pub container: &'a Container,
}

/// The Pod's containers in order.
pub fn members(spec: &PodSpec) -> impl Iterator<Item = Member<'_>> {
    let own = |container: &Container| container.restart_policy.as_deref().map(Restart::parse);
    let pod = Restart::parse(&spec.restart_policy);
    let init = spec.init_containers.iter().map(move |container| match own(container) {
        Some(Restart::Always) => (Role::Sidecar, Restart::Always, container),
        // An init container of a Pod that restarts always is done once it has succeeded.
        other => match other.unwrap_or(pod) {
            Restart::Never => (Role::Init, Restart::Never, container),
            _ => (Role::Init, Restart::OnFailure, container),
        },
    });
    let main = spec.containers.iter().map(move |container| (Role::Main, own(container).unwrap_or(pod), container));
    init.chain(main).enumerate().map(|(index, (role, restart, container))| Member { index, role, restart, container })
}

/// The Pod's spec; an absent one is empty.
pub fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

/// The phase never changes again.
pub fn is_terminal(phase: &str) -> bool {
    phase == "Succeeded" || phase == "Failed"
}

/// Containers that the API's status shows as started by this runtime, with the number of their starts and the exit to assume
/// where no record of them is left.
pub fn seen_elsewhere(pod: &Pod, runtime: &str, now: DateTime<Utc>) -> Vec<(usize, (u32, Exit))> {
    let Some(status) = &pod.status else { return Vec::new() };
    let statuses = || status.init_container_statuses.iter().chain(&status.container_statuses);
    members(spec(pod))
        .filter_map(|member| {
            let seen = statuses().find(|seen| seen.name == member.container.name)?;
            if !seen.container_id.starts_with(&format!("{runtime}://")) {
                return None;
            }
            let state = seen.state.as_ref();
            let terminated = state.and_then(|state| state.terminated.as_ref());
            let exit = match terminated {
                Some(terminated) => Exit {
                    code: terminated.exit_code,
                    signal: terminated.signal,
                    reason: terminated.reason.clone(),
                    message: terminated.message.clone(),
                    started_at: api::time::opt(&terminated.started_at).unwrap_or(now),
                    finished_at: api::time::opt(&terminated.finished_at).unwrap_or(now),
                },
                None => Exit {
                    code: 137,
                    signal: 0,
                    reason: "ContainerStatusUnknown".to_owned(),
                    message: "The container could not be located when the pod was terminated".to_owned(),
                    started_at: now,
                    finished_at: now,
                },
            };
            Some((member.index, (u32::try_from(seen.restart_count).unwrap_or(0) + 1, exit)))
        })
        .collect()
}

/// The restarts after a failure that the API knows of, by the container's place in the Pod: records of old starts are not
/// kept, so an agent that takes over can't count them all itself.
pub fn failures_seen(pod: &Pod) -> Vec<(usize, u32)> {
    let Some(status) = &pod.status else { return Vec::new() };
    let statuses = || status.init_container_statuses.iter().chain(&status.container_statuses);
    members(spec(pod))
        .filter_map(|member| {
            let seen = statuses().find(|seen| seen.name == member.container.name)?;
            Some((member.index, u32::try_from(seen.failed_restarts).unwrap_or(0)))
        })
        .collect()
}

/// A Pod that comes back from the API may carry an older status than the one just reported: its node's own part is kept, what
/// others set is taken.
pub fn keep_own_status(own: Option<PodStatus>, heard: &mut Pod, has_reported: bool) {
    let Some(mut own) = own.filter(|_| has_reported) else { return };
    let status = heard.status.take().unwrap_or_default();
    if is_terminal(&status.phase) {
        // Nothing undoes an end, whoever declared it.
        heard.status = Some(status);
        return;
    }
    let is_foreign = |condition: &&PodCondition| !OWN_CONDITIONS.contains(&condition.r#type.as_str());
    let foreign: Vec<PodCondition> = status.conditions.iter().filter(is_foreign).cloned().collect();
    own.conditions.retain(|condition| OWN_CONDITIONS.contains(&condition.r#type.as_str()));
    own.conditions.extend(foreign);
    heard.status = Some(own);
}

/// The conditions that a node answers for.
const OWN_CONDITIONS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];
