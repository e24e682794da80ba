//! What follows from a node's silence, its conditions and its taints; pure.
//!
//! One step a Plan, for the status, the taints and the Pods of a node are different writes of the same or of other objects:
//! conditions first, then the taints that they call for, then the Pods.

use std::sync::Arc;
use std::time::Duration;

use api::condition;
use api::fence::UNREACHABLE;
use api::meta::Object;
use api::proto::core_v1::{Node, NodeCondition, Taint};
use api::proto::meta_v1::ObjectMeta;
use api::taint::{NO_EXECUTE, NO_SCHEDULE, UNSCHEDULABLE};
use api::time;
use chrono::{DateTime, Utc};

use super::eviction;
use crate::plan::{EventDraft, Plan, Write, reference};
use crate::pod_view::PodView;

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// The conditions that nobody can vouch for while the agent is silent.
const VOUCHED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// How long is told by the observer's own clock: none of these hangs on a wall clock.
pub struct Snapshot {
    pub name: String,
    /// `None`: Pods name it, but it isn't registered.
    pub node: Option<Arc<Node>>,
    /// The Pods on it, where any may have to go.
    pub pods: Vec<Arc<PodView>>,
    /// Its Lease (namespace, name, uid, resourceVersion) as it was when `silent_for` was last set back.
    pub lease: Option<ObjectMeta>,
    /// Since the last sign of life, as far as this process could have heard one; of a node that isn't registered, since that
    /// was noticed.
    pub silent_for: Duration,
    /// After so long it counts as unreachable.
    pub grace: Duration,
    /// Most nodes are silent.
    pub frozen: bool,
    /// Since that was last so.
    pub trusted_for: Duration,
    /// For what is written.
    pub now: DateTime<Utc>,
}

impl Snapshot {
    pub fn is_silent(&self) -> bool {
        self.silent_for >= self.grace
    }
}

pub fn decide(snapshot: &Snapshot) -> Plan {
    let Some(node) = &snapshot.node else { return eviction::of_absent_node(snapshot) };
    if snapshot.is_silent()
        && let Some(plan) = doubt(node, snapshot.now)
    {
        return plan;
    }
    if let Some(plan) = taint(node, snapshot.now) {
        return plan;
    }
    let mut plan = eviction::of_node(node, snapshot);
    if !snapshot.is_silent() {
        let check = snapshot.grace - snapshot.silent_for;
        plan.requeue_after = Some(plan.requeue_after.map_or(check, |after| after.min(check)));
    }
    plan
}

/// Whether so many of the nodes are silent that it is hardly their fault: all, or more than two and most.
pub fn most_are_silent(silent: usize, all: usize) -> bool {
    silent > 0 && (silent == all || (silent > 2 && silent * 100 >= all * 55))
}

/// Sets the conditions of a silent node to Unknown; `None`: they are.
fn doubt(node: &Node, now: DateTime<Utc>) -> Option<Plan> {
    let mut doubted = node.clone();
    let conditions = &mut doubted.status.get_or_insert_default().conditions;
    let mut changed = false;
    for kind in VOUCHED {
        let known = condition::find(conditions, kind);
        if known.is_some_and(|known| known.status == "Unknown") {
            continue;
        }
        let (reason, message) = match known {
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        let unknown = NodeCondition {
            r#type: kind.to_owned(),
            status: "Unknown".to_owned(),
            last_heartbeat_time: known.and_then(|known| known.last_heartbeat_time),
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Default::default()
        };
        condition::set(conditions, unknown, now);
        changed = true;
    }
    if !changed {
        return None;
    }
    let event = EventDraft::normal(
        reference(node),
        "NodeNotReady",
        format!("Node {} status is now: NodeNotReady", node.name()),
    );
    Some(Plan {
        writes: vec![Write::update_status(doubted)],
        events: vec![event],
        requeue_after: Some(Duration::ZERO),
        ..Plan::nothing("the node is silent")
    })
}

/// Makes the taints that the node's conditions and its cordon call for; `None`: they are as they should be.
fn taint(node: &Node, now: DateTime<Utc>) -> Option<Plan> {
    let conditions = node.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let trouble = match condition::find(conditions, "Ready").map(|ready| ready.status.as_str()) {
        Some("Unknown") => Some(UNREACHABLE),
        Some("False") => Some(NOT_READY),
        // A node that has just been registered says nothing yet, and offers nothing.
        _ => None,
    };
    let cordoned = node.spec.as_ref().is_some_and(|spec| spec.unschedulable);
    let wanted = trouble
        .into_iter()
        .flat_map(|key| [(key, NO_SCHEDULE), (key, NO_EXECUTE)])
        .chain(cordoned.then_some((UNSCHEDULABLE, NO_SCHEDULE)));
    let wanted: Vec<(&str, &str)> = wanted.collect();
    let managed = |taint: &Taint| [UNREACHABLE, NOT_READY, UNSCHEDULABLE].contains(&taint.key.as_str());
    let is = |taint: &Taint, (key, effect): (&str, &str)| taint.key == key && taint.effect == effect;
    let mut tainted = node.clone();
    let taints = &mut tainted.spec.get_or_insert_default().taints;
    let before = taints.len();
    taints.retain(|taint| !managed(taint) || wanted.iter().any(|wanted| is(taint, *wanted)));
    let mut changed = taints.len() != before;
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| is(taint, (key, effect))) {
            taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                time_added: Some(time::to_time(now)),
                ..Default::default()
            });
            changed = true;
        }
    }
    changed.then(|| Plan {
        writes: vec![Write::update(tainted)],
        requeue_after: Some(Duration::ZERO),
        ..Plan::nothing("its taints follow its conditions")
    })
}
