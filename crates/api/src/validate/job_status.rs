//! What a Job's status may say, and how it may change. The controller obeys these rules; they stand against others that
//! write a Job's status (`managedBy`) and against faults of ours.

use std::collections::BTreeSet;

use proto::batch_v1::{Job, JobCondition, JobStatus};

use super::job::is_indexed;
use super::job_policy::parse_indexes;
use super::meta::object_meta_update;
use super::{IMMUTABLE, non_negative};
use crate::condition::{is_false, is_true};
use crate::field::{Error, Errors, Json, Omitted, Path};
use crate::meta::Object;
use crate::time::{self, Instant};

/// The new status of a Job. Most rules hold only for what changes, so that a Job that breaks one by a changed spec can
/// still be written.
pub fn job_status_update(new: &Job, old: &Job) -> Errors {
    let mut errors = Vec::new();
    object_meta_update(new.meta(), old.meta(), &mut errors);
    let (after, before) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    counters(&after, &mut errors);
    conditions(&after, &before, &mut errors);
    times(new, &after, &before, &mut errors);
    finished(new, &after, &before, &mut errors);
    indexes(new, &after, &before, &mut errors);
    never_back(new, &after, &before, &mut errors);
    errors
}

fn ended(conditions: &[JobCondition]) -> bool {
    is_true(conditions, "Complete") || is_true(conditions, "Failed")
}

