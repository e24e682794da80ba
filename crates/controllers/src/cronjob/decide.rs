//! What follows from a CronJob, its Jobs and the time; pure.

use std::sync::Arc;

use api::meta::Object;
use api::proto::batch_v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use api::proto::core_v1::ObjectReference;
use api::proto::meta_v1::{DeleteOptions, Preconditions};
use api::schedule::Schedule;
use api::time;
use chrono::{DateTime, TimeDelta, Utc};

use super::due::{self, Due};
use super::{history, template};
use crate::plan::{EventDraft, Plan, Write, reference};

/// Jobs that go in one group; what is left goes in the next.
const DELETES_MAX: usize = 60;

/// All that a decision rests on.
pub struct Snapshot {
    pub cron_job: Arc<CronJob>,
    /// The Jobs that name it as an owner.
    pub jobs: Vec<Arc<Job>>,
    pub now: DateTime<Utc>,
    /// A fresh uid, for a Job that may be started.
    pub uid: String,
}

/// First the books (which Jobs run, ended, are gone), then the history, then the start that is due.
pub fn decide(snapshot: &Snapshot) -> Plan {
    let mut decision = Decision::new(snapshot);
    decision.settle_active();
    if snapshot.cron_job.is_deleting() {
        return decision.finish("it is being deleted");
    }
    decision.clear_history();
    let why = decision.start();
    decision.finish(why)
}

struct Decision<'s> {
    snapshot: &'s Snapshot,
    spec: CronJobSpec,
    status: CronJobStatus,
    plan: Plan,
    deletes: usize,
}

impl<'s> Decision<'s> {
    fn new(snapshot: &'s Snapshot) -> Self {
        let spec = snapshot.cron_job.spec.clone().unwrap_or_default();
        let status = snapshot.cron_job.status.clone().unwrap_or_default();
        Self { snapshot, spec, status, plan: Plan::default(), deletes: 0 }
    }

    /// Takes from `status.active` what has ended or is gone, and notes the last success.
    fn settle_active(&mut self) {
        let jobs: Vec<Arc<Job>> = self.owned().cloned().collect();
        for job in &jobs {
            let listed = self.status.active.iter().position(|active| active.name == job.name());
            match (listed, history::finished(job)) {
                (Some(index), Some(ended)) => {
                    self.status.active.remove(index);
                    let message = format!("Saw completed job: {}, condition: {ended}", job.name());
                    self.tell("SawCompletedJob", message);
                }
                // The uid was a proposal.
                (Some(index), None) => job.uid().clone_into(&mut self.status.active[index].uid),
                (None, None) if !job.is_deleting() => {
                    let message = format!("Saw a job that the controller did not create or forgot: {}", job.name());
                    self.warn("UnexpectedJob", message);
                }
                (None, _) => {}
            }
            self.note_success(job);
        }
        let (there, gone) = std::mem::take(&mut self.status.active)
            .into_iter()
            .partition(|active| jobs.iter().any(|job| job.name() == active.name));
        self.status.active = there;
        let gone: Vec<ObjectReference> = gone;
        for missing in gone {
            self.tell("MissingJob", format!("Active job went missing: {}", missing.name));
        }
    }

    fn note_success(&mut self, job: &Job) {
        if history::finished(job) != Some("Complete") {
            return;
        }
        let completed = job.status.as_ref().and_then(|status| time::opt(&status.completion_time));
        if completed > time::opt(&self.status.last_successful_time) {
            self.status.last_successful_time = completed.map(time::to_time);
        }
    }

    fn clear_history(&mut self) {
        let jobs: Vec<Arc<Job>> = self.owned().cloned().collect();
        let limits = (self.spec.successful_jobs_history_limit, self.spec.failed_jobs_history_limit);
        for job in history::expired(&jobs, limits.0, limits.1) {
            self.delete(job.name(), job.uid());
        }
    }

