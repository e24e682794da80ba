//! A node falls silent, comes back, and its Pods leave: scenario by scenario.

use std::sync::Arc;
use std::time::Duration;

use api::condition;
use api::proto::coordination_v1::Lease;
use api::proto::core_v1::{Node, NodeCondition, NodeSpec, NodeStatus, Pod, PodSpec, Taint, Toleration};
use api::proto::meta_v1::ObjectMeta;
use api::proto::raftsman_v1::{object, write::Op};
use api::time;
use chrono::{DateTime, TimeDelta, Utc};

use super::decide::most_are_silent;
use super::{Snapshot, decide, is_sign_of_life};
use crate::plan::{Plan, Precondition};
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

fn after(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Nothing heard for so long, by the observer's clock.
fn snapshot(node: Option<Node>, silent: u64, pods: Vec<PodView>) -> Snapshot {
    Snapshot {
        name: "n1".into(),
        node: node.map(Arc::new),
        pods: pods.into_iter().map(Arc::new).collect(),
        lease: Some(ObjectMeta { name: "n1".into(), resource_version: "7".into(), ..Default::default() }),
        silent_for: after(silent),
        grace: after(50),
        frozen: false,
        trusted_for: after(100_000),
        now: at(0),
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
    assert_eq!(written(&decide(&snapshot(Some(node("True", &[])), 20, vec![]))), ["again in 30 s"]);
    let silent = decide(&snapshot(Some(node("True", &[])), 50, vec![]));
    assert_eq!(written(&silent), ["Ready Unknown NodeStatusUnknown", "again in 0 s"]);
    assert_eq!(
        written(&decide(&snapshot(Some(unknown(&[])), 51, vec![]))),
        ["taints node.kubernetes.io/unreachable:NoSchedule node.kubernetes.io/unreachable:NoExecute", "again in 0 s"]
    );
}

#[test]
fn a_node_that_is_back_loses_its_taints() {
    assert_eq!(written(&decide(&snapshot(Some(node("True", &UNREACHABLE)), 1, vec![]))), ["taints ", "again in 0 s"]);
}

#[test]
fn a_cordon_is_a_taint_too() {
    let mut cordoned = node("True", &[]);
    cordoned.spec.as_mut().unwrap().unschedulable = true;
    assert_eq!(
        written(&decide(&snapshot(Some(cordoned), 1, vec![])))[0],
        "taints node.kubernetes.io/unschedulable:NoSchedule"
    );
}

/// A node of which nobody can vouch for anything.
fn unknown(taints: &[(&str, &str, i64)]) -> Node {
    let mut node = node("Unknown", taints);
    for kind in ["MemoryPressure", "DiskPressure", "PIDPressure"] {
        let condition = NodeCondition { r#type: kind.into(), status: "Unknown".into(), ..Default::default() };
        node.status.as_mut().unwrap().conditions.push(condition);
    }
    node
}

/// A node that is silent, and tainted for it long ago.
fn lost(silent: u64, pods: Vec<PodView>) -> Snapshot {
    snapshot(Some(unknown(&UNREACHABLE)), silent, pods)
}

#[test]
fn the_pods_of_a_lost_node_fail_after_grace_toleration_and_margin() {
    let pods = || vec![pod("patient", Some(300)), pod("eternal", None), pod("hasty", Some(0))];
    assert_eq!(written(&decide(&lost(100, pods()))), ["again in 10 s"]);
    assert_eq!(written(&decide(&lost(110, pods()))), ["hasty Failed NodeLost", "again in 300 s"]);
    let rest = vec![pod("patient", Some(300)), pod("eternal", None)];
    assert_eq!(written(&decide(&lost(411, rest))), ["patient Failed NodeLost"]);
}

#[test]
fn a_pod_is_given_up_only_if_the_store_knows_of_no_later_renewal() {
    let plan = decide(&lost(110, vec![pod("hasty", Some(0))]));
    let seen = ObjectMeta { name: "n1".into(), resource_version: "7".into(), ..Default::default() };
    assert_eq!(plan.preconditions, [Precondition::seen::<Lease>(&seen)]);
    let without = decide(&Snapshot { lease: None, ..lost(110, vec![pod("hasty", Some(0))]) });
    assert_eq!(without.preconditions, [Precondition::absent::<Lease>("kube-node-lease", "n1")]);
    let absent = decide(&snapshot(None, 400, vec![pod("p", Some(300))]));
    assert_eq!(absent.preconditions, [Precondition::absent::<Node>("", "n1")], "nor did it register anew");
}

#[test]
fn a_node_that_is_heard_again_keeps_its_pods_although_it_is_still_tainted() {
    // Its Lease was renewed a moment ago; its agent has not yet said that it is ready.
    let heard = lost(1, vec![pod("hasty", Some(0)), pod("patient", Some(300))]);
    assert_eq!(written(&decide(&heard)), ["again in 49 s"]);
}

#[test]
fn the_taints_age_decides_nothing() {
    // Silent again without ever having been ready in between: its taint is old, its Pods were renewed 60 s ago.
    assert_eq!(written(&decide(&lost(60, vec![pod("patient", Some(300))]))), ["again in 350 s"]);
}

#[test]
fn while_most_nodes_are_silent_nothing_is_concluded() {
    let frozen = Snapshot { frozen: true, ..lost(100_000, vec![pod("hasty", Some(0))]) };
    assert_eq!(written(&decide(&frozen)), ["again in 5 s"]);
    // And afterwards every clock begins anew.
    let thawed = Snapshot { trusted_for: after(30), ..lost(100_000, vec![pod("hasty", Some(0))]) };
    assert_eq!(written(&decide(&thawed)), ["again in 80 s"]);
    let most = |silent, all| most_are_silent(silent, all);
    assert!(!most(0, 0) && !most(0, 5) && !most(1, 2) && !most(2, 3) && !most(5, 10));
    assert!(most(1, 1) && most(2, 2) && most(3, 5) && most(550, 1000));
}

#[test]
fn a_pod_that_was_being_deleted_there_is_removed() {
    let mut going = pod("going", Some(300));
    going.deletion = Some(at(70));
    assert_eq!(written(&decide(&lost(410, vec![going.clone()]))), ["again in 0 s"]);
    assert_eq!(written(&decide(&lost(411, vec![going]))), ["delete going grace Some(0)"]);
}

#[test]
fn other_taints_wait_for_a_node_that_cannot_be_asked() {
    let mut taints = UNREACHABLE.to_vec();
    taints.push(("maintenance", "NoExecute", -100_000));
    let silent = snapshot(Some(unknown(&taints)), 60, vec![pod("p", Some(300))]);
    assert_eq!(
        written(&decide(&silent)),
        ["again in 350 s"],
        "its containers hold by the unreachable toleration alone"
    );
}

#[test]
fn a_tainted_node_that_answers_ends_its_pods_itself() {
    let tainted = node("True", &[("maintenance", "NoExecute", 0)]);
    assert_eq!(
        written(&decide(&snapshot(Some(tainted), 10, vec![pod("p", None)]))),
        ["delete p grace None", "again in 40 s"]
    );
}

#[test]
fn pods_of_an_absent_node_fail_and_go() {
    assert_eq!(written(&decide(&snapshot(None, 10, vec![pod("p", Some(300))]))), ["again in 350 s"]);
    assert_eq!(written(&decide(&snapshot(None, 361, vec![pod("p", Some(300))]))), ["p Failed NodeLost"]);
    let mut failed = pod("p", Some(300));
    failed.phase = crate::pod_view::Phase::Failed;
    assert_eq!(written(&decide(&snapshot(None, 362, vec![failed]))), ["delete p grace None"]);
}

#[test]
fn a_doubt_is_no_sign_of_life() {
    let reported = |at_seconds: i64| {
        let mut node = node("True", &[]);
        let ready = node.status.as_mut().unwrap().conditions.iter_mut().find(|c| c.r#type == "Ready").unwrap();
        ready.last_heartbeat_time = Some(time::to_time(at(at_seconds)));
        node
    };
    assert!(is_sign_of_life(None, Some(&unknown(&[]))), "it is new to this process");
    assert!(is_sign_of_life(Some(&reported(1)), Some(&reported(2))));
    assert!(is_sign_of_life(Some(&unknown(&[])), Some(&reported(1))));
    assert!(!is_sign_of_life(Some(&reported(1)), Some(&unknown(&[]))), "this controller wrote that");
    assert!(!is_sign_of_life(Some(&reported(1)), Some(&reported(1))) && !is_sign_of_life(Some(&reported(1)), None));
}

#[test]
fn a_toleration_that_no_clock_can_hold_is_for_ever() {
    for seconds in [i64::MAX, i64::MAX / 1000, i64::MAX / 1000 + 1] {
        let lost = snapshot(None, 1_000, vec![pod("a", Some(seconds))]);
        let plan = decide(&lost);
        assert!(plan.writes.is_empty() && plan.requeue_after > Some(after(1 << 40)), "{plan:?}");
        // A taint of a node that answers is timed by the wall clock.
        let key = "node.kubernetes.io/unreachable";
        let pod = pod("a", Some(seconds));
        let tainted = Taint { key: key.into(), effect: "NoExecute".into(), ..Default::default() };
        assert!(super::eviction::leaves_at(&pod, &tainted, at(0)) > Some(at(1 << 40)));
    }
}
