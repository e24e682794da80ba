//! From the informers to a [`Snapshot`], and from their changes to the keys of Jobs to look at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::dependency;
use api::meta::{self, Object};
use api::proto::batch_v1::Job;
use api::proto::core_v1::Pod;
use api::time::Instant;
use client::commit::GROUP_OPS_MAX;
use client::informer::Change;
use client::{Informer, WorkQueue};

use super::decide::{self, Snapshot, dependencies};
use crate::plan::{Plan, Write};
use crate::pod_view::{JOB_TRACKING, PodView};

/// The index of Pods by the key of the Job that manages them.
pub const PODS_BY_JOB: &str = "job";
/// The index of Jobs by the keys of the Jobs that they depend on.
pub const JOBS_BY_PARENT: &str = "parent";

/// What happens to Pods is looked at no more often than this, in batches; Kubernetes gathers for a second.
const POD_PACE: Duration = Duration::from_millis(30);

/// Stands for the name of a Job in the keys of Pods that are held for none; no Job can have it.
const NO_JOB: &str = ":none";

/// The values of [`PODS_BY_JOB`]. A Pod that is held to be counted, and that no Job manages (its Job was deleted and orphaned
/// it), belongs to a key of its own: one for each namespace.
pub fn pods_by_job(pod: &PodView) -> Vec<String> {
    let unmanaged = || pod.is_tracked().then(|| meta::key_of(&pod.namespace, NO_JOB));
    pod.job_key().or_else(unmanaged).into_iter().collect()
}

/// The values of [`JOBS_BY_PARENT`].
pub fn jobs_by_parent(job: &Job) -> Vec<String> {
    dependency::of(job).iter().map(|dependency| meta::key_of(job.namespace(), &dependency.name)).collect()
}

/// What one look can see.
pub(super) enum Observed {
    /// The Job and all that belongs to it.
    Job(Snapshot),
    /// Pods that are still held for a Job that is gone.
    Orphans(Vec<Arc<PodView>>),
    Nothing,
}

/// What a look depends on beside the objects.
pub(super) struct Moment {
    pub now: Instant,
    pub seed: u64,
    pub create_refused: bool,
}

pub(super) fn observe(jobs: &Informer<Job>, pods: &Informer<PodView>, key: &str, moment: Moment) -> Observed {
    let job = jobs.get_key(key);
    let uid = job.as_deref().map_or("", |job| job.uid());
    let (mut own, mut orphans) = (Vec::new(), Vec::new());
    pods.visit_index(PODS_BY_JOB, key, |pod| {
        if !uid.is_empty() && pod.controller().is_some_and(|owner| owner.uid == uid) {
            own.push(pod.clone());
        } else if pod.is_tracked() {
            orphans.push(pod.clone());
        }
    });
    if !orphans.is_empty() {
        return Observed::Orphans(orphans);
    }
    let Some(job) = job else { return Observed::Nothing };
    let parent = |name: &str| jobs.get(job.namespace(), name).map(|parent| (name.to_owned(), parent));
    let parents: BTreeMap<_, _> = dependency::of(&job).iter().filter_map(|on| parent(&on.name)).collect();
    let mut waited_for = false;
    jobs.visit_index(JOBS_BY_PARENT, key, |other| waited_for |= dependencies::awaits(other, job.name(), &job));
    let Moment { now, seed, create_refused } = moment;
    Observed::Job(Snapshot { now, seed, job, pods: own, parents, waited_for, create_refused })
}

/// Takes the finalizer from Pods whose Job is gone; nobody will count them.
pub(super) fn release_orphans(orphans: &[Arc<PodView>]) -> Plan {
    let release = |pod: &Arc<PodView>| Write::release::<Pod>(&pod.seen(), &[JOB_TRACKING]);
    let more = orphans.len() > GROUP_OPS_MAX;
    Plan {
        writes: orphans.iter().take(GROUP_OPS_MAX).map(release).collect(),
        requeue_after: more.then_some(Duration::ZERO),
        why: "releases Pods of a Job that is gone".to_owned(),
        ..Default::default()
    }
}

