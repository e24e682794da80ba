//! What controllers keep of a Pod: about 300 bytes of what is several kilobytes in the store.
//!
//! A Job of 10,000 Pods is followed by informers that hold this instead of the Pods, and writes to them go by
//! `client::Write`'s metadata operations, which don't send the object.

use std::sync::Arc;

use api::meta;
use api::proto::core_v1::{ContainerStatus, Pod, Toleration};
use api::proto::meta_v1::{ObjectMeta, OwnerReference};
use api::time::{self, Instant};
use api::{condition, proto};
use parking_lot::Mutex;

/// The finalizer that holds a Pod until its Job has counted it.
pub const JOB_TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// Where a Pod is in its life. The last two are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Pending,
    Running,
    /// Its node has not been heard of.
    Unknown,
    Succeeded,
    Failed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    pub owners: Vec<OwnerReference>,
    pub finalizers: Vec<String>,
    pub created: Option<Instant>,
    /// When it was or will be gone: deletionTimestamp, which is the end of the grace period.
    pub deletion: Option<Instant>,
    pub grace_seconds: i64,
    /// The node it is bound to; empty: none yet.
    pub node: String,
    /// How long it stays on a node that wants its Pods gone.
    pub tolerations: Arc<[Toleration]>,
    pub phase: Phase,
    /// Why it is in its phase: `Evicted`, `NodeLost`; mostly empty.
    pub reason: String,
    pub ready: bool,
    /// Restarts of its init and app containers.
    pub restarts: i32,
    /// Those of them that followed a non-zero exit.
    pub failed_restarts: i32,
    /// When its last container ended; else when it stopped being ready, or was asked to end.
    pub finished: Option<Instant>,
}

impl PodView {
    /// Takes what is kept.
    pub fn of(pod: Pod) -> PodView {
        let meta = pod.metadata.unwrap_or_default();
        let spec = pod.spec.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        let containers = || status.init_container_statuses.iter().chain(&status.container_statuses);
        let deletion = time::opt(&meta.deletion_timestamp);
        let grace_seconds = meta.deletion_grace_period_seconds.unwrap_or_default();
        let created = time::opt(&meta.creation_timestamp);
        let not_ready = condition::find(&status.conditions, "Ready").filter(|ready| ready.status == "False");
        let finished = containers()
            .filter_map(finished_at)
            .max()
            .or_else(|| not_ready.and_then(|condition| time::opt(&condition.last_transition_time)))
            .or_else(|| deletion.map(|at| asked_to_end(at, grace_seconds)));
        PodView {
            created,
            deletion,
            grace_seconds,
            node: spec.node_name,
            tolerations: shared(spec.tolerations),
            phase: phase(&status.phase),
            ready: condition::is_true(&status.conditions, "Ready"),
            restarts: sum(containers().map(|container| container.restart_count)),
            failed_restarts: sum(containers().map(|container| container.failed_restarts)),
            finished,
            reason: status.reason,
            namespace: meta.namespace,
            name: meta.name,
            uid: meta.uid,
            resource_version: meta.resource_version,
            owners: meta.owner_references,
            finalizers: meta.finalizers,
        }
    }

    /// The owner that manages it.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owners.iter().find(|owner| owner.controller == Some(true))
    }

    /// The key of the Job that manages it, `namespace/name`.
    pub fn job_key(&self) -> Option<String> {
        let owner = self.controller().filter(|owner| owner.kind == "Job" && owner.api_version.starts_with("batch/"))?;
        Some(meta::key_of(&self.namespace, &owner.name))
    }

    /// Succeeded or Failed.
    pub fn is_terminal(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Not counted by its Job yet.
    pub fn is_tracked(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == JOB_TRACKING)
    }

    /// What a write refers to it by: namespace, name, uid, resourceVersion.
    pub fn seen(&self) -> ObjectMeta {
        ObjectMeta {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
            ..Default::default()
        }
    }
}

/// A sum of counters, whatever their reporter may have put into them.
pub fn sum(counters: impl Iterator<Item = i32>) -> i32 {
    counters.fold(0, i32::saturating_add)
}

/// A grace period that no calendar holds counts as none.
fn asked_to_end(gone_at: Instant, grace_seconds: i64) -> Instant {
    let grace = chrono::TimeDelta::try_seconds(grace_seconds);
    grace.and_then(|grace| gone_at.checked_sub_signed(grace)).unwrap_or(gone_at)
}

/// The tolerations that matter on a tainted node, in one copy for all Pods of a kind that come one after another: nearly
/// all Pods have the same two.
fn shared(mut tolerations: Vec<Toleration>) -> Arc<[Toleration]> {
    static LATEST: Mutex<Option<Arc<[Toleration]>>> = Mutex::new(None);
    tolerations.retain(|toleration| toleration.effect.is_empty() || toleration.effect == "NoExecute");
    let mut latest = LATEST.lock();
    match &*latest {
        Some(latest) if **latest == *tolerations => Arc::clone(latest),
        _ => latest.insert(tolerations.into()).clone(),
    }
}

fn phase(text: &str) -> Phase {
    match text {
        "Running" => Phase::Running,
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        "Unknown" => Phase::Unknown,
        _ => Phase::Pending,
    }
}

fn finished_at(container: &ContainerStatus) -> Option<Instant> {
    let terminated: &proto::core_v1::ContainerStateTerminated = container.state.as_ref()?.terminated.as_ref()?;
    time::opt(&terminated.finished_at)
}

#[cfg(test)]
mod tests {
    use api::proto::core_v1::PodStatus;

    use super::*;

    #[test]
    fn numbers_that_nothing_can_hold_do_no_harm() {
        let at = api::proto::meta_v1::Time { seconds: Some(1_800_000_000), nanos: None };
        let restarted = || ContainerStatus { restart_count: i32::MAX, failed_restarts: i32::MAX, ..Default::default() };
        for grace in [i64::MAX, i64::MIN, i64::MAX / 1000] {
            let metadata = ObjectMeta {
                deletion_timestamp: Some(at),
                deletion_grace_period_seconds: Some(grace),
                ..Default::default()
            };
            let status = PodStatus { container_statuses: vec![restarted(), restarted()], ..Default::default() };
            let pod = PodView::of(Pod { metadata: Some(metadata), status: Some(status), ..Default::default() });
            assert_eq!((pod.finished, pod.restarts, pod.failed_restarts), (pod.deletion, i32::MAX, i32::MAX));
        }
    }
}
