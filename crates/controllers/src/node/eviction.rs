//! Which Pods must leave a node, when, and how; pure.

use std::time::Duration;

use api::condition;
use api::fence::{self, NODE_LOST, Stay, UNREACHABLE, stay};
use api::meta::Object;
use api::proto::coordination_v1::Lease;
use api::proto::core_v1::{Node, ObjectReference, Pod, PodCondition, PodStatus, Taint};
use api::proto::meta_v1::{DeleteOptions, ObjectMeta, Preconditions};
use api::taint::NO_EXECUTE;
use api::time;
use chrono::{DateTime, TimeDelta, Utc};

use super::NODE_LEASES;
use super::decide::Snapshot;
use crate::plan::{EventDraft, Plan, Precondition, Write};
use crate::pod_view::PodView;

/// Pods that are dealt with in one group.
const EVICTIONS_MAX: usize = 60;
/// How soon it is looked again while nothing can be concluded from silence.
const FROZEN_LOOK: Duration = Duration::from_secs(5);

/// Whether any Pod may have to leave this node.
pub fn evicts(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.taints.iter().any(|taint| taint.effect == NO_EXECUTE))
}

pub fn of_node(node: &Node, snapshot: &Snapshot) -> Plan {
    let taints = node.spec.as_ref().map(|spec| spec.taints.as_slice()).unwrap_or_default();
    let taints: Vec<&Taint> = taints.iter().filter(|taint| taint.effect == NO_EXECUTE).collect();
    if taints.is_empty() {
        return Plan::nothing("the node is well");
    }
    if !taints.iter().any(|taint| taint.key == UNREACHABLE) {
        return delete_untolerant(snapshot, &taints);
    }
    if !snapshot.is_silent() {
        // Its agent holds its Pods, and is about to say that it is well; what it does not tolerate waits until then.
        return Plan::nothing("the node is heard again");
    }
    if snapshot.frozen {
        let requeue_after = (!snapshot.pods.is_empty()).then_some(FROZEN_LOOK);
        return Plan { requeue_after, ..Plan::nothing("most nodes look lost: that is hardly the nodes' fault") };
    }
    let why = format!("Node {} is unreachable", node.name());
    let lost_for = snapshot.silent_for.min(snapshot.trusted_for);
    let mut plan = give_up(snapshot, &why, lost_for, |pod| fence::lost_after(&pod.tolerations, snapshot.grace));
    if !plan.writes.is_empty() {
        plan.preconditions.push(unrenewed(snapshot));
    }
    plan
}

/// That the node's Lease is the one whose age was measured: whatever this process failed to hear, the store knows.
fn unrenewed(snapshot: &Snapshot) -> Precondition {
    match &snapshot.lease {
        Some(lease) => Precondition::seen::<Lease>(lease),
        None => Precondition::absent::<Lease>(NODE_LEASES, &snapshot.name),
    }
}

/// The Pods of a node that is no longer registered: its agent, where there still is one, can't renew its Lease. As lost as
/// those of a silent node, from when this was noticed.
pub fn of_absent_node(snapshot: &Snapshot) -> Plan {
    let mut plan = give_up(snapshot, "its node is gone", snapshot.silent_for, |pod| {
        fence::lost_after(&pod.tolerations, Duration::ZERO)
    });
    // Those that had ended before, or are failed now, go with their node once they are counted.
    let ended = snapshot.pods.iter().filter(|pod| pod.is_terminal() && pod.deletion.is_none());
    let room = EVICTIONS_MAX.saturating_sub(plan.writes.len());
    plan.writes.extend(ended.take(room).map(|pod| delete(pod, None)));
    if !plan.writes.is_empty() {
        plan.preconditions.push(Precondition::absent::<Node>("", &snapshot.name));
    }
    plan
}

