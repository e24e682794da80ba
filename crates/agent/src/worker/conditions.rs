//! The conditions of a Pod that its node answers for; those of others (PodScheduled, DisruptionTarget ...) are kept.

use api::fence::NODE_UNREACHABLE;
use api::time::to_time;
use chrono::{DateTime, Utc};
use proto::core_v1::{Pod, PodCondition, PodStatus};

use super::life::{Life, Role, is_terminal, members, spec};

struct Verdict {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn holds() -> Verdict {
        Verdict { holds: true, reason: "", message: String::new() }
    }

    fn fails(reason: &'static str, message: String) -> Verdict {
        Verdict { holds: false, reason, message }
    }
}

/// All conditions; those that did not change keep their transition time.
pub fn conditions(pod: &Pod, status: &PodStatus, lives: &[Life], over: bool, now: DateTime<Utc>) -> Vec<PodCondition> {
    let before = pod.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let ready = ready(pod, status, lives);
    let own = [
        ("PodReadyToStartContainers", sandbox(lives, over)),
        ("Initialized", initialized(pod, status, lives)),
        ("Ready", Verdict { message: ready.message.clone(), ..ready }),
        ("ContainersReady", ready),
    ];
    let generation = status.observed_generation;
    let mut conditions: Vec<PodCondition> =
        own.iter().map(|(name, verdict)| condition(name, verdict, before, generation, now)).collect();
    if over && lives.iter().any(was_fenced) {
        // A Job's podFailurePolicy can tell it from a fault of the program.
        let reason = Verdict { holds: true, reason: "TerminationByKubelet", message: FENCED.to_owned() };
        conditions.push(condition("DisruptionTarget", &reason, before, generation, now));
    }
    let foreign = before.iter().filter(|before| conditions.iter().all(|own| own.r#type != before.r#type));
    let foreign: Vec<PodCondition> = foreign.cloned().collect();
    conditions.extend(foreign);
    conditions
}

const FENCED: &str = "the node was cut off from the control plane for longer than the Pod tolerates";

/// Its shim ended it, for the node's lease was not renewed.
fn was_fenced(life: &Life) -> bool {
    life.exit().is_some_and(|exit| exit.reason == NODE_UNREACHABLE)
}

fn condition(
    name: &str,
    verdict: &Verdict,
    before: &[PodCondition],
    observed_generation: i64,
    now: DateTime<Utc>,
) -> PodCondition {
    let status = if verdict.holds { "True" } else { "False" };
    let since = before
        .iter()
        .find(|condition| condition.r#type == name && condition.status == status)
        .and_then(|condition| condition.last_transition_time);
    PodCondition {
        r#type: name.to_owned(),
        observed_generation,
        status: status.to_owned(),
        last_probe_time: None,
        last_transition_time: since.or_else(|| Some(to_time(now))),
        reason: verdict.reason.to_owned(),
        message: verdict.message.clone(),
    }
}

/// True from the first start until the Pod is over.
fn sandbox(lives: &[Life], over: bool) -> Verdict {
    let holds = !over && lives.iter().any(|life| life.current.is_some());
    Verdict { holds, reason: "", message: String::new() }
}

fn initialized(pod: &Pod, status: &PodStatus, lives: &[Life]) -> Verdict {
    if status.phase == "Succeeded" {
        return Verdict { holds: true, reason: "PodCompleted", message: String::new() };
    }
    let main_started = lives.iter().skip(spec(pod).init_containers.len()).any(|life| life.current.is_some());
    let open: Vec<&str> = members(spec(pod))
        .filter(|member| match member.role {
            Role::Init => !lives[member.index].succeeded(),
            Role::Sidecar => lives[member.index].current.is_none(),
            Role::Main => false,
        })
        .map(|member| member.container.name.as_str())
        .collect();
    if open.is_empty() || main_started {
        return Verdict::holds();
    }
    Verdict::fails("ContainersNotInitialized", format!("containers with incomplete status: [{}]", open.join(" ")))
}

fn ready(pod: &Pod, status: &PodStatus, lives: &[Life]) -> Verdict {
    match status.phase.as_str() {
        "Succeeded" => return Verdict::fails("PodCompleted", String::new()),
        phase if is_terminal(phase) => return Verdict::fails("PodFailed", String::new()),
        _ => {}
    }
    let unready: Vec<&str> = members(spec(pod))
        .filter(|member| member.role != Role::Init && !lives[member.index].is_running())
        .map(|member| member.container.name.as_str())
        .collect();
    if unready.is_empty() {
        return Verdict::holds();
    }
    Verdict::fails("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
}
