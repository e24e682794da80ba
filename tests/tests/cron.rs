//! CronJobs by the real clock, and what goes with the objects that they leave: history, cascades, namespaces.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::{Value, json};
use tests::cluster::{Client, Cluster, job};
use tests::patience::{eventually, seconds};

/// A CronJob whose Jobs run one shell script; `spec` is merged into its spec.
fn cron_job(name: &str, schedule: &str, script: &str, spec: Value) -> String {
    let mut object = json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "busybox", "command": ["/bin/sh", "-c", script]}],
        }}}}},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    object.to_string()
}

fn create(client: &Client, manifest: &str) {
    client.kubectl_with(&["create", "-f", "-"], manifest).ok();
}

/// All objects of a kind, oldest first; Jobs of one CronJob are in the order of their minutes.
fn all(client: &Client, kind: &str) -> Vec<Value> {
    let text = client.kubectl(&["get", kind, "-o", "json"]).ok();
    let list: Value = serde_json::from_str(&text).unwrap();
    let mut items = list["items"].as_array().unwrap().clone();
    items.sort_by_key(|item| (created(item).to_owned(), name(item).to_owned()));
    items
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

fn created(object: &Value) -> &str {
    object["metadata"]["creationTimestamp"].as_str().unwrap()
}

fn has_condition(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// Waits until the Jobs of the namespace are as `holds` says, and returns them.
#[track_caller]
fn until_jobs(client: &Client, limit: u64, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    eventually(seconds(limit), || {
        let jobs = all(client, "jobs");
        let seen: Vec<String> = jobs.iter().map(|job| format!("{} {}", name(job), job["status"])).collect();
        if holds(&jobs) { Ok(jobs) } else { Err(seen.join("; ")) }
    })
}

/// Reasons and messages of the events of an object.
fn events(client: &Client, object: &str) -> Vec<String> {
    let selector = format!("involvedObject.name={object}");
    let text = client.kubectl(&["get", "events", "--field-selector", &selector, "-o", "json"]).ok();
    let list: Value = serde_json::from_str(&text).unwrap();
    let events = list["items"].as_array().unwrap();
    events.iter().map(|event| format!("{}: {}", text_of(event, "reason"), text_of(event, "message"))).collect()
}

/// Waits for an event of an object; events follow what they tell, in writes of their own.
#[track_caller]
fn until_told(client: &Client, object: &str, expected: &str, limit: u64) {
    eventually(seconds(limit), || {
        let told = events(client, object);
        if told.iter().any(|event| event == expected) { Ok(()) } else { Err(format!("{told:?}")) }
    });
}

fn text_of<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

#[test]
fn forbid_waits_and_then_starts_the_missed_time_at_once() {
    let client = Cluster::shared("forbid");
    create(&client, &cron_job("f", "* * * * *", "sleep 90", json!({"concurrencyPolicy": "Forbid"})));
    until_jobs(&client, 90, |jobs| jobs.len() == 1);
    let expected =
        "JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid";
    until_told(&client, "f", expected, 80);
    // It has another half minute to sleep.
    assert_eq!(all(&client, "jobs").len(), 1, "the second time waits");
    let jobs = until_jobs(&client, 60, |jobs| jobs.len() == 2);
    assert!(has_condition(&jobs[0], "Complete"), "the second starts when the first has ended");
    let active = client.get("cronjob", "f")["status"]["active"].clone();
    assert_eq!((active.as_array().unwrap().len(), &active[0]["uid"]), (1, &jobs[1]["metadata"]["uid"]));
}

#[test]
fn replace_ends_the_run_before() {
    let client = Cluster::shared("replace");
    create(&client, &cron_job("r", "* * * * *", "sleep 600", json!({"concurrencyPolicy": "Replace"})));
    let first = until_jobs(&client, 90, |jobs| jobs.len() == 1).remove(0);
    let jobs = until_jobs(&client, 90, |jobs| jobs.len() == 1 && name(&jobs[0]) != name(&first));
    until_told(&client, "r", &format!("SuccessfulDelete: Deleted job {}", name(&first)), 30);
    until_told(&client, "r", &format!("SuccessfulCreate: Created job {}", name(&jobs[0])), 30);
    eventually(seconds(30), || {
        let pods = all(&client, "pods");
        let replaced = pods.iter().all(|pod| pod["metadata"]["labels"]["job-name"] == name(&jobs[0]));
        if replaced { Ok(()) } else { Err(format!("{} Pods", pods.len())) }
    });
}

#[test]
fn the_history_keeps_as_many_as_it_says() {
    let client = Cluster::shared("history");
    let limits = json!({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0});
    create(&client, &cron_job("h", "0 0 1 1 *", "date", limits));
    for run in ["one", "two", "three"] {
        client.kubectl(&["create", "job", "--from=cronjob/h", run]).ok();
        until_jobs(&client, 40, |jobs| jobs.iter().any(|job| name(job) == run && has_condition(job, "Complete")));
        // Starts are whole seconds: the next is later.
        std::thread::sleep(seconds(1));
    }
    let kept = until_jobs(&client, 60, |jobs| jobs.len() == 1);
    assert_eq!(name(&kept[0]), "three");
    assert_eq!(kept[0]["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"], "manual");
    until_told(&client, "h", "SuccessfulDelete: Deleted job one", 30);
    assert_eq!(client.get("cronjob", "h")["status"].get("active"), None, "what is started by hand is never active");
}

#[test]
fn suspended_it_starts_nothing_and_resumed_it_starts_what_was_missed() {
    let client = Cluster::shared("suspend");
    create(&client, &cron_job("s", "* * * * *", "date", json!({"suspend": true})));
    std::thread::sleep(seconds(62));
    assert_eq!(all(&client, "jobs").len(), 0);
    client.kubectl(&["patch", "cronjob", "s", "-p", r#"{"spec":{"suspend":false}}"#]).ok();
    until_jobs(&client, 30, |jobs| jobs.len() == 1);
}

#[test]
fn deleting_a_cron_job_takes_its_jobs_or_leaves_them() {
    let client = Cluster::shared("cascade");
    for (cascade, left) in [("background", 0), ("foreground", 0), ("orphan", 1)] {
        create(&client, &cron_job("c", "0 0 1 1 *", "sleep 600", json!({})));
        client.kubectl(&["create", "job", "--from=cronjob/c", "run"]).ok();
        eventually(seconds(60), || if all(&client, "pods").len() == 1 { Ok(()) } else { Err("no Pod".to_owned()) });
        client.kubectl(&["delete", "cronjob", "c", &format!("--cascade={cascade}"), "--timeout=30s"]).ok();
        let jobs = until_jobs(&client, 20, |jobs| {
            jobs.len() == left && jobs.iter().all(|job| job["metadata"].get("ownerReferences").is_none())
        });
        eventually(seconds(30), || match all(&client, "pods").len() {
            pods if pods == left => Ok(()),
            pods => Err(format!("{cascade}: {pods} Pods are left")),
        });
        if !jobs.is_empty() {
            client.kubectl(&["delete", "job", "run", "--timeout=30s"]).ok();
        }
    }
}

#[test]
fn a_namespace_is_furnished_and_emptied() {
    let client = Cluster::shared("ns");
    for (kind, name) in [("serviceaccount", "default"), ("configmap", "kube-root-ca.crt")] {
        client.kubectl(&["get", kind, name]).ok();
    }
    create(&client, &cron_job("c", "* * * * *", "sleep 600", json!({})));
    create(&client, &job("j", "sleep 600", ""));
    client.kubectl(&["create", "configmap", "m", "--from-literal=a=b"]).ok();
    eventually(seconds(60), || if all(&client, "pods").is_empty() { Err("no Pod".to_owned()) } else { Ok(()) });
    client.kubectl_anywhere(&["delete", "namespace", &client.namespace, "--timeout=60s"]).ok();
    let gone = client.kubectl_anywhere(&["get", "namespace", &client.namespace]).fails(1);
    assert!(gone.contains("NotFound"), "{gone}");
    client.kubectl_anywhere(&["create", "namespace", &client.namespace]).ok();
    for kind in ["pods", "jobs", "cronjobs", "events"] {
        assert!(all(&client, kind).is_empty(), "a new namespace of that name holds old {kind}");
    }
    let maps: Vec<String> = all(&client, "configmaps").iter().map(|map| name(map).to_owned()).collect();
    assert_eq!(maps, ["kube-root-ca.crt"]);
}
