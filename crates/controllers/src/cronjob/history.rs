//! Which finished Jobs a CronJob keeps.

use std::sync::Arc;

use api::condition;
use api::meta::Object;
use api::proto::batch_v1::Job;
use api::time;

/// How a Job ended; `None`: it hasn't.
pub fn finished(job: &Job) -> Option<&'static str> {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    ["Complete", "Failed"].into_iter().find(|kind| condition::is_true(conditions, kind))
}

/// The finished Jobs beyond the limits, oldest start first. No limit: all are kept.
pub fn expired(jobs: &[Arc<Job>], successful_limit: Option<i32>, failed_limit: Option<i32>) -> Vec<Arc<Job>> {
    let mut expired = beyond(jobs, "Complete", successful_limit);
    expired.extend(beyond(jobs, "Failed", failed_limit));
    expired
}

fn beyond(jobs: &[Arc<Job>], ended: &str, limit: Option<i32>) -> Vec<Arc<Job>> {
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return Vec::new() };
    let mut kept: Vec<&Arc<Job>> =
        jobs.iter().filter(|job| finished(job) == Some(ended) && !job.is_deleting()).collect();
    // Never started counts as newest; equal starts go by name.
    kept.sort_by_key(|job| {
        let started = job.status.as_ref().and_then(|status| time::opt(&status.start_time));
        (started.is_none(), started, job.name().to_owned())
    });
    let surplus = kept.len().saturating_sub(limit);
    kept.into_iter().take(surplus).cloned().collect()
}
