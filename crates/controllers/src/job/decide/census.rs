//! The Pods of a Job, each in exactly one bucket.
//!
//! ```text
//!                    tracked (not counted yet)                          released
//!  Succeeded         succeeded                                          (counted: of no more interest)
//!  Failed            failed                                             (the same)
//!  runs              active                                             stray: to be deleted
//!  being deleted     failed, or dying where only ended Pods count       dying
//! ```

use std::sync::Arc;

use api::time::Instant;

use crate::pod_view::{Phase, PodView};

#[derive(Default)]
pub(super) struct Census<'a> {
    /// To be counted as succeeded.
    pub succeeded: Vec<&'a PodView>,
    /// To be counted as failed.
    pub failed: Vec<&'a PodView>,
    pub active: Vec<&'a PodView>,
    /// Released while they ran: to be deleted.
    pub strays: Vec<&'a PodView>,
    /// Being deleted, and not ended: tracked or not.
    pub terminating: usize,
    /// Of `terminating`, those that hold the Job until they have ended.
    pub dying: Vec<&'a PodView>,
    /// Failed Pods (not those that somebody deleted) that ended after the last success.
    pub failures_since_success: usize,
    /// When the last of those ended.
    pub last_failure: Option<Instant>,
}

impl<'a> Census<'a> {
    /// `only_ended_fail`: a Pod that is being deleted has not failed before it has ended. `failing`: the Job has failed, and every
    /// Pod that has not ended with it.
    pub(super) fn of(pods: &'a [Arc<PodView>], only_ended_fail: bool, failing: bool) -> Census<'a> {
        let mut census = Census::default();
        for pod in pods {
            census.place(pod, only_ended_fail && !failing);
        }
        census.look_back(pods);
        census
    }

    fn place(&mut self, pod: &'a PodView, only_ended_fail: bool) {
        let dying = pod.deletion.is_some() && !pod.is_terminal();
        if dying {
            self.terminating += 1;
        }
        match (pod.is_tracked(), pod.phase) {
            (true, Phase::Succeeded) => self.succeeded.push(pod),
            (true, Phase::Failed) => self.failed.push(pod),
            (true, _) if dying && only_ended_fail => self.dying.push(pod),
            (true, _) if dying => self.failed.push(pod),
            (true, _) => self.active.push(pod),
            (false, _) if pod.is_terminal() || dying => {}
            (false, _) => self.strays.push(pod),
        }
    }

    fn look_back(&mut self, pods: &[Arc<PodView>]) {
        let failed = |pod: &&Arc<PodView>| pod.phase == Phase::Failed && pod.deletion.is_none();
        if !pods.iter().any(|pod| failed(&pod)) {
            return;
        }
        let end = |pod: &Arc<PodView>| pod.finished.or(pod.created);
        let success = pods.iter().filter(|pod| pod.phase == Phase::Succeeded).filter_map(end).max();
        for end in pods.iter().filter(failed).filter_map(end).filter(|end| success.is_none_or(|success| *end > success))
        {
            self.failures_since_success += 1;
            self.last_failure = self.last_failure.max(Some(end));
        }
    }

    /// Pods that still exist and have not ended, active ones aside.
    pub(super) fn leaving(&self) -> usize {
        self.terminating + self.strays.len()
    }
}
