//! Waiting for other Jobs (design D12).
//!
//! A dependency is bound by name until it is met or has failed, and by uid afterwards: what is recorded stays, also when that
//! Job is deleted. An absent one is waited for, for it may be created later.

use api::condition;
use api::dependency::{self, STATE_FAILED, STATE_MET, STATE_WAITING, Verdict};
use api::meta::Object;
use api::proto::batch_v1::{Job, JobDependency, JobDependencyStatus, JobSpec};

use super::turn::Turn;

/// The condition that tells whether a Job still waits.
pub const DEPENDENCIES_MET: &str = "raftsman.io/DependenciesMet";
const WAITING_REASON: &str = "WaitingForDependencies";
const MET_REASON: &str = "DependenciesMet";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dependencies {
    /// There are none, or all hold.
    Met,
    Waiting,
    /// One can no longer hold; the text says which and why.
    Failed(String),
}

/// Judges each dependency, and records what is known in the status, a condition and an event.
pub(super) fn judge(turn: &mut Turn<'_>) -> Dependencies {
    let dependencies = dependency::of(&turn.snapshot.job);
    if dependencies.is_empty() {
        turn.status.dependencies.clear();
        return Dependencies::Met;
    }
    let known = std::mem::take(&mut turn.status.dependencies);
    let judged: Vec<JobDependencyStatus> = dependencies
        .iter()
        .map(|dependency| {
            let before = known.iter().find(|known| known.name == dependency.name && known.state != STATE_WAITING);
            before.cloned().unwrap_or_else(|| judge_one(dependency, turn.parent(&dependency.name)))
        })
        .collect();
    turn.status.dependencies = judged;

    let failed = turn.status.dependencies.iter().find(|status| status.state == STATE_FAILED);
    if let Some(failed) = failed {
        return Dependencies::Failed(failure(turn, &failed.name));
    }
    let waits: Vec<String> = dependencies
        .iter()
        .zip(&turn.status.dependencies)
        .filter(|(_, status)| status.state == STATE_WAITING)
        .map(|(dependency, _)| format!("{} ({})", dependency.name, dependency.condition))
        .collect();
    if waits.is_empty() {
        if turn.set_condition(DEPENDENCIES_MET, true, MET_REASON, "All dependencies are met") {
            turn.normal(MET_REASON, "All dependencies are met");
        }
        return Dependencies::Met;
    }
    let message = format!("Waiting for {}", waits.join(", "));
    if turn.set_condition(DEPENDENCIES_MET, false, WAITING_REASON, &message) {
        turn.normal(WAITING_REASON, &message);
    }
    turn.why(message);
    Dependencies::Waiting
}

fn judge_one(dependency: &JobDependency, parent: Option<&Job>) -> JobDependencyStatus {
    let state = match dependency::judge(&dependency.condition, parent) {
        Verdict::Met => STATE_MET,
        Verdict::Failed if dependency.when_failed != "Wait" => STATE_FAILED,
        Verdict::Failed | Verdict::Waiting => STATE_WAITING,
    };
    let uid = parent.filter(|_| state != STATE_WAITING).map(|parent| parent.uid().to_owned());
    JobDependencyStatus { name: dependency.name.clone(), uid: uid.unwrap_or_default(), state: state.to_owned() }
}

/// Says how the parent ended, as far as that is still known.
fn failure(turn: &Turn<'_>, name: &str) -> String {
    let parent = turn.parent(name);
    let conditions = parent.and_then(|parent| parent.status.as_ref()).map_or(&[][..], |status| &status.conditions);
    match condition::find(conditions, "Failed").filter(|failed| failed.status == "True") {
        Some(failed) => format!("The Job {name} that this one depends on failed: {}", failed.reason),
        None if condition::is_true(conditions, "Complete") => {
            format!("The Job {name} that this one depends on completed, and was to fail")
        }
        None => format!("The Job {name} that this one depends on ended otherwise than asked for"),
    }
}

/// Whether `job` still has to record how the Job `name` ended.
pub fn awaits(job: &Job, name: &str, parent: &Job) -> bool {
    let recorded = |state: &JobDependencyStatus| state.name == name && state.state != STATE_WAITING;
    let ours = |spec: &JobSpec| super::other_manager(spec).is_none() && super::is_supported(spec);
    // What is not looked at here records nothing.
    if super::is_finished(job) || job.is_deleting() || !job.spec.as_ref().is_some_and(ours) {
        return false;
    }
    if job.status.as_ref().is_some_and(|status| status.dependencies.iter().any(recorded)) {
        return false;
    }
    // One that waits on after the other Job's failure has nothing to record of it.
    let awaits = |dependency: &JobDependency| {
        let waits_on = dependency.when_failed == "Wait"
            && dependency::judge(&dependency.condition, Some(parent)) == Verdict::Failed;
        dependency.name == name && !waits_on
    };
    dependency::of(job).iter().any(awaits)
}
