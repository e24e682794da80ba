//! One turn of deciding: the status as it will be, and what has been decided so far.

use std::time::Duration;

use api::condition;
use api::dependency;
use api::meta::{self, Object};
use api::proto::batch_v1::{Job, JobSpec, JobStatus, UncountedTerminatedPods};
use api::time::to_time;
use client::commit::GROUP_OPS_MAX;

use super::census::Census;
use super::verdict::{self, Ending};
use super::{Mode, Snapshot, is_finished};
use crate::plan::{EventDraft, Plan, Write};

/// Writes of Pods in one group: the Job's own write is the one more.
const POD_WRITES_MAX: usize = GROUP_OPS_MAX - 1;

pub(super) struct Turn<'a> {
    pub snapshot: &'a Snapshot,
    pub spec: &'a JobSpec,
    pub census: Census<'a>,
    /// The status that will be written.
    pub status: JobStatus,
    /// Active Pods that this turn created, less those that it released.
    pub active_change: i32,
    finalizers: Vec<String>,
    writes: Vec<Write>,
    events: Vec<EventDraft>,
    requeue_after: Option<Duration>,
    why: Vec<String>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, spec: &'a JobSpec, census: Census<'a>) -> Self {
        Turn {
            spec,
            census,
            status: snapshot.job.status.clone().unwrap_or_default(),
            active_change: 0,
            finalizers: snapshot.job.meta().finalizers.clone(),
            writes: Vec::new(),
            events: Vec::new(),
            requeue_after: None,
            why: Vec::new(),
            snapshot,
        }
    }

    // What is known.

    pub(super) fn parent(&self, name: &str) -> Option<&'a Job> {
        self.snapshot.parents.get(name).map(|parent| &**parent)
    }

    /// Pods that succeeded, counted or not.
    pub(super) fn succeeded(&self) -> i32 {
        self.status.succeeded.saturating_add(count(self.census.succeeded.len()))
    }

    /// Pods that failed, counted or not.
    pub(super) fn failed(&self) -> i32 {
        self.status.failed.saturating_add(count(self.census.failed.len()))
    }

    pub(super) fn restart_policy(&self) -> &str {
        let pod = self.spec.template.as_ref().and_then(|template| template.spec.as_ref());
        pod.map_or("Never", |pod| pod.restart_policy.as_str())
    }

    /// The Job was suspended and is no longer.
    pub(super) fn resumes(&self) -> bool {
        self.spec.suspend != Some(true) && condition::is_true(&self.status.conditions, "Suspended")
    }

    /// The Job fails now: Pods that are being deleted need not be waited for to count.
    pub(super) fn fail_the_dying(&mut self) {
        let dying = std::mem::take(&mut self.census.dying);
        self.census.failed.extend(dying);
    }

    // What is decided.

    /// How many more Pods this group can write.
    pub(super) fn room(&self) -> usize {
        POD_WRITES_MAX - self.writes.len()
    }

    /// Some Pod is written already.
    pub(super) fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Adds a write of a Pod; there must be room.
    pub(super) fn write(&mut self, write: Write) {
        debug_assert!(self.room() > 0, "the group is full");
        self.writes.push(write);
    }

    /// More is left to do than this group holds.
    pub(super) fn more(&mut self) {
        self.look_again(Duration::ZERO);
    }

    /// Looks again after `delay` at the latest.
    pub(super) fn look_again(&mut self, delay: Duration) {
        self.requeue_after = Some(self.requeue_after.map_or(delay, |earlier| earlier.min(delay)));
    }

    pub(super) fn why(&mut self, why: impl Into<String>) {
        self.why.push(why.into());
    }

    pub(super) fn normal(&mut self, reason: &str, message: &str) {
        self.events.push(EventDraft::normal(meta::object_reference(&*self.snapshot.job), reason, message));
    }

    pub(super) fn warning(&mut self, reason: &str, message: &str) {
        self.events.push(EventDraft::warning(meta::object_reference(&*self.snapshot.job), reason, message));
    }

    /// Sets a condition; tells whether that changed anything.
    pub(super) fn set_condition(&mut self, kind: &str, status: bool, reason: &str, message: &str) -> bool {
        let now = self.snapshot.now;
        condition::set(&mut self.status.conditions, condition::job(kind, status, reason, message, now), now)
    }

    /// A Job that others wait for is held until they have recorded its end; one that is finished or being deleted is not taken
    /// hold of anew.
    pub(super) fn dependents_finalizer(&mut self, hold: bool) {
        let finalizer = dependency::FINALIZER;
        let held = self.finalizers.iter().any(|have| have == finalizer);
        let job = &self.snapshot.job;
        let unfinished_end = job.is_deleting() && !is_finished(job);
        if held && (!self.snapshot.waited_for || unfinished_end) {
            self.finalizers.retain(|have| have != finalizer);
            self.why("nobody waits for it any more");
        } else if !held && self.snapshot.waited_for && hold {
            self.finalizers.push(finalizer.to_owned());
            self.why("others wait for it");
        }
    }

    /// Starts, suspends or resumes the Job.
    pub(super) fn start(&mut self, mode: Mode) {
        let now = Some(to_time(self.snapshot.now));
        match mode {
            Mode::Suspended => {
                if self.set_condition("Suspended", true, "JobSuspended", "Job suspended") {
                    self.normal("Suspended", "Job suspended");
                }
                self.status.start_time = None;
                return;
            }
            // A Job that fails while it waits has started with its end: a finished Job has a start.
            Mode::Waiting => {
                self.resume();
                return;
            }
            Mode::Running if self.resume() => self.status.start_time = now,
            Mode::Running | Mode::Ending(_) if self.status.start_time.is_none() => self.status.start_time = now,
            Mode::Running | Mode::Ending(_) => return,
        }
        if let Some(deadline) = verdict::deadline(self).filter(|_| mode == Mode::Running) {
            self.look_again(deadline);
        }
    }

    fn resume(&mut self) -> bool {
        let resumes = self.resumes();
        if resumes {
            self.set_condition("Suspended", false, "JobResumed", "Job resumed");
            self.normal("Resumed", "Job resumed");
        }
        resumes
    }

    /// Writes the counters, ends the Job if nothing of it is left, and makes the Plan.
    pub(super) fn finish(mut self, mode: Mode) -> Plan {
        self.count_pods();
        if let Mode::Ending(ending) = mode {
            self.end(ending);
        }
        let why = match mode {
            Mode::Waiting => "waits for other Jobs",
            Mode::Suspended => "suspended",
            Mode::Running => "running",
            Mode::Ending(Ending::Success) => "succeeding",
            Mode::Ending(Ending::Failure) => "failing",
        };
        self.plan(why)
    }

    fn count_pods(&mut self) {
        let active = count(self.census.active.len()).saturating_add(self.active_change);
        let ready = count(self.census.active.iter().filter(|pod| pod.ready).count());
        self.status.active = active;
        self.status.ready = Some(ready.min(active));
        self.status.terminating = Some(count(self.census.terminating));
        self.status.uncounted_terminated_pods = Some(UncountedTerminatedPods::default());
    }

    fn end(&mut self, ending: Ending) {
        let uncounted = self.census.succeeded.len() + self.census.failed.len() + self.census.dying.len();
        // Also those that were released just now: they still run.
        if !self.census.active.is_empty() || uncounted > 0 || self.census.leaving() > 0 {
            self.why("its last Pods are still there");
            return;
        }
        let (reason, message) = verdict::cause(self, ending);
        self.set_condition(ending.terminal(), true, &reason, &message);
        match ending {
            Ending::Success => {
                self.status.completion_time = Some(to_time(self.snapshot.now));
                self.normal("Completed", "Job completed");
            }
            Ending::Failure => self.warning(&reason, &message),
        }
    }

    /// The Plan: the Job's own write first, if anything changes at all.
    pub(super) fn plan(mut self, why: &str) -> Plan {
        self.why.insert(0, why.to_owned());
        let before = &*self.snapshot.job;
        let unchanged = before.status.as_ref() == Some(&self.status)
            || before.status.is_none() && self.status == JobStatus::default();
        let mut writes = Vec::new();
        if !unchanged || self.finalizers != before.meta().finalizers || !self.writes.is_empty() {
            let mut job = before.clone();
            meta_of(&mut job).finalizers = self.finalizers;
            job.status = Some(self.status);
            writes.push(Write::update_status(job));
            writes.append(&mut self.writes);
        }
        Plan {
            writes,
            preconditions: Vec::new(),
            events: self.events,
            requeue_after: self.requeue_after,
            why: self.why.join("; "),
        }
    }
}

fn meta_of(job: &mut Job) -> &mut api::proto::meta_v1::ObjectMeta {
    job.metadata.get_or_insert_default()
}

fn count(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}
