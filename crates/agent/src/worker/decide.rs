//! What a Pod's worker does next: a pure function of the Pod, its containers' lives and the time.
//!
//! ```text
//!  init 1 ──0──▶ init 2 ──0──▶ ... ──▶ all main containers ──▶ all ended for good ──▶ sidecars stop ──▶ over
//!     │ code ≠ 0: again after its back-off (restartPolicy Never: the Pod has failed)
//!
//!  deleted, past its deadline, or made terminal by the control plane: nothing starts any more; main containers
//!  are stopped, then sidecars, then it is over.
//! ```

use std::time::Duration;

use api::fence::NODE_LOST;
use chrono::{DateTime, TimeDelta, Utc};
use proto::core_v1::Pod;

use super::backoff;
use super::life::{Life, Member, Role, is_terminal, members, spec};

/// One effect; `index` counts the Pod's containers, the init containers first.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Start { index: usize },
    Stop { index: usize, grace: TimeDelta },
}

/// All that is to be done now.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// When to look again although nothing happened.
    pub wake_at: Option<DateTime<Utc>>,
    /// Nothing runs, and nothing will: the Pod's status is its last.
    pub over: bool,
    /// A container would begin if the fence let it.
    pub held: bool,
}

/// What besides its containers concerns a Pod's worker.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    pub now: DateTime<Utc>,
    /// The same moment on the boot clock, which nobody sets: graces are counted on it.
    pub boot: Duration,
    /// Since when the Pod is this node's: what its activeDeadlineSeconds are counted from.
    pub since: DateTime<Utc>,
    pub fence: Fence,
}

/// What the renewals of the node's lease allow this Pod (design D7).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fence {
    /// Containers may begin.
    pub is_open: bool,
    /// When the shims have ended all that runs, and a moment more: whatever still runs is stopped here. `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
}

impl Fence {
    /// Of a Pod that stays for ever.
    #[cfg(test)]
    pub const NONE: Fence = Fence { is_open: true, ends_at: None };
}

/// Kubernetes' default for spec.terminationGracePeriodSeconds.
const GRACE_S: i64 = 30;
/// After the end of a container's grace, before the agent does itself what the shim has not done.
const AFTER_GRACE: Duration = Duration::from_secs(5);

pub fn decide(pod: &Pod, lives: &[Life], circumstances: Circumstances) -> Plan {
    let mut plan = without_deadline(pod, lives, circumstances);
    if let Some(at) = circumstances.fence.ends_at {
        hold_deadline(pod, lives, at, circumstances, &mut plan);
    }
    plan
}

/// What is to be done as far as the fence's deadline does not end what runs.
fn without_deadline(pod: &Pod, lives: &[Life], circumstances: Circumstances) -> Plan {
    let mut plan = Plan::default();
    if let Some(grace) = ending(pod, circumstances) {
        end(pod, lives, grace, circumstances, &mut plan);
        return plan;
    }
    if let Some(at) = deadline(pod, circumstances.since) {
        plan.wake_before(at);
    }
    let mut ready = true;
    for member in members(spec(pod)) {
        let life = &lives[member.index];
        match member.role {
            Role::Init if ready && !main_has_started(pod, lives) => {
                if failed_for_good(member, life) {
                    end(pod, lives, grace_of(pod), circumstances, &mut plan);
                    return plan;
                }
                keep_going(member, life, circumstances, &mut plan);
                ready = life.succeeded();
            }
            Role::Init => {}
            Role::Sidecar if ready => {
                keep_going(member, life, circumstances, &mut plan);
                ready = life.current.is_some();
            }
            Role::Main if ready => keep_going(member, life, circumstances, &mut plan),
            Role::Sidecar | Role::Main => {}
        }
    }
    if all_main_are_done(pod, lives) {
        end(pod, lives, grace_of(pod), circumstances, &mut plan);
    }
    plan
}

/// The shims' deadline held a second time, for one that does not run just now.
fn hold_deadline(pod: &Pod, lives: &[Life], at: DateTime<Utc>, circumstances: Circumstances, plan: &mut Plan) {
    let mut running = members(spec(pod)).filter(|member| lives[member.index].is_running()).peekable();
    if circumstances.now < at {
        if running.peek().is_some() {
            plan.wake_before(at);
        }
        return;
    }
    for member in running {
        stop(member, &lives[member.index], TimeDelta::zero(), circumstances, plan);
    }
}