/// Fails the Pods that are certainly over by `lost_for`, and removes those that were being deleted.
fn give_up(
    snapshot: &Snapshot,
    why: &str,
    lost_for: Duration,
    lost_after: impl Fn(&PodView) -> Option<Duration>,
) -> Plan {
    let mut plan = Plan::nothing("no Pod has to leave now");
    for pod in snapshot.pods.iter().filter(|pod| !pod.is_terminal()) {
        let Some(after) = lost_after(pod) else { continue };
        if after > lost_for {
            look_again_after(&mut plan, after - lost_for);
        } else if plan.writes.len() == EVICTIONS_MAX {
            look_again_after(&mut plan, Duration::ZERO);
        } else {
            plan.writes.push(match pod.deletion {
                Some(_) => delete(pod, Some(0)),
                None => fail(pod, why, snapshot.now),
            });
            plan.events.push(EventDraft::warning(reference(pod), NODE_LOST, why));
            "its Pods are lost".clone_into(&mut plan.why);
        }
    }
    plan
}

/// A node that answers is asked to end what does not tolerate its taints.
fn delete_untolerant(snapshot: &Snapshot, taints: &[&Taint]) -> Plan {
    let mut plan = Plan::nothing("no Pod has to leave now");
    for pod in snapshot.pods.iter().filter(|pod| !pod.is_terminal() && pod.deletion.is_none()) {
        let Some(due) = taints.iter().filter_map(|taint| leaves_at(pod, taint, snapshot.now)).min() else { continue };
        if due > snapshot.now {
            look_again_after(&mut plan, (due - snapshot.now).to_std().unwrap_or_default());
        } else if plan.writes.len() == EVICTIONS_MAX {
            look_again_after(&mut plan, Duration::ZERO);
        } else {
            plan.writes.push(delete(pod, None));
            let message = format!("Marking for deletion Pod {}/{}", pod.namespace, pod.name);
            plan.events.push(EventDraft::normal(reference(pod), "TaintManagerEviction", message));
            "Pods leave the node".clone_into(&mut plan.why);
        }
    }
    plan
}

/// When the Pod must leave for this taint; `None`: it tolerates it for ever.
pub(super) fn leaves_at(pod: &PodView, taint: &Taint, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let since = time::opt(&taint.time_added).unwrap_or(now);
    match stay(&pod.tolerations, &taint.key, &taint.value) {
        Stay::ForEver => None,
        Stay::For(stay) => {
            let stay = TimeDelta::from_std(stay).unwrap_or(TimeDelta::MAX);
            Some(since.checked_add_signed(stay).unwrap_or(DateTime::<Utc>::MAX_UTC))
        }
    }
}

fn look_again_after(plan: &mut Plan, after: Duration) {
    plan.requeue_after = Some(plan.requeue_after.map_or(after, |already| already.min(after)));
}

fn delete(pod: &PodView, grace_period_seconds: Option<i64>) -> Write {
    let preconditions = Some(Preconditions { uid: Some(pod.uid.clone()), resource_version: None });
    let options = DeleteOptions { grace_period_seconds, preconditions, ..Default::default() };
    Write::delete::<Pod>(&pod.namespace, &pod.name, options)
}

/// The Pod ends as Failed: its Job counts and replaces it. The registry keeps what its node reported of its containers, and
/// takes no later status.
fn fail(pod: &PodView, why: &str, now: DateTime<Utc>) -> Write {
    let mut status =
        PodStatus { phase: "Failed".into(), reason: NODE_LOST.into(), message: why.into(), ..Default::default() };
    let conditions = [
        ("DisruptionTarget", "True", "DeletionByTaintManager", why),
        ("Ready", "False", "PodFailed", ""),
        ("ContainersReady", "False", "PodFailed", ""),
    ];
    for (name, holds, reason, message) in conditions {
        let condition = PodCondition {
            r#type: name.into(),
            status: holds.into(),
            reason: reason.into(),
            message: message.into(),
            ..Default::default()
        };
        condition::set(&mut status.conditions, condition, now);
    }
    // By uid alone: the registry keeps metadata and spec of a status without them.
    let metadata = ObjectMeta {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        ..Default::default()
    };
    Write::update_status(Pod { metadata: Some(metadata), spec: None, status: Some(status) })
}

fn reference(pod: &PodView) -> ObjectReference {
    ObjectReference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        ..Default::default()
    }
}
