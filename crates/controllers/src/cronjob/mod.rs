//! CronJobs: start a Job at each time of a schedule.
//!
//! ```text
//!  CronJob, its Jobs, now --observe--> Snapshot --decide--> one group: status of the CronJob
//!                                                                     + the Job that is due
//!                                                                     + Jobs that go (Replace, history)
//!                                                           and when to look again: the next time of the schedule
//! ```
//!
//! A firing and the Job that it creates are one atomic group under the CronJob's resourceVersion: never lost, never
//! doubled, also over a change of leader. The Job's name comes from the scheduled minute, so even a CronJob whose status
//! was wiped can't start the same minute twice. Nothing polls: a key sleeps in the queue until its next time.

mod decide;
mod due;
mod history;
mod template;

use std::sync::Arc;

use api::meta::{self, Object};
use api::proto::batch_v1::{CronJob, Job};
use api::proto::meta_v1::Status;
use chrono::{DateTime, Utc};
use client::WorkQueue;
use client::informer::Change;

use crate::driver::Controller;
use crate::footing::Footing;
use crate::informers::{Informers, OWNER};
use crate::plan::{EventDraft, Plan, reference};

pub use decide::{Snapshot, decide};

pub struct CronJobs {
    informers: Arc<Informers>,
}

impl CronJobs {
    /// A CronJob is looked at when it or one of its Jobs changes.
    pub fn start(informers: &Arc<Informers>, queue: WorkQueue<String>) -> Self {
        let wake = queue.clone();
        informers.cron_jobs.on_change(move |change: &Change<CronJob>| wake.add(change.key.to_string()));
        informers.jobs.on_change(move |change: &Change<Job>| {
            // Both sides: an owner may be gained or lost by a change.
            let keys = change.old.iter().chain(&change.new).filter_map(|job| owner_key(job));
            keys.for_each(|key| queue.add(key));
        });
        Self { informers: Arc::clone(informers) }
    }
}

impl Controller for CronJobs {
    fn name(&self) -> &'static str {
        "cronjob"
    }

    fn plan(&self, key: &str, now: DateTime<Utc>) -> Plan {
        let Some(cron_job) = self.informers.cron_jobs.get_key(key) else { return Plan::nothing("it is gone") };
        let jobs = self.informers.jobs.by_index(OWNER, cron_job.uid());
        let uid = uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string();
        decide(&Snapshot { cron_job, jobs, now, uid })
    }

    fn footing(&self, key: &str) -> Option<Footing> {
        let cron_job = self.informers.cron_jobs.get_key(key)?;
        Some(Footing::in_doubt(cron_job.meta(), &["jobs"]))
    }

    fn refused(&self, key: &str, plan: &Plan, status: &Status, failed: Option<usize>) -> Vec<EventDraft> {
        let creating = failed.and_then(|index| plan.writes.get(index)).is_some_and(|write| write.kind().kind == "Job");
        match self.informers.cron_jobs.get_key(key) {
            Some(cron_job) if creating => {
                let message = format!("Error creating job: {}", status.message);
                vec![EventDraft::warning(reference(cron_job.as_ref()), "FailedCreate", message)]
            }
            _ => Vec::new(),
        }
    }
}

fn owner_key(job: &Job) -> Option<String> {
    let owner = job.controller().filter(|owner| owner.kind == "CronJob")?;
    Some(meta::key_of(job.namespace(), &owner.name))
}

#[cfg(test)]
mod decide_tests;