/// The grace with which everything has to stop, when it has to.
fn ending(pod: &Pod, circumstances: Circumstances) -> Option<TimeDelta> {
    let metadata = pod.metadata.as_ref()?;
    if metadata.deletion_timestamp.is_some() {
        let seconds = metadata.deletion_grace_period_seconds.unwrap_or(GRACE_S);
        return Some(TimeDelta::seconds(seconds.clamp(0, i64::from(u32::MAX))));
    }
    if let Some(status) = pod.status.as_ref().filter(|status| is_terminal(&status.phase)) {
        // One that was given up with its node may have its replacement already.
        return Some(if status.reason == NODE_LOST { TimeDelta::zero() } else { grace_of(pod) });
    }
    is_past_deadline(pod, circumstances).then(|| grace_of(pod))
}

/// Whether spec.activeDeadlineSeconds have passed.
pub fn is_past_deadline(pod: &Pod, circumstances: Circumstances) -> bool {
    deadline(pod, circumstances.since).is_some_and(|at| circumstances.now >= at)
}

fn deadline(pod: &Pod, since: DateTime<Utc>) -> Option<DateTime<Utc>> {
    since.checked_add_signed(TimeDelta::try_seconds(spec(pod).active_deadline_seconds?)?)
}

fn grace_of(pod: &Pod) -> TimeDelta {
    let grace = spec(pod).termination_grace_period_seconds.unwrap_or(GRACE_S);
    // A negative one means a second, as for a kubelet.
    TimeDelta::seconds(if grace < 0 { 1 } else { grace.min(i64::from(u32::MAX)) })
}

/// Stops what runs: the main and init containers first, sidecars when those are gone.
fn end(pod: &Pod, lives: &[Life], grace: TimeDelta, circumstances: Circumstances, plan: &mut Plan) {
    *plan = Plan::default();
    let running = |member: &Member| lives[member.index].is_running();
    let (sidecars, others): (Vec<_>, Vec<_>) =
        members(spec(pod)).filter(running).partition(|member| member.role == Role::Sidecar);
    let stopped_now = if others.is_empty() { &sidecars } else { &others };
    for member in stopped_now {
        stop(*member, &lives[member.index], grace, circumstances, plan);
    }
    plan.over = sidecars.is_empty() && others.is_empty();
}

/// Asks a container to end, where it was not asked to end as soon already: a grace can only become shorter. What has not ended
/// some time after its grace is asked without one, again and again: that stop a runtime carries out itself.
fn stop(member: Member, life: &Life, grace: TimeDelta, circumstances: Circumstances, plan: &mut Plan) {
    let boot = circumstances.boot;
    let by = boot.saturating_add(grace.to_std().unwrap_or_default());
    let look_at = match life.stop_by {
        Some(before) if boot >= before + AFTER_GRACE => {
            plan.steps.push(Step::Stop { index: member.index, grace: TimeDelta::zero() });
            boot + AFTER_GRACE
        }
        Some(before) if before <= by => before + AFTER_GRACE,
        _ => {
            plan.steps.push(Step::Stop { index: member.index, grace });
            by + AFTER_GRACE
        }
    };
    let left = TimeDelta::from_std(look_at.saturating_sub(boot)).ok();
    if let Some(at) = left.and_then(|left| circumstances.now.checked_add_signed(left)) {
        plan.wake_before(at);
    }
}

/// Starts a container that has not run, or that is to run again and may.
fn keep_going(member: Member, life: &Life, circumstances: Circumstances, plan: &mut Plan) {
    let now = circumstances.now;
    if let Some(blocked) = &life.blocked
        && now < blocked.until
    {
        plan.wake_before(blocked.until);
        return;
    }
    let at = match (&life.current, life.exit()) {
        (None, _) => now,
        (Some(_), Some(exit)) if member.restart.after(exit) => backoff::restart_at(life, exit),
        _ => return,
    };
    if now < at {
        plan.wake_before(at);
    } else if circumstances.fence.is_open {
        plan.steps.push(Step::Start { index: member.index });
    } else {
        plan.held = true;
    }
}

/// Ended, and not to be started again.
fn is_done(member: Member, life: &Life) -> bool {
    life.exit().is_some_and(|exit| !member.restart.after(exit))
}

fn failed_for_good(member: Member, life: &Life) -> bool {
    is_done(member, life) && !life.succeeded()
}

fn main_has_started(pod: &Pod, lives: &[Life]) -> bool {
    members(spec(pod)).any(|member| member.role == Role::Main && lives[member.index].current.is_some())
}

fn all_main_are_done(pod: &Pod, lives: &[Life]) -> bool {
    members(spec(pod)).filter(|member| member.role == Role::Main).all(|member| is_done(member, &lives[member.index]))
}

impl Plan {
    fn wake_before(&mut self, at: DateTime<Utc>) {
        self.wake_at = Some(self.wake_at.map_or(at, |already| already.min(at)));
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
