//! Which Pods must leave a node, when, and how; pure.

use std::time::Duration;

use api::condition;
use api::meta::Object;
use api::proto::core_v1::{Node, ObjectReference, Pod, PodCondition, PodStatus, Taint};
use api::proto::meta_v1::{DeleteOptions, ObjectMeta, Preconditions};
use api::taint::{NO_EXECUTE, tolerates};
use api::time;
use chrono::{DateTime, TimeDelta, Utc};

use super::decide::{Snapshot, UNREACHABLE};
use crate::plan::{EventDraft, Plan, Write};
use crate::pod_view::PodView;

/// Beyond the deadline at which agent and shim end a Pod by themselves: for clocks that run at other speeds and for the
/// grace period.
const MARGIN: TimeDelta = TimeDelta::seconds(60);
/// Pods that are dealt with in one group.
const EVICTIONS_MAX: usize = 60;

/// Whether any Pod may have to leave this node.
pub fn evicts(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.taints.iter().any(|taint| taint.effect == NO_EXECUTE))
}

/// How a Pod leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Its node is asked to end it.
    Delete,
    /// Nobody can be asked, and it is certainly over.
    Lost,
}

pub fn of_node(node: &Node, snapshot: &Snapshot) -> Plan {
    let taints = node.spec.as_ref().map(|spec| spec.taints.as_slice()).unwrap_or_default();
    let taints: Vec<&Taint> = taints.iter().filter(|taint| taint.effect == NO_EXECUTE).collect();
    if taints.is_empty() {
        return Plan::nothing("the node is well");
    }
    let exit = if taints.iter().any(|taint| taint.key == UNREACHABLE) { Exit::Lost } else { Exit::Delete };
    let why = format!("Node {} is unreachable", node.name());
    evict(snapshot, exit, &why, |pod| {
        taints.iter().filter_map(|taint| leaves_at(pod, taint, snapshot.leading_since)).min()
    })
}

/// The Pods of a node that is no longer registered: as lost as those of a silent one, from when this was noticed.
pub fn of_absent_node(snapshot: &Snapshot) -> Plan {
    let Some(since) = snapshot.absent_since else { return Plan::nothing("no Pod is on it") };
    let gone = Taint {
        key: UNREACHABLE.into(),
        effect: NO_EXECUTE.into(),
        time_added: Some(time::to_time(since)),
        ..Default::default()
    };
    let mut plan = evict(snapshot, Exit::Lost, "its node is gone", |pod| leaves_at(pod, &gone, snapshot.leading_since));
    // Those that had ended before, or are failed now, go with their node once they are counted.
    let ended = snapshot.pods.iter().filter(|pod| pod.is_terminal() && pod.deletion.is_none());
    let room = EVICTIONS_MAX.saturating_sub(plan.writes.len());
    plan.writes.extend(ended.take(room).map(|pod| delete(pod, None)));
    plan
}

/// When the Pod must leave for this taint; `None`: it tolerates it for ever.
fn leaves_at(pod: &PodView, taint: &Taint, leading_since: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let since = time::opt(&taint.time_added).unwrap_or(leading_since);
    let since = if taint.key == UNREACHABLE { since.max(leading_since) } else { since };
    let permits =
        pod.tolerations.iter().filter(|toleration| tolerates(toleration, &taint.key, &taint.value, NO_EXECUTE));
    let mut tolerated = permits.map(|toleration| toleration.toleration_seconds).peekable();
    if tolerated.peek().is_none() {
        return Some(since);
    }
    let seconds = tolerated.flatten().min()?;
    let after = TimeDelta::try_seconds(seconds.max(0)).unwrap_or(TimeDelta::MAX);
    Some(since.checked_add_signed(after).unwrap_or(DateTime::<Utc>::MAX_UTC))
}

fn evict(snapshot: &Snapshot, exit: Exit, why: &str, leaves_at: impl Fn(&PodView) -> Option<DateTime<Utc>>) -> Plan {
    let mut plan = Plan::nothing("no Pod has to leave now");
    let mut next: Option<DateTime<Utc>> = None;
    for pod in &snapshot.pods {
        let Some(due) = leaves_at(pod) else { continue };
        let due = if exit == Exit::Lost { due.checked_add_signed(MARGIN).unwrap_or(due) } else { due };
        if pod.is_terminal() || (exit == Exit::Delete && pod.deletion.is_some()) {
            continue;
        }
        if due > snapshot.now {
            next = Some(next.map_or(due, |next| next.min(due)));
        } else if plan.writes.len() == EVICTIONS_MAX {
            next = Some(snapshot.now);
        } else {
            plan.writes.push(match exit {
                Exit::Delete => delete(pod, None),
                Exit::Lost if pod.deletion.is_some() => delete(pod, Some(0)),
                Exit::Lost => fail(pod, why, snapshot.now),
            });
            plan.events.push(told(pod, exit, why));
        }
    }
    if !plan.writes.is_empty() {
        "Pods leave the node".clone_into(&mut plan.why);
    }
    plan.requeue_after = next.map(|next| (next - snapshot.now).to_std().unwrap_or(Duration::ZERO));
    plan
}

fn delete(pod: &PodView, grace_period_seconds: Option<i64>) -> Write {
    let preconditions = Some(Preconditions { uid: Some(pod.uid.clone()), resource_version: None });
    let options = DeleteOptions { grace_period_seconds, preconditions, ..Default::default() };
    Write::delete::<Pod>(&pod.namespace, &pod.name, options)
}

/// The Pod ends as Failed: its Job counts and replaces it. A status that its agent sends later is refused, for a terminal
/// phase never changes.
fn fail(pod: &PodView, why: &str, now: DateTime<Utc>) -> Write {
    let mut status =
        PodStatus { phase: "Failed".into(), reason: "NodeLost".into(), message: why.into(), ..Default::default() };
    let disruption = PodCondition {
        r#type: "DisruptionTarget".into(),
        status: "True".into(),
        reason: "DeletionByTaintManager".into(),
        message: why.into(),
        ..Default::default()
    };
    condition::set(&mut status.conditions, disruption, now);
    // By uid alone: the registry keeps metadata and spec of a status without them.
    let metadata = ObjectMeta {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        ..Default::default()
    };
    Write::update_status(Pod { metadata: Some(metadata), spec: None, status: Some(status) })
}

fn told(pod: &PodView, exit: Exit, why: &str) -> EventDraft {
    let object = ObjectReference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        ..Default::default()
    };
    match exit {
        Exit::Delete => {
            let message = format!("Marking for deletion Pod {}/{}", pod.namespace, pod.name);
            EventDraft::normal(object, "TaintManagerEviction", message)
        }
        Exit::Lost => EventDraft::warning(object, "NodeLost", why),
    }
}
