//! Jobs: NAME STATUS COMPLETIONS DURATION AGE.

use api::time::Instant;
use proto::batch_v1::Job;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, column, format, wide};

pub const COLUMNS: &[Column] = &[
    NAME,
    column("Status", "string", "Whether the Job runs, waits or has ended, and how."),
    column("Completions", "string", "Pods that succeeded, of those that are wanted."),
    column("Duration", "string", "Time from the start to the completion, or until now."),
    AGE,
    wide("Containers", "Names of the template's containers."),
    wide("Images", "Images of the template's containers."),
    wide("Selector", "The label selector of the Job's Pods."),
];

pub fn cells(job: &Job, now: Instant) -> Vec<Value> {
    let template = job.spec.as_ref().and_then(|s| s.template.as_ref()).and_then(|t| t.spec.as_ref());
    let (names, images) = template.map(|t| format::containers(&t.containers)).unwrap_or_default();
    let selector = job.spec.as_ref().and_then(|spec| spec.selector.clone());
    vec![
        format::name(&job.metadata),
        json!(status(job)),
        json!(completions(job)),
        json!(duration(job, now)),
        format::age(&job.metadata, now),
        json!(names),
        json!(images),
        json!(format::selector(&selector)),
    ]
}

fn holds(job: &Job, condition: &str) -> bool {
    job.status.as_ref().is_some_and(|s| s.conditions.iter().any(|c| c.r#type == condition && c.status == "True"))
}

fn status(job: &Job) -> &'static str {
    match () {
        () if holds(job, "Complete") => "Complete",
        () if holds(job, "Failed") => "Failed",
        () if format::deleting(&job.metadata) => "Terminating",
        () if holds(job, "Suspended") => "Suspended",
        () if holds(job, "FailureTarget") => "FailureTarget",
        () if holds(job, "SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(job: &Job) -> String {
    let succeeded = job.status.as_ref().map_or(0, |status| status.succeeded);
    let (wanted, parallelism) =
        job.spec.as_ref().map_or((None, 0), |spec| (spec.completions, spec.parallelism.unwrap_or(0)));
    match wanted {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn duration(job: &Job, now: Instant) -> String {
    let Some(status) = &job.status else { return String::new() };
    let Some(start) = api::time::opt(&status.start_time) else { return String::new() };
    let end = api::time::opt(&status.completion_time).unwrap_or(now);
    api::duration::human(end - start)
}