fn counters(status: &JobStatus, errors: &mut Errors) {
    let at = Path::new("status");
    let counts = [
        (Some(status.active), "active"),
        (Some(status.succeeded), "succeeded"),
        (Some(status.failed), "failed"),
        (status.ready, "ready"),
        (status.terminating, "terminating"),
    ];
    for (count, name) in counts {
        non_negative(count.map(i64::from), &at.child(name), errors);
    }
    let Some(uncounted) = &status.uncounted_terminated_pods else { return };
    let at = at.child("uncountedTerminatedPods");
    let mut seen = BTreeSet::new();
    for (uids, name) in [(&uncounted.succeeded, "succeeded"), (&uncounted.failed, "failed")] {
        let at = at.child(name);
        for (i, uid) in uids.iter().enumerate() {
            if uid.is_empty() {
                errors.push(Error::invalid(&at.index(i), uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(Error::duplicate(&at.index(i), uid));
            }
        }
    }
}

fn conditions(new: &JobStatus, old: &JobStatus, errors: &mut Errors) {
    let at = Path::new("status.conditions");
    let is = |kind: &str| is_true(&new.conditions, kind);
    let changed = |kind: &str| is_true(&new.conditions, kind) != is_true(&old.conditions, kind);
    let complete_or_failed = changed("Complete") || changed("Failed");
    let mut refuse = |wrong: bool, detail: &str| {
        if wrong {
            errors.push(Error::invalid(&at, Omitted, detail));
        }
    };
    refuse(complete_or_failed && is("Complete") && is("Failed"), "cannot set Complete=True and Failed=true conditions");
    refuse(
        (changed("Complete") || changed("FailureTarget")) && is("Complete") && is("FailureTarget"),
        "cannot set Complete=True and FailureTarget=true conditions",
    );
    refuse(
        (changed("Failed") || new.failed_indexes != old.failed_indexes) && is("Failed") && !is("FailureTarget"),
        "cannot set Failed=True condition without the FailureTarget=true condition",
    );
    refuse(
        (changed("Complete") || changed("SuccessCriteriaMet")) && is("Complete") && !is("SuccessCriteriaMet"),
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    );
    refuse(is("SuccessCriteriaMet") && is("Failed"), "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    refuse(
        is("SuccessCriteriaMet") && is("FailureTarget"),
        "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
    );
}

fn times(job: &Job, new: &JobStatus, old: &JobStatus, errors: &mut Errors) {
    let status = Path::new("status");
    let (started, completed) = (time::opt(&new.start_time), time::opt(&new.completion_time));
    let (started_before, completed_before) = (time::opt(&old.start_time), time::opt(&old.completion_time));
    let complete = is_true(&new.conditions, "Complete");
    let shown = |at: Option<Instant>| at.map(time::rfc3339);
    let completion = status.child("completionTime");
    let complete_changed = complete != is_true(&old.conditions, "Complete");
    if complete_changed || completed != completed_before {
        if completed.is_some() && !complete {
            let detail = "cannot set completionTime when there is no Complete=True condition";
            errors.push(Error::invalid(&completion, shown(completed), detail));
        }
        if completed.is_none() && complete {
            errors.push(Error::required(&completion, "completionTime is required for Complete jobs"));
        }
    }
    let changed = started != started_before || completed != completed_before;
    if changed && started.zip(completed).is_some_and(|(started, completed)| completed < started) {
        errors.push(Error::invalid(&completion, shown(completed), "must be equal to or after `startTime`"));
    }
    if completed.is_some() && completed_before.is_some() && completed != completed_before {
        errors.push(Error::invalid(&completion, shown(completed), IMMUTABLE));
    }
    let suspended = job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
    let resuming = is_true(&old.conditions, "Suspended") && is_false(&new.conditions, "Suspended");
    if started_before.is_some() && started != started_before && !suspended && !resuming {
        let detail = "field is immutable for unsuspended job once set";
        errors.push(Error::invalid(&status.child("startTime"), shown(started), detail));
    }
}

fn finished(job: &Job, new: &JobStatus, old: &JobStatus, errors: &mut Errors) {
    let at = Path::new("status");
    if !ended(&new.conditions) {
        more_ready_than_active(new, old, errors);
        return;
    }
    let just = !ended(&old.conditions);
    if new.active > 0 && (just || new.active != old.active) {
        errors.push(Error::invalid(&at.child("active"), new.active, "active>0 is invalid for finished job"));
    }
    let started = time::opt(&new.start_time);
    let spec = job.spec.clone().unwrap_or_default();
    // Never started: suspended with nothing to do, or failed by a dependency before its first Pod.
    let may_lack_start =
        spec.suspend == Some(true) && spec.completions == Some(0) || !crate::dependency::of(job).is_empty();
    if started.is_none() && (just || started != time::opt(&old.start_time)) && !may_lack_start {
        errors.push(Error::required(&at.child("startTime"), "startTime is required for finished job"));
    }
    let uncounted = new.uncounted_terminated_pods.clone().unwrap_or_default();
    let any = !uncounted.succeeded.is_empty() || !uncounted.failed.is_empty();
    if any && (just || new.uncounted_terminated_pods != old.uncounted_terminated_pods) {
        let at = at.child("uncountedTerminatedPods");
        errors.push(Error::invalid(&at, Json::of(&uncounted), "must be empty for finished job"));
    }
    if let Some(count) = new.terminating.filter(|count| *count > 0 && (just || new.terminating != old.terminating)) {
        let detail = "terminating>0 is invalid for finished job";
        errors.push(Error::invalid(&at.child("terminating"), count, detail));
    }
    more_ready_than_active(new, old, errors);
}

fn more_ready_than_active(new: &JobStatus, old: &JobStatus, errors: &mut Errors) {
    let changed = new.ready != old.ready || new.active != old.active;
    if let Some(ready) = new.ready.filter(|ready| changed && *ready > new.active) {
        let at = Path::new("status.ready");
        errors.push(Error::invalid(&at, ready, "cannot set more ready pods than active"));
    }
}

fn indexes(job: &Job, new: &JobStatus, old: &JobStatus, errors: &mut Errors) {
    let spec = job.spec.clone().unwrap_or_default();
    let status = Path::new("status");
    let (completed_at, failed_at) = (status.child("completedIndexes"), status.child("failedIndexes"));
    let completed_changed = new.completed_indexes != old.completed_indexes;
    let failed_changed = new.failed_indexes != old.failed_indexes;
    let parse = |text: &str| spec.completions.map(|completions| parse_indexes(text, completions));
    let completed = parse(&new.completed_indexes);
    let failed = new.failed_indexes.as_deref().and_then(parse);
    if let (true, Some(Err(problem))) = (completed_changed, &completed) {
        let detail = format!("error parsing completedIndexes: {problem}");
        errors.push(Error::invalid(&completed_at, &new.completed_indexes, &detail));
    }
    if let (true, true, Some(Err(problem))) = (failed_changed, spec.backoff_limit_per_index.is_some(), &failed) {
        let detail = format!("error parsing failedIndexes: {problem}");
        errors.push(Error::invalid(&failed_at, &new.failed_indexes, &detail));
    }
    if completed_changed && !new.completed_indexes.is_empty() && !is_indexed(&spec) {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(Error::invalid(&completed_at, &new.completed_indexes, detail));
    }
    if failed_changed && spec.backoff_limit_per_index.is_none() && new.failed_indexes.is_some() {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(Error::invalid(&failed_at, &new.failed_indexes, detail));
    }
    if let (true, Some(Ok(completed)), Some(Ok(failed))) = (failed_changed || completed_changed, completed, failed) {
        let overlap = failed.iter().find_map(|failed| {
            let both = completed.iter().find(|done| failed.start() <= done.end() && done.start() <= failed.end());
            both.map(|done| *failed.start().max(done.start()))
        });
        if let Some(index) = overlap {
            let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
            errors.push(Error::invalid(&failed_at, &new.failed_indexes, &detail));
        }
    }
}

fn never_back(job: &Job, new: &JobStatus, old: &JobStatus, errors: &mut Errors) {
    let status = Path::new("status");
    let at = status.child("conditions");
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is_true(&old.conditions, kind) && !is_true(&new.conditions, kind) {
            let detail = format!("cannot disable the terminal {kind}=True condition");
            errors.push(Error::invalid(&at, Omitted, &detail));
        }
    }
    let met = |status: &JobStatus| is_true(&status.conditions, "SuccessCriteriaMet");
    if met(old) && !met(new) {
        errors.push(Error::invalid(&at, Omitted, "cannot disable the SuccessCriteriaMet=True condition"));
    }
    if is_true(&old.conditions, "Complete") && !met(old) && met(new) {
        let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(Error::invalid(&at, Omitted, detail));
    }
    if new.failed < old.failed {
        errors.push(Error::invalid(&status.child("failed"), new.failed, "cannot decrease the failed counter"));
    }
    let spec = job.spec.clone().unwrap_or_default();
    let may_shrink = is_indexed(&spec) && spec.completions == spec.parallelism;
    if new.succeeded < old.succeeded && !may_shrink {
        let detail = "cannot decrease the succeeded counter";
        errors.push(Error::invalid(&status.child("succeeded"), new.succeeded, detail));
    }
}
