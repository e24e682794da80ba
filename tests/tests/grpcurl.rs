//! grpcurl against the API port: reflection, a Job, a watch, a Commit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::cluster::{Client, Cluster};
use tests::patience::seconds;
use tests::peers::peer;
use tests::process::{Ran, example};

/// `grpcurl` with the cluster's authority and the admin's token.
fn grpcurl(client: &Client, flags: &[&str], tail: &[&str]) -> Command {
    let mut command = Command::new(peer("grpcurl"));
    command.arg("-cacert").arg(client.data().join("pki/ca.crt"));
    command.arg("-H").arg(format!("authorization: Bearer {}", client.token()));
    command.args(flags).arg(address(client)).args(tail);
    command
}

fn address(client: &Client) -> String {
    let kubeconfig = std::fs::read_to_string(client.kubeconfig()).unwrap();
    let server = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: https://")).unwrap();
    server.to_owned()
}

fn call(client: &Client, method: &str, request: &Value) -> Ran {
    Ran::with_input(&mut grpcurl(client, &["-d", "@"], &[method]), request.to_string().as_bytes())
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A Job for gRPC: a template is all that it needs.
fn a_job(namespace: &str, name: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "i", "command": ["true"]}],
        }}},
    })
}

#[test]
fn services_are_listed_and_described() {
    let client = Cluster::shared("reflection");
    let services = Ran::run(&mut grpcurl(&client, &[], &["list"])).ok();
    for kind in [
        "Job",
        "CronJob",
        "Pod",
        "Node",
        "Namespace",
        "Event",
        "Lease",
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "Service",
        "PodTemplate",
        "Commit",
        "Election",
        "Watch",
        "Output",
        "Agent",
    ] {
        let service = format!("raftsman.v1.{kind}Service");
        assert!(services.lines().any(|line| line == service), "{service} is not in\n{services}");
    }
    assert!(services.contains("grpc.health.v1.Health"), "{services}");
    let described = Ran::run(&mut grpcurl(&client, &[], &["describe", "raftsman.v1.JobService"])).ok();
    for method in ["Create", "Update", "UpdateStatus", "Get", "List", "Watch", "Delete"] {
        assert!(described.contains(&format!("rpc {method} (")), "{described}");
    }
}

#[test]
fn the_example_is_created_and_runs() {
    let client = Cluster::shared("example");
    let mut manifest = parse(&std::fs::read_to_string(example("pi.grpc.json")).unwrap());
    manifest["job"]["metadata"]["namespace"] = json!(client.namespace);
    let created = parse(&call(&client, "raftsman.v1.JobService/Create", &manifest).ok());
    assert!(created["metadata"]["uid"].is_string(), "{created}");
    let name = created["metadata"]["name"].as_str().unwrap();
    client.wait_for_job(name, "Complete", seconds(120));
    let again = call(&client, "raftsman.v1.JobService/Create", &manifest);
    assert_ne!(again.code, Some(0));
    assert!(again.stderr.contains("AlreadyExists") && again.stderr.contains("jobs.batch"), "{again}");
}

#[test]
fn a_watch_streams_whole_revisions() {
    let client = Cluster::shared("stream");
    let request = json!({"namespace": client.namespace, "send_initial_events": true, "allow_bookmarks": true});
    let mut command = grpcurl(&client, &["-d", "@"], &["raftsman.v1.JobService/Watch"]);
    let mut watch = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    watch.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut text = String::new();
    let mut read_to = |part: &str| {
        while !text.contains(part) {
            text.push_str(&lines.next().expect("the watch goes on").unwrap());
            text.push('\n');
        }
    };
    // The end of what was there: from here on it watches, so that each step of the Job is an event of its own.
    read_to("\"BOOKMARK\"");
    call(&client, "raftsman.v1.JobService/Create", &json!({"job": a_job(&client.namespace, "seen")})).ok();
    read_to("\"Complete\"");
    watch.kill().unwrap();
    watch.wait().unwrap();
    for part in ["\"revision\"", "\"ADDED\"", "\"MODIFIED\"", "\"seen\""] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_commit_creates_two_jobs_or_none() {
    let client = Cluster::shared("commit");
    let create = |name: &str| json!({"create": {"job": a_job(&client.namespace, name)}});
    let commit = |names: [&str; 2]| json!({"groups": [{"writes": [create(names[0]), create(names[1])]}]});
    let both = parse(&call(&client, "raftsman.v1.CommitService/Commit", &commit(["one", "two"])).ok());
    let written = &both["groups"][0]["written"];
    assert_eq!(written[0]["resourceVersion"], both["revision"], "{both}");
    assert_eq!(written[1]["resourceVersion"], both["revision"], "{both}");
    assert_ne!(client.get("job", "one")["metadata"]["uid"], client.get("job", "two")["metadata"]["uid"]);

    let none = parse(&call(&client, "raftsman.v1.CommitService/Commit", &commit(["three", "two"])).ok());
    assert_eq!(none["groups"][0]["error"]["reason"], "AlreadyExists", "{none}");
    assert_eq!(none["groups"][0]["failedIndex"], 1, "{none}");
    let missing = client.kubectl(&["get", "job", "three"]).fails(1);
    assert!(missing.contains("NotFound"), "{missing}");
}

#[test]
fn a_wrong_token_is_unauthenticated() {
    let client = Cluster::shared("token");
    let mut command = Command::new(peer("grpcurl"));
    command.arg("-cacert").arg(client.data().join("pki/ca.crt"));
    command.args(["-H", "authorization: Bearer wrong", &address(&client), "raftsman.v1.JobService/List"]);
    let refused = Ran::run(&mut command);
    assert!(refused.stderr.contains("Unauthenticated"), "{refused}");
}