    /// Starts what is due; answers why it did or didn't.
    fn start(&mut self) -> &'static str {
        if self.spec.suspend == Some(true) {
            return "suspended";
        }
        let zone_name = self.spec.time_zone.clone();
        let zone = match api::schedule::zone(zone_name.as_deref()) {
            Ok(zone) => zone,
            Err(error) => {
                let name = zone_name.unwrap_or_default();
                self.warn("UnknownTimeZone", format!("invalid timeZone: {name:?}: {error}"));
                return "unknown time zone";
            }
        };
        let schedule = match Schedule::parse(&self.spec.schedule, zone_name.as_deref()) {
            Ok(schedule) => schedule,
            Err(error) => {
                let text = self.spec.schedule.clone();
                self.warn("UnparseableSchedule", format!("unparseable schedule: {text:?} : {error}"));
                return "unparseable schedule";
            }
        };
        let now = self.snapshot.now;
        let since = time::opt(&self.status.last_schedule_time).or_else(|| self.snapshot.cron_job.created_at());
        let Due { at, too_late, missed_many, next } =
            due::due(&schedule, since.unwrap_or(now), self.spec.starting_deadline_seconds, now);
        self.plan.requeue_after = next.map(|next| until(now, next));
        if missed_many {
            self.warn(
                "TooManyMissedTimes",
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
            );
        }
        if let Some(missed) = too_late {
            let message = format!("Missed scheduled time to start a job: {}", time::rfc1123z(missed));
            self.warn("MissSchedule", message);
            return "the start is too late";
        }
        let Some(scheduled) = at else { return "waits for the next time" };
        self.start_at(scheduled, zone)
    }

    fn start_at(&mut self, scheduled: DateTime<Utc>, zone: chrono_tz::Tz) -> &'static str {
        let name = template::job_name(&self.snapshot.cron_job, scheduled);
        if let Some(job) = self.owned().find(|job| job.name() == name).cloned() {
            // Only a status that somebody has wiped says that a Job which is there wasn't started.
            self.status.last_schedule_time = Some(time::to_time(scheduled));
            if history::finished(&job).is_none() && !self.status.active.iter().any(|active| active.name == name) {
                self.status.active.push(reference(job.as_ref()));
            }
            return "the Job is there already";
        }
        match self.spec.concurrency_policy.as_str() {
            "Forbid" if !self.status.active.is_empty() => {
                self.tell(
                    "JobAlreadyActive",
                    "Not starting job because prior execution is running and concurrency policy is Forbid",
                );
                return "the Job before is still running";
            }
            "Replace" => {
                while let Some(active) = self.status.active.first().cloned() {
                    if !self.delete(&active.name, &active.uid) {
                        return "replaces the Jobs before, part by part";
                    }
                    self.status.active.remove(0);
                }
            }
            _ => {}
        }
        let job = template::job(&self.snapshot.cron_job, scheduled, zone, &self.snapshot.uid);
        self.status.active.push(reference(&job));
        self.status.last_schedule_time = Some(time::to_time(scheduled));
        self.plan.writes.push(Write::create(job));
        self.tell("SuccessfulCreate", format!("Created job {name}"));
        "starts"
    }

    /// False: the group is full; the rest goes in the next one, at once.
    fn delete(&mut self, name: &str, uid: &str) -> bool {
        if self.deletes == DELETES_MAX {
            self.plan.requeue_after = Some(std::time::Duration::ZERO);
            return false;
        }
        self.deletes += 1;
        let options = DeleteOptions {
            propagation_policy: Some("Background".to_owned()),
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..Default::default()
        };
        self.plan.writes.push(Write::delete::<Job>(self.snapshot.cron_job.namespace(), name, options));
        self.tell("SuccessfulDelete", format!("Deleted job {name}"));
        true
    }

    /// The root is written with anything that is, under the resourceVersion that was seen.
    fn finish(self, why: &str) -> Plan {
        let Self { snapshot, status, mut plan, deletes, .. } = self;
        why.clone_into(&mut plan.why);
        if deletes == DELETES_MAX {
            plan.requeue_after = Some(std::time::Duration::ZERO);
        }
        let changed = snapshot.cron_job.status.clone().unwrap_or_default() != status;
        if changed || !plan.writes.is_empty() {
            let mut cron_job = snapshot.cron_job.as_ref().clone();
            cron_job.status = Some(status);
            plan.writes.insert(0, Write::update_status(cron_job));
        }
        plan
    }

    /// The Jobs that it manages, not those that merely name it.
    fn owned(&self) -> impl Iterator<Item = &'s Arc<Job>> + use<'s> {
        let uid = self.snapshot.cron_job.uid();
        self.snapshot.jobs.iter().filter(move |job| job.controller().is_some_and(|owner| owner.uid == uid))
    }

    fn tell(&mut self, reason: &str, message: impl Into<String>) {
        let object = reference(self.snapshot.cron_job.as_ref());
        self.plan.events.push(EventDraft::normal(object, reason, message));
    }

    fn warn(&mut self, reason: &str, message: impl Into<String>) {
        let object = reference(self.snapshot.cron_job.as_ref());
        self.plan.events.push(EventDraft::warning(object, reason, message));
    }
}

fn until(now: DateTime<Utc>, next: DateTime<Utc>) -> std::time::Duration {
    // Never zero: a timer that fires early would be asked again at once, and forever within that millisecond.
    (next - now).max(TimeDelta::milliseconds(1)).to_std().unwrap_or_default()
}
