//! Where Pods go, and why they go nowhere: a cluster of three simulated nodes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::{Value, json};
use tests::cluster::{Client, Cluster};
use tests::patience::{eventually, seconds};

/// A Pod that runs until it is deleted; `spec` is merged into its spec.
fn pod(name: &str, spec: Value) -> String {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"raftsman.io/simulate": "run=3600s,exit=0"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "any"}]},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    object.to_string()
}

fn create(client: &Client, manifest: &str) {
    client.kubectl_with(&["create", "-f", "-"], manifest).ok();
}

/// The node of a Pod, once it has one.
#[track_caller]
fn node_of(client: &Client, name: &str) -> String {
    eventually(seconds(60), || {
        let pod = client.get("pod", name);
        pod["spec"]["nodeName"].as_str().map(str::to_owned).ok_or_else(|| pod["status"].to_string())
    })
}

/// Waits until the Pod is told why it fits nowhere.
#[track_caller]
fn refused(client: &Client, name: &str, expected: &str) {
    eventually(seconds(60), || {
        let pod = client.get("pod", name);
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let told = conditions.iter().find(|condition| condition["type"] == "PodScheduled");
        match told {
            Some(told) if told["message"] == expected => {
                assert_eq!((&told["status"], &told["reason"]), (&json!("False"), &json!("Unschedulable")));
                Ok(())
            }
            _ => Err(format!("{conditions:?}")),
        }
    });
}

fn nodes(client: &Client) -> Vec<String> {
    let text = client.kubectl_anywhere(&["get", "nodes", "-o", "name"]).ok();
    text.lines().map(|line| line.trim_start_matches("node/").to_owned()).collect()
}

/// One cluster for all, step by step, for nodes are shared.
#[test]
fn pods_go_where_they_fit_and_say_why_they_do_not() {
    let cluster = Cluster::start(&["--runtime", "simulated", "--nodes", "3"]);
    let client = cluster.client();
    let nodes = nodes(&client);
    assert_eq!(nodes.len(), 3);
    let (first, second, third) = (nodes[0].as_str(), nodes[1].as_str(), nodes[2].as_str());
    let on = |args: &[&str]| client.kubectl_anywhere(args).ok();

    // Labels.
    create(&client, &pod("picky", json!({"nodeSelector": {"disk": "ssd"}})));
    refused(&client, "picky", "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.");
    on(&["label", "node", second, "disk=ssd"]);
    assert_eq!(node_of(&client, "picky"), second, "a change of a node wakes the Pod that waits for it");
    eventually(seconds(30), || {
        let told = ["get", "events", "--field-selector", "involvedObject.name=picky", "-o", "jsonpath={..reason}"];
        let told = client.kubectl(&told).ok();
        let reasons: Vec<&str> = told.split_whitespace().collect();
        if reasons.contains(&"FailedScheduling") && reasons.contains(&"Scheduled") { Ok(()) } else { Err(told) }
    });
    let affine = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["ssd"]}]}]}}}});
    create(&client, &pod("affine", affine));
    assert_ne!(node_of(&client, "affine"), second);

    // Resources, ports and priority of reasons.
    let huge = json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "9999"}}}]});
    create(&client, &pod("huge", huge));
    refused(&client, "huge", "0/3 nodes are available: 3 Insufficient cpu.");
    on(&["cordon", first]);
    on(&["taint", "nodes", third, "gpu=yes:NoSchedule"]);
    refused(
        &client,
        "huge",
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
    );
    create(&client, &pod("plain", json!({})));
    assert_eq!(node_of(&client, "plain"), second, "the others are cordoned and tainted");
    let tolerant = json!({
        "nodeSelector": {"kubernetes.io/hostname": third},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    });
    create(&client, &pod("tolerant", tolerant));
    assert_eq!(node_of(&client, "tolerant"), third);
    let port = json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 8080}]}]});
    create(&client, &pod("port-a", port.clone()));
    assert_eq!(node_of(&client, "port-a"), second);
    create(&client, &pod("port-b", port));
    refused(
        &client,
        "port-b",
        "0/3 nodes are available: 1 node(s) didn't have free ports for the requested pod ports, \
         1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
    );
    on(&["uncordon", first]);
    assert_eq!(node_of(&client, "port-b"), first);

    // NoExecute ends what doesn't tolerate it.
    on(&["taint", "nodes", second, "maintenance=now:NoExecute"]);
    eventually(seconds(60), || {
        let left =
            client.kubectl(&["get", "pods", "--field-selector", &format!("spec.nodeName={second}"), "-o", "name"]);
        let left = left.ok();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    assert_eq!(node_of(&client, "tolerant"), third, "other nodes keep theirs");
}
