//! What a pass decides: named scenarios first, then what must hold for any cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::proto::core_v1::{Container, ContainerPort, Node, NodeSpec, NodeStatus, Pod, PodSpec, ResourceRequirements};
use api::proto::core_v1::{Taint, Toleration};
use api::proto::meta_v1::ObjectMeta;
use api::proto::resource::Quantity;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::class::Class;
use crate::cluster::Cluster;
use crate::decide::{PASS_LIMIT, pass};
use crate::pending::{Pending, WaitingPod};

fn amounts(list: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    list.iter().map(|(name, amount)| ((*name).to_owned(), Quantity { string: (*amount).to_owned() })).collect()
}

fn node(name: &str, allocatable: &[(&str, &str)]) -> Node {
    Node {
        metadata: Some(ObjectMeta { name: name.into(), ..Default::default() }),
        spec: Some(NodeSpec::default()),
        status: Some(NodeStatus { allocatable: amounts(allocatable), ..Default::default() }),
    }
}

fn pod(name: &str, requests: &[(&str, &str)]) -> Pod {
    let container = Container {
        resources: Some(ResourceRequirements { requests: amounts(requests), ..Default::default() }),
        ..Default::default()
    };
    Pod {
        metadata: Some(ObjectMeta { name: name.into(), uid: name.into(), ..Default::default() }),
        spec: Some(PodSpec { containers: vec![container], ..Default::default() }),
        status: None,
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

/// A cluster of these nodes, and these Pods that wait: as Pods of one template they share their class.
fn world(nodes: &[Node], pods: Vec<Pod>) -> (Cluster, Pending) {
    let mut cluster = Cluster::default();
    for node in nodes {
        cluster.node_changed(node);
    }
    let mut pending = Pending::default();
    let mut classes = crate::class::Classes::default();
    for pod in pods {
        let class = classes.intern(pod.spec.as_ref().unwrap());
        pending.insert(WaitingPod::new(Arc::new(pod), class));
    }
    (cluster, pending)
}

/// Runs one pass and writes it down: `pod -> node`, and `pod: why not`.
fn decide(nodes: &[Node], pods: Vec<Pod>) -> Vec<String> {
    let (mut cluster, mut pending) = world(nodes, pods);
    let pass = pass(&mut cluster, &mut pending, now());
    let placed = pass.placements.iter().map(|placement| format!("{} -> {}", placement.pod.uid, placement.node));
    let refused = pass.refusals.iter().map(|refusal| format!("{}: {}", refusal.pod.uid, refusal.message));
    placed.chain(refused).collect()
}

const ROOMY: &[(&str, &str)] = &[("cpu", "4"), ("memory", "8Gi"), ("pods", "110")];

#[test]
fn pods_spread_over_equal_nodes() {
    let nodes = [node("n1", ROOMY), node("n2", ROOMY), node("n3", ROOMY)];
    let pods = (1..=4).map(|index| pod(&format!("p{index}"), &[])).collect();
    assert_eq!(decide(&nodes, pods), ["p1 -> n1", "p2 -> n2", "p3 -> n3", "p4 -> n1"]);
}

#[test]
fn the_emptier_node_is_taken_first() {
    let nodes = [node("small", &[("cpu", "2"), ("memory", "2Gi"), ("pods", "110")]), node("large", ROOMY)];
    let pods = (1..=3).map(|index| pod(&format!("p{index}"), &[("cpu", "1"), ("memory", "1Gi")])).collect();
    assert_eq!(decide(&nodes, pods), ["p1 -> large", "p2 -> large", "p3 -> small"]);
}

#[test]
fn each_reason_is_counted_in_kubernetes_words() {
    let mut cordoned = node("cordoned", ROOMY);
    cordoned.spec.as_mut().unwrap().unschedulable = true;
    let mut tainted = node("tainted", ROOMY);
    tainted.spec.as_mut().unwrap().taints =
        vec![Taint { key: "gpu".into(), effect: "NoSchedule".into(), ..Default::default() }];
    let tiny = node("tiny", &[("cpu", "500m"), ("memory", "64Mi"), ("pods", "0")]);
    let slow = node("slow", &[("cpu", "500m"), ("memory", "8Gi"), ("pods", "110")]);
    let pods = vec![pod("p", &[("cpu", "1"), ("memory", "1Gi")])];
    assert_eq!(
        decide(&[cordoned, tainted, tiny, slow], pods),
        ["p: 0/4 nodes are available: 1 Insufficient memory, 1 Too many pods, 1 node(s) had untolerated taint(s), \
          1 node(s) were unschedulable, 2 Insufficient cpu."]
    );
}

#[test]
fn without_nodes_there_is_nothing_to_count() {
    assert_eq!(decide(&[], vec![pod("p", &[])]), ["p: no nodes available to schedule pods"]);
}

#[test]
fn a_selector_a_toleration_and_a_port_decide() {
    let mut labelled = node("labelled", ROOMY);
    labelled.metadata.as_mut().unwrap().labels.insert("disk".into(), "ssd".into());
    labelled.spec.as_mut().unwrap().taints =
        vec![Taint { key: "disk".into(), value: "ssd".into(), effect: "NoSchedule".into(), ..Default::default() }];
    let port = |name: &str| {
        let mut pod = pod(name, &[]);
        let spec = pod.spec.as_mut().unwrap();
        spec.node_selector.insert("disk".into(), "ssd".into());
        spec.tolerations = vec![Toleration { key: "disk".into(), operator: "Exists".into(), ..Default::default() }];
        spec.containers[0].ports =
            vec![ContainerPort { host_port: 80, container_port: 80, protocol: "TCP".into(), ..Default::default() }];
        pod
    };
    assert_eq!(
        decide(&[node("plain", ROOMY), labelled], vec![port("first"), port("second")]),
        [
            "first -> labelled",
            "second: 0/2 nodes are available: 1 node(s) didn't have free ports for the requested pod ports, \
          1 node(s) didn't match Pod's node affinity/selector."
        ]
    );
}

#[test]
fn the_higher_priority_goes_first_and_a_freed_place_is_used() {
    let mut urgent = pod("urgent", &[]);
    urgent.spec.as_mut().unwrap().priority = Some(10);
    let (mut cluster, mut pending) =
        world(&[node("n1", &[("cpu", "1"), ("memory", "1Gi"), ("pods", "1")])], vec![pod("p", &[]), urgent]);
    let first = pass(&mut cluster, &mut pending, now());
    assert_eq!(first.placements[0].pod.uid, "urgent");
    assert_eq!(first.refusals[0].message.as_ref(), "0/1 nodes are available: 1 Too many pods.");
    let again = pass(&mut cluster, &mut pending, now());
    assert!(again.placements.is_empty() && again.refusals.is_empty(), "told once");
    cluster.forget("urgent");
    assert_eq!(pass(&mut cluster, &mut pending, now()).placements[0].pod.uid, "p");
}

#[test]
fn another_reason_is_told_after_a_pause() {
    let (mut cluster, mut pending) = world(&[], vec![pod("p", &[])]);
    assert_eq!(pass(&mut cluster, &mut pending, now()).refusals.len(), 1);
    cluster.node_changed(&node("full", &[("cpu", "1"), ("memory", "1Gi"), ("pods", "0")]));
    let soon = pass(&mut cluster, &mut pending, now());
    assert!(soon.refusals.is_empty());
    let due = now() + TimeDelta::seconds(10);
    assert_eq!(soon.report_at, Some(due));
    let later = pass(&mut cluster, &mut pending, due);
    assert_eq!(later.refusals[0].message.as_ref(), "0/1 nodes are available: 1 Too many pods.");
}

#[test]
fn a_request_is_the_most_that_is_needed_at_once() {
    let container = |cpu: &str, policy: Option<&str>| Container {
        resources: Some(ResourceRequirements { requests: amounts(&[("cpu", cpu)]), ..Default::default() }),
        restart_policy: policy.map(str::to_owned),
        ..Default::default()
    };
    for (init, containers, overhead, expected) in [
        (vec![], vec![container("1", None), container("500m", None)], "0", 1_500),
        (vec![container("3", None), container("1", None)], vec![container("1", None)], "0", 3_000),
        (vec![container("1", Some("Always")), container("3", None)], vec![container("1", None)], "250m", 4_250),
        (vec![container("1", Some("Always"))], vec![container("2", None)], "0", 3_000),
    ] {
        let spec = PodSpec {
            init_containers: init,
            containers,
            overhead: amounts(&[("cpu", overhead)]),
            ..Default::default()
        };
        assert_eq!(Class::of(&spec).requested.milli_cpu, expected);
    }
}

#[test]
fn ten_thousand_pods_over_a_thousand_nodes_take_moments() {
    let nodes: Vec<Node> = (0..1_000).map(|index| node(&format!("n{index}"), ROOMY)).collect();
    let pods = (0..10_000).map(|index| pod(&format!("p{index}"), &[("cpu", "100m")])).collect();
    let (mut cluster, mut pending) = world(&nodes, pods);
    let started = std::time::Instant::now();
    let mut placed = 0;
    while !pending.is_empty() {
        placed += pass(&mut cluster, &mut pending, now()).placements.len();
    }
    assert_eq!(placed, 10_000);
    // Generous: an unoptimised build on a busy machine. Each node x Pod comparison would take minutes.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    assert!(cluster.offers().all(|(_, node, _)| node.load.pods == 10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No node ever takes more than it offers, every Pod is placed or waits, and whoever waits fits nowhere.
    #[test]
    fn nobody_is_lost_and_no_node_is_overfull(
        nodes in prop::collection::vec((1_i64..8, 0_i64..6), 0..6),
        pods in prop::collection::vec((0_i64..4, 0_i32..3), 0..40),
    ) {
        let nodes: Vec<Node> = nodes.iter().enumerate().map(|(index, (cpu, pods))| {
            node(&format!("n{index}"), &[("cpu", &cpu.to_string()), ("memory", "64Gi"), ("pods", &pods.to_string())])
        }).collect();
        let count = pods.len();
        prop_assume!(count <= PASS_LIMIT);
        let pods = pods.iter().enumerate().map(|(index, (cpu, priority))| {
            let mut pod = pod(&format!("p{index}"), &[("cpu", &cpu.to_string())]);
            pod.spec.as_mut().unwrap().priority = Some(*priority);
            pod
        }).collect();
        let (mut cluster, mut pending) = world(&nodes, pods);
        let pass = pass(&mut cluster, &mut pending, now());
        prop_assert_eq!(pass.placements.len() + pending.len(), count);
        for (_, node, offer) in cluster.offers() {
            prop_assert!(node.load.pods <= offer.pod_limit);
            prop_assert!(node.load.requested.milli_cpu <= offer.allocatable.milli_cpu);
        }
        for (_, waiting) in pending.heads() {
            for (_, node, offer) in cluster.offers() {
                prop_assert!(!crate::filter::fits(&waiting.class, offer, &node.load));
            }
        }
        // Taking everything back leaves nothing behind.
        for placement in &pass.placements {
            prop_assert!(cluster.forget(&placement.pod.uid));
        }
        for (_, node, _) in cluster.offers() {
            prop_assert_eq!(node.load.pods, 0);
            prop_assert_eq!(node.load.requested.milli_cpu, 0);
        }
    }
}
