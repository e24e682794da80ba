//! The Job controller: observe, decide, and the driver acts (design D3).
//!
//! ```text
//!  informers (Jobs, Pods) --> observe: Snapshot --> decide: Plan --> driver: one group of a Commit --> informers
//! ```

pub mod decide;
mod observe;
mod template;

use std::collections::HashSet;
use std::sync::Arc;

use api::meta::{self, Object};
use api::proto::meta_v1::Status;
use api::time::Instant;
use client::{EventDraft, WorkQueue};
use parking_lot::Mutex;

pub use decide::{Snapshot, decide, is_finished};
pub use observe::{JOBS_BY_PARENT, PODS_BY_JOB, jobs_by_parent, pods_by_job};

use crate::driver::Controller;
use crate::footing::Footing;
use crate::informers::Informers;
use crate::plan::Plan;
use observe::{Moment, Observed};

/// Runs Jobs to their end.
pub struct JobController {
    informers: Arc<Informers>,
    /// The keys whose last group was refused for a new Pod in it; each stays for one look.
    create_refused: Mutex<HashSet<String>>,
}

impl JobController {
    /// Puts into `queue` the Jobs that there are, and from now on those that change or whose Pods do.
    pub fn start(informers: &Arc<Informers>, queue: WorkQueue<String>) -> Self {
        observe::enqueue_changes(&informers.jobs, &informers.pods, &queue);
        JobController { informers: informers.clone(), create_refused: Mutex::default() }
    }
}

impl Controller for JobController {
    fn name(&self) -> &'static str {
        "job"
    }

    fn plan(&self, key: &str, now: Instant) -> Plan {
        let Informers { jobs, pods, .. } = &*self.informers;
        let create_refused = self.create_refused.lock().remove(key);
        let moment = Moment { now, seed: rand::random(), create_refused };
        match observe::observe(jobs, pods, key, moment) {
            Observed::Job(snapshot) => decide(&snapshot),
            Observed::Orphans(orphans) => observe::release_orphans(&orphans),
            Observed::Nothing => Plan::nothing("there is no such Job"),
        }
    }

    fn footing(&self, key: &str) -> Option<Footing> {
        let job = self.informers.jobs.get_key(key)?;
        Some(Footing::in_doubt(job.meta(), &["pods"]))
    }

    fn refused(&self, key: &str, plan: &Plan, status: &Status, failed: Option<usize>) -> Vec<EventDraft> {
        let Some(job) = self.informers.jobs.get_key(key) else { return Vec::new() };
        let creating = failed.and_then(|failed| plan.writes.get(failed)).is_some_and(|write| write.is_create());
        if creating {
            self.create_refused.lock().insert(key.to_owned());
        }
        let (reason, doing) = if creating { ("FailedCreate", "creating") } else { ("FailedUpdate", "updating") };
        let message = format!("Error {doing}: {}", status.message);
        vec![EventDraft::warning(meta::object_reference(&*job), reason, message)]
    }
}
