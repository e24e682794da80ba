//! Whether a Job is done, and how.
//!
//! The first that holds decides: what an earlier look decided, a dependency that failed, the backoffLimit, the deadline, the
//! completions.

use std::time::Duration;

use api::condition;
use api::time;
use chrono::TimeDelta;

use super::dependencies::Dependencies;
use super::ending_of;
use super::turn::Turn;
use crate::pod_view::sum;

/// Which end the Job is going to; the condition of it is written before its last Pods are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Success,
    Failure,
}

impl Ending {
    /// The condition that says where the Job is going.
    pub(super) fn interim(self) -> &'static str {
        match self {
            Ending::Success => "SuccessCriteriaMet",
            Ending::Failure => "FailureTarget",
        }
    }

    /// The condition that says that it is there.
    pub(super) fn terminal(self) -> &'static str {
        match self {
            Ending::Success => "Complete",
            Ending::Failure => "Failed",
        }
    }
}

/// Judges, and records a new verdict as the interim condition.
pub(super) fn judge(turn: &mut Turn<'_>, dependencies: &Dependencies) -> Option<Ending> {
    if let Some(decided) = ending_of(&turn.snapshot.job) {
        return Some(decided);
    }
    let (reason, message) = if let Dependencies::Failed(message) = dependencies {
        ("DependencyFailed", message.as_str())
    } else if past_backoff_limit(turn) {
        ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    } else if past_deadline(turn) {
        ("DeadlineExceeded", "Job was active longer than specified deadline")
    } else if *dependencies == Dependencies::Met && succeeded(turn) {
        let (reason, message) = ("CompletionsReached", "Reached expected number of succeeded pods");
        turn.set_condition(Ending::Success.interim(), true, reason, message);
        return Some(Ending::Success);
    } else {
        return None;
    };
    turn.set_condition(Ending::Failure.interim(), true, reason, message);
    // Whoever didn't count as failed before does now.
    turn.fail_the_dying();
    Some(Ending::Failure)
}

/// Never: more Pods failed than the limit. OnFailure and Always restart in place: the restarts of the Pods that live count; with
/// Always only those after a non-zero exit, for the others are what was asked for.
fn past_backoff_limit(turn: &Turn<'_>) -> bool {
    let limit = turn.spec.backoff_limit.unwrap_or(6);
    if turn.failed() > limit {
        return true;
    }
    let restarts = match turn.restart_policy() {
        "OnFailure" => sum(turn.census.active.iter().map(|pod| pod.restarts)),
        "Always" => sum(turn.census.active.iter().map(|pod| pod.failed_restarts)),
        _ => return false,
    };
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

/// Runs only while the Job is not suspended; asks to look again when it will have passed.
fn past_deadline(turn: &mut Turn<'_>) -> bool {
    let Some(seconds) = turn.spec.active_deadline_seconds.filter(|_| turn.spec.suspend != Some(true)) else {
        return false;
    };
    // A Job that starts with this look has the whole of it before it: `Turn::start` sees to that.
    let Some(start) = time::opt(&turn.status.start_time).filter(|_| !turn.resumes()) else {
        return false;
    };
    let deadline = TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX);
    let left = deadline.checked_sub(&(turn.snapshot.now - start)).unwrap_or(TimeDelta::MAX);
    match left.to_std() {
        Ok(left) if !left.is_zero() => {
            turn.look_again(left);
            false
        }
        _ => true,
    }
}

/// With completions: so many succeeded, and none is active. Without (a work queue): one succeeded, and none is active.
fn succeeded(turn: &mut Turn<'_>) -> bool {
    if !turn.census.active.is_empty() {
        return false;
    }
    let succeeded = turn.succeeded();
    match turn.spec.completions {
        None => succeeded > 0,
        Some(completions) => {
            if succeeded > completions {
                let message = "Too many succeeded pods running after completion count reached";
                turn.warning("TooManySucceededPods", message);
            }
            succeeded >= completions
        }
    }
}

/// When a running Job's deadline passes, counted from its start.
pub(super) fn deadline(turn: &Turn<'_>) -> Option<Duration> {
    let seconds = u64::try_from(turn.spec.active_deadline_seconds?).ok()?;
    Some(Duration::from_secs(seconds))
}

/// Reason and message of the interim condition, which the terminal one repeats.
pub(super) fn cause(turn: &Turn<'_>, ending: Ending) -> (String, String) {
    let interim = condition::find(&turn.status.conditions, ending.interim());
    interim.map(|interim| (interim.reason.clone(), interim.message.clone())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use api::proto::batch_v1::JobSpec;
    use chrono::DateTime;

    use super::super::world::World;
    use super::*;

    #[test]
    fn a_deadline_that_no_clock_can_hold_never_passes() {
        for seconds in [i64::MAX, i64::MAX / 1000 + 1, i64::MAX / 1000] {
            let spec = JobSpec { active_deadline_seconds: Some(seconds), ..Default::default() };
            let mut world = World::new(JobSpec { parallelism: Some(1), completions: Some(1), ..spec });
            for now in
                [DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH - TimeDelta::days(1), DateTime::<chrono::Utc>::MAX_UTC]
            {
                world.now = now;
                let plan = world.look();
                assert!(plan.why.starts_with("running"), "{}", plan.why);
                assert!(plan.requeue_after > Some(Duration::from_secs(1 << 40)), "{plan:?}");
            }
        }
    }
}
