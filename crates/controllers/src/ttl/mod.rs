//! Deletes Jobs `ttlSecondsAfterFinished` after they ended.

use std::sync::Arc;

use api::condition;
use api::meta::Object;
use api::proto::batch_v1::Job;
use api::proto::meta_v1::{DeleteOptions, Preconditions};
use api::time;
use chrono::{DateTime, TimeDelta, Utc};
use client::WorkQueue;
use client::informer::Change;

use crate::driver::Controller;
use crate::informers::Informers;
use crate::plan::{Plan, Write};

pub struct Ttl {
    informers: Arc<Informers>,
}

impl Ttl {
    /// A Job is looked at when it changes and has a TTL.
    pub fn start(informers: &Arc<Informers>, queue: WorkQueue<String>) -> Self {
        informers.jobs.on_change(move |change: &Change<Job>| {
            if change.new.as_ref().is_some_and(|job| ttl(job).is_some()) {
                queue.add(change.key.to_string());
            }
        });
        Self { informers: Arc::clone(informers) }
    }
}

impl Controller for Ttl {
    fn name(&self) -> &'static str {
        "ttl"
    }

    fn plan(&self, key: &str, now: DateTime<Utc>) -> Plan {
        match self.informers.jobs.get_key(key) {
            Some(job) => decide(&job, now),
            None => Plan::nothing("it is gone"),
        }
    }
}

/// Deletes the Job when its time has come, in the foreground as Kubernetes does; else says when that is.
pub fn decide(job: &Job, now: DateTime<Utc>) -> Plan {
    let Some(ttl) = ttl(job) else { return Plan::nothing("it has no TTL") };
    if job.is_deleting() {
        return Plan::nothing("it is being deleted");
    }
    let Some(finished) = finished_at(job) else { return Plan::nothing("it has not ended") };
    let expiry = finished.checked_add_signed(ttl).unwrap_or(DateTime::<Utc>::MAX_UTC);
    if expiry > now {
        let requeue_after = (expiry - now).to_std().ok();
        return Plan { requeue_after, ..Plan::nothing("its time has not come") };
    }
    // Under the resourceVersion that was seen: a TTL that has been raised meanwhile is respected.
    let preconditions =
        Preconditions { uid: Some(job.uid().to_owned()), resource_version: Some(job.resource_version().to_owned()) };
    let options = DeleteOptions {
        propagation_policy: Some("Foreground".to_owned()),
        preconditions: Some(preconditions),
        ..Default::default()
    };
    let writes = vec![Write::delete::<Job>(job.namespace(), job.name(), options)];
    Plan { writes, ..Plan::nothing("its time is over") }
}

fn ttl(job: &Job) -> Option<TimeDelta> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    TimeDelta::try_seconds(i64::from(seconds))
}

fn finished_at(job: &Job) -> Option<DateTime<Utc>> {
    let conditions = &job.status.as_ref()?.conditions;
    let ended = ["Complete", "Failed"].into_iter().filter_map(|kind| condition::find(conditions, kind));
    ended
        .filter(|condition| condition.status == "True")
        .find_map(|condition| time::opt(&condition.last_transition_time))
}

#[cfg(test)]
mod tests {
    use api::proto::batch_v1::{JobSpec, JobStatus};
    use api::proto::meta_v1::ObjectMeta;
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn job(ttl: Option<i32>, ended: Option<DateTime<Utc>>) -> Job {
        let conditions = ended.map(|at| condition::job("Complete", true, "", "", at)).into_iter().collect();
        Job {
            metadata: Some(ObjectMeta { name: "j".into(), uid: "u".into(), ..Default::default() }),
            spec: Some(JobSpec { ttl_seconds_after_finished: ttl, ..Default::default() }),
            status: Some(JobStatus { conditions, ..Default::default() }),
        }
    }

    #[test]
    fn a_job_goes_when_its_time_is_over_and_not_before() {
        for (ttl, ended, now, deletes, again) in [
            (None, Some(at(0)), at(1_000), false, None),
            (Some(10), None, at(1_000), false, None),
            (Some(10), Some(at(0)), at(4), false, Some(Duration::from_secs(6))),
            (Some(10), Some(at(0)), at(10), true, None),
            (Some(0), Some(at(0)), at(0), true, None),
        ] {
            let plan = decide(&job(ttl, ended), now);
            assert_eq!((!plan.writes.is_empty(), plan.requeue_after), (deletes, again), "{ttl:?} {ended:?} {now}");
        }
    }

    #[test]
    fn a_job_that_is_being_deleted_is_left_alone() {
        let mut job = job(Some(0), Some(at(0)));
        job.metadata.as_mut().unwrap().deletion_timestamp = Some(time::to_time(at(1)));
        assert!(decide(&job, at(100)).writes.is_empty());
    }
}