/// Puts keys into the queue as Jobs and Pods change.
pub(super) fn enqueue_changes(jobs: &Informer<Job>, pods: &Informer<PodView>, queue: &WorkQueue<String>) {
    jobs.on_change({
        let (jobs, queue) = (jobs.clone(), queue.clone());
        move |change| job_changed(&jobs, &queue, change)
    });
    pods.on_change({
        let queue = queue.clone();
        move |change| pod_changed(&queue, change)
    });
}

fn job_changed(jobs: &Informer<Job>, queue: &WorkQueue<String>, change: &Change<Job>) {
    queue.add(change.key.to_string());
    let (old, new) = (change.old.as_deref(), change.new.as_deref());
    let ended = |job: Option<&Job>| job.is_some_and(decide::is_finished);
    let uid = |job: Option<&Job>| job.map(|job| job.uid().to_owned());
    if ended(old) != ended(new) || uid(old) != uid(new) {
        // Those that wait for this one.
        jobs.visit_index(JOBS_BY_PARENT, &change.key, |other| queue.add(other.key()));
    }
    let known = |job: Option<&Job>| job.and_then(|job| Some(job.status.as_ref()?.dependencies.clone()));
    if known(old) != known(new) || ended(old) != ended(new) || old.is_none() != new.is_none() {
        // Those that it waits for, and that may be held for it.
        let parents = [old, new].into_iter().flatten().flat_map(jobs_by_parent);
        parents.for_each(|parent| queue.add(parent));
    }
}

fn pod_changed(queue: &WorkQueue<String>, change: &Change<PodView>) {
    let (old, new) = (change.old.as_deref(), change.new.as_deref());
    let matters = |pod: &PodView| {
        (pod.phase, pod.ready, pod.deletion, pod.is_tracked(), pod.restarts, pod.failed_restarts, pods_by_job(pod))
    };
    if old.map(matters) == new.map(matters) {
        return;
    }
    let keys = [old, new].into_iter().flatten().flat_map(pods_by_job);
    keys.for_each(|key| queue.add_paced(key, POD_PACE));
}

#[cfg(test)]
mod tests {
    use api::proto::meta_v1::ObjectMeta;

    use super::*;

    fn pod(job: Option<&str>, finalizers: &[&str]) -> PodView {
        let reference = |name: &str| {
            let metadata = Some(ObjectMeta { name: name.into(), uid: "u".into(), ..Default::default() });
            meta::controller_reference(&Job { metadata, ..Default::default() })
        };
        let metadata = ObjectMeta {
            namespace: "ns".into(),
            name: "p".into(),
            owner_references: job.map(reference).into_iter().collect(),
            finalizers: finalizers.iter().map(|finalizer| (*finalizer).to_owned()).collect(),
            ..Default::default()
        };
        PodView::of(Pod { metadata: Some(metadata), ..Default::default() })
    }

    #[test]
    fn a_held_pod_without_a_job_has_a_key_too() {
        assert_eq!(pods_by_job(&pod(Some("pi"), &[JOB_TRACKING])), ["ns/pi"]);
        assert_eq!(pods_by_job(&pod(Some("pi"), &[])), ["ns/pi"]);
        assert_eq!(pods_by_job(&pod(None, &[JOB_TRACKING])), ["ns/:none"]);
        assert_eq!(pods_by_job(&pod(None, &["other"])), [""; 0]);
    }

    #[test]
    fn orphans_are_released_a_group_at_a_time() {
        let orphans: Vec<_> = (0..150).map(|_| Arc::new(pod(None, &[JOB_TRACKING]))).collect();
        let plan = release_orphans(&orphans);
        assert_eq!((plan.writes.len(), plan.requeue_after), (GROUP_OPS_MAX, Some(Duration::ZERO)));
        assert_eq!(release_orphans(&orphans[..3]).requeue_after, None);
    }
}
