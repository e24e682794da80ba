//! A node falls silent, comes back, and its Pods leave: scenario by scenario.

use std::sync::Arc;

use api::condition;
use api::proto::core_v1::{Node, NodeCondition, NodeSpec, NodeStatus, Pod, PodSpec, Taint, Toleration};
use api::proto::meta_v1::ObjectMeta;
use api::proto::raftsman_v1::{object, write::Op};
use api::time;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Snapshot, decide};
use crate::plan::Plan;
use crate::pod_view::PodView;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

fn node(ready: &str, taints: &[(&str, &str, i64)]) -> Node {
    let condition = NodeCondition { r#type: "Ready".into(), status: ready.into(), ..Default::default() };
    let taints = taints.iter().map(|(key, effect, since)| Taint {
        key: (*key).into(),
        effect: (*effect).into(),
        time_added: Some(time::to_time(at(*since))),
        ..Default::default()
    });
    Node {
        metadata: Some(ObjectMeta { name: "n1".into(), ..Default::default() }),
        spec: Some(NodeSpec { taints: taints.collect(), ..Default::default() }),
        status: Some(NodeStatus { conditions: vec![condition], ..Default::default() }),
    }
}

/// A Pod that tolerates an unreachable node for so long (`None`: for ever).
fn pod(name: &str, seconds: Option<i64>) -> PodView {
    let toleration = Toleration {
        key: "node.kubernetes.io/unreachable".into(),
        operator: "Exists".into(),
        effect: "NoExecute".into(),
        toleration_seconds: seconds,
        ..Default::default()
    };
    PodView::of(Pod {
        metadata: Some(ObjectMeta { namespace: "d".into(), name: name.into(), uid: name.into(), ..Default::default() }),
        spec: Some(PodSpec { node_name: "n1".into(), tolerations: vec![toleration], ..Default::default() }),
        status: None,
    })
}

fn snapshot(node: Option<Node>, heard: i64, now: i64, pods: Vec<PodView>) -> Snapshot {
    Snapshot {
        absent_since: node.is_none().then(|| at(0)),
        node: node.map(Arc::new),
        pods: pods.into_iter().map(Arc::new).collect(),
        heard: Some(at(heard)),
        leading_since: at(0),
        now: at(now),
    }
}

fn written(plan: &Plan) -> Vec<String> {
    let line = |op: &Op| match op {
        Op::UpdateStatus(wrapped) => match wrapped.object.as_ref().unwrap() {
            object::Object::Node(node) => {
                let ready = condition::find(&node.status.as_ref().unwrap().conditions, "Ready").unwrap();
                format!("Ready {} {}", ready.status, ready.reason)
            }
            object::Object::Pod(pod) => {
                let status = pod.status.as_ref().unwrap();
                format!("{} {} {}", pod.metadata.as_ref().unwrap().name, status.phase, status.reason)
            }
            other => format!("{other:?}"),
        },
        Op::Update(wrapped) => match wrapped.object.as_ref().unwrap() {
            object::Object::Node(node) => {
                let taints = &node.spec.as_ref().unwrap().taints;
                let taints: Vec<String> =
                    taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
                format!("taints {}", taints.join(" "))
            }
            other => format!("{other:?}"),
        },
        Op::Delete(delete) => {
            format!("delete {} grace {:?}", delete.name, delete.options.as_ref().unwrap().grace_period_seconds)
        }
        other => format!("{other:?}"),
    };
    let mut lines: Vec<String> = plan.writes.iter().map(|write| line(write.op())).collect();
    lines.extend(plan.requeue_after.map(|after| format!("again in {} s", after.as_secs())));
    lines
}

const UNREACHABLE: [(&str, &str, i64); 2] =
    [("node.kubernetes.io/unreachable", "NoSchedule", 60), ("node.kubernetes.io/unreachable", "NoExecute", 60)];

#[test]
fn a_silent_node_is_doubted_then_tainted() {
    assert_eq!(written(&decide(&snapshot(Some(node("True", &[])), 0, 20, vec![]))), ["again in 30 s"]);
    let silent = decide(&snapshot(Some(node("True", &[])), 0, 50, vec![]));
    assert_eq!(written(&silent), ["Ready Unknown NodeStatusUnknown", "again in 0 s"]);
    let mut unknown = node("Unknown", &[]);
    for kind in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
        let condition = NodeCondition { r#type: kind.into(), status: "Unknown".into(), ..Default::default() };
        unknown.status.as_mut().unwrap().conditions.push(condition);
    }
    assert_eq!(
        written(&decide(&snapshot(Some(unknown), 0, 51, vec![]))),
        ["taints node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute", "again in 0 s"]
    );
}

#[test]
fn a_node_that_is_back_loses_its_taints() {
    assert_eq!(
        written(&decide(&snapshot(Some(node("True", &UNREACHABLE)), 100, 101, vec![]))),
        ["taints ", "again in 0 s"]
    );
}

#[test]
fn a_new_leader_starts_the_clock_anew() {
    let mut snapshot = snapshot(Some(node("True", &[])), 0, 500, vec![]);
    snapshot.leading_since = at(490);
    assert_eq!(written(&decide(&snapshot)), ["again in 40 s"]);
}

#[test]
fn a_cordon_is_a_taint_too() {
    let mut cordoned = node("True", &[]);
    cordoned.spec.as_mut().unwrap().unschedulable = true;
    assert_eq!(
        written(&decide(&snapshot(Some(cordoned), 0, 1, vec![])))[0],
        "taints node.kubernetes.io/unschedulable:NoSchedule"
    );
}

/// A node that went silent at second 10, was tainted at 60, and is still silent.
fn lost(now: i64, pods: Vec<PodView>) -> Plan {
    let mut node = node("Unknown", &UNREACHABLE);
    for kind in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
        let condition = NodeCondition { r#type: kind.into(), status: "Unknown".into(), ..Default::default() };
        node.status.as_mut().unwrap().conditions.push(condition);
    }
    decide(&snapshot(Some(node), 10, now, pods))
}

#[test]
fn the_pods_of_a_lost_node_fail_after_toleration_and_margin() {
    let pods = || vec![pod("patient", Some(300)), pod("eternal", None), pod("hasty", Some(0))];
    assert_eq!(written(&lost(100, pods())), ["again in 20 s"]);
    assert_eq!(written(&lost(120, pods())), ["hasty Failed NodeLost", "again in 300 s"]);
    assert_eq!(written(&lost(420, vec![pod("patient", Some(300)), pod("eternal", None)])), ["patient Failed NodeLost"]);
}

#[test]
fn a_pod_that_was_being_deleted_there_is_removed() {
    let mut going = pod("going", Some(300));
    going.deletion = Some(at(70));
    assert_eq!(written(&lost(419, vec![going.clone()])), ["again in 1 s"]);
    assert_eq!(written(&lost(420, vec![going])), ["delete going grace Some(0)"]);
}

#[test]
fn a_tainted_node_that_answers_ends_its_pods_itself() {
    let tainted = node("True", &[("maintenance", "NoExecute", 0)]);
    assert_eq!(
        written(&decide(&snapshot(Some(tainted), 90, 100, vec![pod("p", None)]))),
        ["delete p grace None", "again in 40 s"]
    );
}

#[test]
fn pods_of_an_absent_node_fail_and_go() {
    assert_eq!(written(&decide(&snapshot(None, 0, 10, vec![pod("p", Some(300))]))), ["again in 350 s"]);
    assert_eq!(written(&decide(&snapshot(None, 0, 360, vec![pod("p", Some(300))]))), ["p Failed NodeLost"]);
    let mut failed = pod("p", Some(300));
    failed.phase = crate::pod_view::Phase::Failed;
    assert_eq!(written(&decide(&snapshot(None, 0, 361, vec![failed]))), ["delete p grace None"]);
}
