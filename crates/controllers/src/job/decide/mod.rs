//! What to do about one Job: a pure function from what was observed to a Plan.
//!
//! ```text
//!                     Snapshot (Job, its Pods, the Jobs it waits for, now, seed)
//!                                          |
//!                       census: each Pod falls into one bucket
//!                                          |
//!   finished? --> clean up      deleted? --> let the Pods go      managed by others? --> nothing
//!                                          |
//!            dependencies --> verdict: fails? done? --> mode: Waiting, Suspended, Running, Failing, Succeeding
//!                                          |
//!         count ended Pods, then create, release or delete Pods, then write the status: one group, at most 99 writes
//! ```
//!
//! **Counting in one Commit.** A Pod carries the finalizer `batch.kubernetes.io/job-tracking` until it is counted. The group that
//! takes the finalizer away is the one in which `status.succeeded` or `status.failed` grows, and it writes the Job under the
//! resourceVersion that was seen: no Pod is counted twice or missed, whatever is repeated or lost.
//!
//! **Ending a Pod that must not count** (parallelism lowered, Job suspended or done) takes two looks, since a group writes an
//! object at most once: first the Pod is released, uncounted; a Pod that runs without the finalizer is a *stray*, and every
//! look deletes strays. A crash in between loses nothing: the stray is still seen as one.
//!
//! **A big Job** has more to do than one group holds. Every group is whole in itself (its counters say what has been counted up
//! to it), and the Plan asks to be looked at again at once.
//!
//! The rules are Kubernetes' (the reference is `batch/v1`'s controller); where Raftsman differs, the place says so.

mod backoff;
mod census;
pub(super) mod dependencies;
mod scale;
mod turn;
mod verdict;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::condition;
use api::meta::{self, Object};
use api::proto::batch_v1::{Job, JobSpec};
use api::time::Instant;

use crate::plan::Plan;
use crate::pod_view::PodView;

use census::Census;
use dependencies::Dependencies;
use turn::Turn;
use verdict::Ending;

/// The value of `spec.managedBy` that means this controller.
const MANAGED_BY_US: &str = "kubernetes.io/job-controller";

/// Everything that a decision depends on.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub now: Instant,
    /// Random; names of new Pods are drawn from it.
    pub seed: u64,
    pub job: Arc<Job>,
    /// The Pods that this Job (by uid) controls.
    pub pods: Vec<Arc<PodView>>,
    /// Those of the Jobs that it depends on that exist, by name.
    pub parents: BTreeMap<String, Arc<Job>>,
    /// Another Job waits for this one and has not recorded its end.
    pub waited_for: bool,
    /// The last group was refused for a new Pod in it: what is to be counted goes first, without new Pods.
    pub create_refused: bool,
}

/// What the Job is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// For other Jobs: no Pods yet.
    Waiting,
    Suspended,
    Running,
    Ending(Ending),
}

/// Decides. Never fails: what can't be done is told in the Plan.
pub fn decide(snapshot: &Snapshot) -> Plan {
    let job = &*snapshot.job;
    let no_spec = JobSpec::default();
    let spec = job.spec.as_ref().unwrap_or(&no_spec);
    if let Some(manager) = other_manager(spec) {
        return Plan::nothing(format!("managed by {manager}"));
    }
    if !is_supported(spec) {
        return unsupported_mode(job);
    }
    let census = Census::of(&snapshot.pods, only_replace_failed(spec), ending_of(job) == Some(Ending::Failure));
    let mut turn = Turn::new(snapshot, spec, census);
    if is_finished(job) {
        turn.dependents_finalizer(false);
        return clean_up(turn);
    }
    turn.dependents_finalizer(!job.is_deleting());
    if job.is_deleting() {
        return let_go(turn);
    }
    let dependencies = dependencies::judge(&mut turn);
    let mode = mode(&mut turn, dependencies);
    turn.start(mode);
    scale::delete_strays(&mut turn);
    scale::count(&mut turn, mode);
    match mode {
        Mode::Waiting => {}
        Mode::Suspended => scale::release_active(&mut turn),
        Mode::Running => scale::scale(&mut turn),
        Mode::Ending(Ending::Failure) => scale::fail_active(&mut turn),
        Mode::Ending(Ending::Success) => scale::release_active(&mut turn),
    }
    turn.finish(mode)
}

fn mode(turn: &mut Turn<'_>, dependencies: Dependencies) -> Mode {
    if let Some(ending) = verdict::judge(turn, &dependencies) {
        return Mode::Ending(ending);
    }
    if turn.spec.suspend == Some(true) {
        return Mode::Suspended;
    }
    if dependencies == Dependencies::Waiting { Mode::Waiting } else { Mode::Running }
}

/// A finished Job: its Pods are held by nobody.
fn clean_up(mut turn: Turn<'_>) -> Plan {
    scale::delete_strays(&mut turn);
    scale::release_all(&mut turn);
    turn.plan("finished")
}

/// A Job that is being deleted: nothing is created, ended Pods still count, all are released; the garbage collector does the
/// rest.
fn let_go(mut turn: Turn<'_>) -> Plan {
    scale::count(&mut turn, Mode::Waiting);
    scale::release_all(&mut turn);
    turn.plan("being deleted")
}

/// Who else manages the Job: it is left alone.
fn other_manager(spec: &JobSpec) -> Option<&str> {
    spec.managed_by.as_deref().filter(|manager| *manager != MANAGED_BY_US)
}

fn is_supported(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref().is_none_or(|mode| mode == "NonIndexed")
}

fn unsupported_mode(job: &Job) -> Plan {
    let mut plan = Plan::nothing("its completion mode is not supported");
    plan.events.push(crate::plan::EventDraft::warning(
        meta::object_reference(job),
        "UnknownCompletionMode",
        "Skipped Job sync because completion mode is unknown",
    ));
    plan
}

/// A Pod that is being deleted is replaced only when it has ended.
fn only_replace_failed(spec: &JobSpec) -> bool {
    spec.pod_failure_policy.is_some() || spec.pod_replacement_policy.as_deref() == Some("Failed")
}

/// How the Job is ending, by what an earlier look decided.
fn ending_of(job: &Job) -> Option<Ending> {
    let conditions = job.status.as_ref().map_or(&[][..], |status| &status.conditions);
    if condition::is_true(conditions, "SuccessCriteriaMet") {
        Some(Ending::Success)
    } else if condition::is_true(conditions, "FailureTarget") {
        Some(Ending::Failure)
    } else {
        None
    }
}

/// Complete or Failed.
pub fn is_finished(job: &Job) -> bool {
    let conditions = job.status.as_ref().map_or(&[][..], |status| &status.conditions);
    condition::is_true(conditions, "Complete") || condition::is_true(conditions, "Failed")
}
