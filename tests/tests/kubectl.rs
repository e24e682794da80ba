//! The verbs of an unmodified kubectl, against `raftsman dev`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tests::cluster::{Client, Cluster, job};
use tests::patience::{eventually, seconds};
use tests::process::example;

/// The cells of a table's line.
fn cells(line: &str) -> Vec<&str> {
    line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

fn names(objects: &[Value]) -> Vec<String> {
    objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// Waits until nothing of this kind with this label is left.
#[track_caller]
fn until_gone(client: &Client, kind: &str, selector: &str) {
    eventually(seconds(40), || match client.list(kind, selector) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{kind} left: {:?}", names(&left))),
    });
}

#[test]
fn pi_runs_to_its_end_and_shows_as_in_kubernetes() {
    let client = Cluster::shared("pi");
    assert_eq!(client.kubectl(&["create", "-f", &example("pi.yaml")]).ok(), "job.batch/pi created\n");
    client.kubectl(&["wait", "--for=condition=complete", "job/pi", "--timeout=120s"]).ok();

    let table = client.kubectl(&["get", "jobs"]).ok();
    let mut lines = table.lines();
    assert_eq!(cells(lines.next().unwrap()), ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"], "{table}");
    assert_eq!(cells(lines.next().unwrap())[..3], ["pi", "Complete", "1/1"], "{table}");

    let table = client.kubectl(&["get", "pods"]).ok();
    let row = cells(table.lines().nth(1).unwrap());
    let suffix = row[0].strip_prefix("pi-").unwrap_or_else(|| panic!("{table}"));
    assert_eq!(suffix.len(), 5, "{table}");
    assert_eq!(row[1..4], ["0/1", "Completed", "0"], "{table}");

    let parts = [
        "Parallelism:",
        "Completions:",
        "Pods Statuses:",
        "0 Active (0 Ready) / 1 Succeeded / 0 Failed",
        "print bpi(2000)",
        "SuccessfulCreate",
        "Created pod: pi-",
        "Completed",
        "Job completed",
    ];
    // Events follow what they tell.
    eventually(seconds(30), || {
        let described = client.kubectl(&["describe", "job", "pi"]).ok();
        match parts.iter().find(|part| !described.contains(**part)) {
            None => Ok(()),
            Some(part) => Err(format!("{part} is not in\n{described}")),
        }
    });

    let digits = client.kubectl(&["logs", "job/pi"]).ok();
    assert!(digits.starts_with("3.14159265358979323846"), "{digits}");
    assert_eq!(digits.trim().len(), 2001, "2,000 digits and the point");

    let pod = client.kubectl(&["get", "pod", row[0], "-o", "yaml"]).ok();
    for part in ["- apiVersion: batch/v1", "controller: true", "kind: Job", "name: pi"] {
        assert!(pod.contains(part), "{part} is not in\n{pod}");
    }
    let uid = client.get("job", "pi")["metadata"]["uid"].as_str().unwrap().to_owned();
    let owner = &client.get("pod", row[0])["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], Value::String(uid));
    assert_eq!(owner["controller"], Value::Bool(true));
}

#[test]
fn paral_runs_in_four_waves_of_two() {
    let client = Cluster::shared("paral");
    client.kubectl(&["create", "-f", &example("paral.yaml")]).ok();
    let mut most = 0;
    eventually(seconds(240), || {
        let job = client.get("job", "paral");
        let pods = client.list("pods", "job-name=paral");
        let active =
            pods.iter().filter(|pod| !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))).count();
        most = most.max(active);
        assert!(active <= 2, "{active} Pods are active");
        std::thread::sleep(Duration::from_millis(400));
        if job["status"]["succeeded"] == 8 { Ok(()) } else { Err(job["status"].to_string()) }
    });
    assert_eq!(most, 2);
    let mut starts: Vec<String> = client
        .list("pods", "job-name=paral")
        .iter()
        .map(|pod| pod["status"]["startTime"].as_str().unwrap().to_owned())
        .collect();
    starts.sort();
    assert_eq!(starts.len(), 8);
    for wave in starts.chunks(2).collect::<Vec<_>>().windows(2) {
        assert!(wave[0][1] < wave[1][0], "the waves overlap: {starts:?}");
    }
    assert!(client.kubectl(&["get", "jobs"]).ok().contains("8/8"));
}

#[test]
fn hello_starts_within_a_second_of_each_minute() {
    let client = Cluster::shared("hello");
    client.kubectl(&["create", "-f", &example("hello.yaml")]).ok();
    let jobs = eventually(seconds(215), || {
        let jobs: Vec<Value> =
            client.list("jobs", "").into_iter().filter(|job| job["status"]["succeeded"] == 1).collect();
        if jobs.len() >= 3 { Ok(jobs) } else { Err(format!("{} Jobs so far: {:?}", jobs.len(), names(&jobs))) }
    });
    for job in &jobs {
        let scheduled =
            job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].as_str().unwrap();
        let created = job["metadata"]["creationTimestamp"].as_str().unwrap();
        assert!(scheduled.ends_with(":00Z"), "{scheduled}");
        let late: i64 = created[17..19].parse().unwrap();
        assert_eq!(created[..16], scheduled[..16], "{created} is not the minute {scheduled}");
        // On a busy machine; an idle one has them in the minute's first second.
        assert!(late <= 10, "created {late} s after the minute");
        let name = job["metadata"]["name"].as_str().unwrap();
        let log = client.kubectl(&["logs", &format!("job/{name}")]).ok();
        assert!(log.contains("Hello from the Kubernetes cluster"), "{log}");
    }
    let table = client.kubectl(&["get", "cronjob", "hello"]).ok();
    assert_eq!(cells(table.lines().next().unwrap())[..4], ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND"], "{table}");
    assert!(table.contains("*/1 * * * *") && table.contains("False"), "{table}");
    client.kubectl(&["delete", "cronjob", "hello"]).ok();
}

#[test]
fn a_pipeline_runs_in_its_order() {
    let client = Cluster::shared("pipeline");
    client.kubectl(&["apply", "-f", &example("pipeline.yaml")]).ok();
    let ends: Vec<(String, String)> = ["extract", "transform", "load"]
        .iter()
        .map(|name| {
            client.wait_for_job(name, "Complete", seconds(60));
            let pod = &client.list("pods", &format!("job-name={name}"))[0];
            let ran = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
            let time = |field: &str| ran[field].as_str().unwrap_or_else(|| panic!("{ran}")).to_owned();
            (time("startedAt"), time("finishedAt"))
        })
        .collect();
    assert!(ends[0].1 <= ends[1].0 && ends[1].1 <= ends[2].0, "{ends:?}");
}

#[test]
fn apply_creates_then_leaves_then_configures() {
    let client = Cluster::shared("apply");
    let manifest = job("a", "sleep 20", r#""completions": 4, "parallelism": 2"#);
    assert_eq!(client.kubectl_with(&["apply", "-f", "-"], &manifest).ok(), "job.batch/a created\n");
    assert_eq!(client.kubectl_with(&["apply", "-f", "-"], &manifest).ok(), "job.batch/a unchanged\n");
    let changed = job("a", "sleep 20", r#""completions": 4, "parallelism": 3"#);
    let diff = client.kubectl_with(&["diff", "-f", "-"], &changed);
    assert_eq!(diff.code, Some(1), "{diff}");
    assert!(diff.stdout.contains("-  parallelism: 2") && diff.stdout.contains("+  parallelism: 3"), "{diff}");
    assert_eq!(client.kubectl_with(&["apply", "-f", "-"], &changed).ok(), "job.batch/a configured\n");
    assert_eq!(client.get("job", "a")["spec"]["parallelism"], 3);
    client.kubectl(&["delete", "job", "a"]).ok();
}

#[test]
fn create_job_sends_protobuf_and_runs() {
    let client = Cluster::shared("create");
    client.kubectl(&["create", "job", "x", "--image=i", "--", "date"]).ok();
    client.kubectl(&["wait", "--for=condition=complete", "job/x", "--timeout=60s"]).ok();
    assert!(!client.kubectl(&["logs", "job/x"]).ok().trim().is_empty());
}

#[test]
fn watching_shows_each_step() {
    let client = Cluster::shared("watching");
    let manifest = job("w", "sleep 1", r#""completions": 2, "suspend": true"#);
    client.kubectl_with(&["create", "-f", "-"], &manifest).ok();
    let mut command = client.kubectl_command(&["get", "jobs", "-w", "--namespace", &client.namespace]);
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    // The header, and the Job that waits: now it watches.
    let mut seen = vec![lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap()];
    client.kubectl(&["patch", "job", "w", "-p", r#"{"spec":{"suspend":false}}"#]).ok();
    for line in lines {
        seen.push(line.unwrap());
        if seen.last().unwrap().contains("Complete") {
            break;
        }
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    let text = seen.join("\n");
    assert!(text.contains("0/2") && text.contains("1/2") && text.contains("2/2"), "{text}");
}

#[test]
fn logs_follow_to_the_end() {
    let client = Cluster::shared("logs");
    let script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.4; done";
    client.kubectl_with(&["create", "-f", "-"], &job("l", script, "")).ok();
    eventually(seconds(40), || match client.list("pods", "job-name=l").first() {
        Some(pod) if pod["status"]["phase"] != "Pending" => Ok(()),
        pod => Err(format!("not started: {pod:?}")),
    });
    let text = client.kubectl(&["logs", "-f", "job/l"]).ok();
    assert_eq!(text, "line 1\nline 2\nline 3\nline 4\nline 5\n");
    assert_eq!(client.kubectl(&["logs", "job/l", "--tail=2"]).ok(), "line 4\nline 5\n");
    let timed = client.kubectl(&["logs", "job/l", "--timestamps", "--tail=1"]).ok();
    assert!(timed.starts_with("20") && timed.contains("Z line 5"), "{timed}");
    assert_eq!(client.kubectl(&["logs", "job/l", "--limit-bytes=4"]).ok(), "line");
}

#[test]
fn objects_are_changed_in_every_way_that_kubectl_has() {
    let client = Cluster::shared("change");
    client.kubectl_with(&["create", "-f", "-"], &job("c", "sleep 60", r#""suspend": true, "parallelism": 1"#)).ok();
    client.kubectl(&["label", "job", "c", "team=blue"]).ok();
    client.kubectl(&["annotate", "job", "c", "note=text"]).ok();
    client.kubectl(&["patch", "job", "c", "--type=merge", "-p", r#"{"spec":{"parallelism":2}}"#]).ok();
    client
        .kubectl(&[
            "patch",
            "job",
            "c",
            "--type=json",
            "-p",
            r#"[{"op":"replace","path":"/spec/backoffLimit","value":9}]"#,
        ])
        .ok();
    client.kubectl(&["patch", "job", "c", "--type=strategic", "-p", r#"{"spec":{"activeDeadlineSeconds":500}}"#]).ok();
    let job = client.get("job", "c");
    assert_eq!(job["metadata"]["labels"]["team"], "blue");
    assert_eq!(job["metadata"]["annotations"]["note"], "text");
    let spec = &job["spec"];
    assert_eq!(
        (&spec["parallelism"], &spec["backoffLimit"], &spec["activeDeadlineSeconds"]),
        (&2.into(), &9.into(), &500.into())
    );

    let mut edit = client.kubectl_command(&["edit", "job", "c", "--namespace", &client.namespace]);
    edit.env("KUBE_EDITOR", "sed -i s/parallelism:.2/parallelism:\\ 3/");
    tests::process::Ran::run(&mut edit).ok();
    assert_eq!(client.get("job", "c")["spec"]["parallelism"], 3);

    let mut job = client.get("job", "c");
    job["spec"]["parallelism"] = 4.into();
    job["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_eq!(client.kubectl_with(&["replace", "-f", "-"], &job.to_string()).ok(), "job.batch/c replaced\n");
    assert_eq!(client.get("job", "c")["spec"]["parallelism"], 4);
    client.kubectl(&["delete", "job", "c"]).ok();
}

#[test]
fn deletion_cascades_as_it_is_asked_to() {
    let client = Cluster::shared("cascade");
    for (name, cascade) in [("bg", "background"), ("fg", "foreground"), ("orphan", "orphan")] {
        client.kubectl_with(&["create", "-f", "-"], &job(name, "sleep 120", "")).ok();
        let selector = format!("job-name={name}");
        eventually(seconds(60), || match client.list("pods", &selector).len() {
            1 => Ok(()),
            count => Err(format!("{count} Pods")),
        });
        client.kubectl(&["delete", "job", name, &format!("--cascade={cascade}"), "--timeout=60s"]).ok();
        if cascade == "orphan" {
            let pods = client.list("pods", &selector);
            assert_eq!(pods.len(), 1);
            assert_eq!(pods[0]["metadata"].get("ownerReferences"), None, "{}", pods[0]["metadata"]);
            client.kubectl(&["delete", "pods", "-l", &selector]).ok();
        }
        until_gone(&client, "pods", &selector);
    }
}

#[test]
fn deleting_a_namespace_empties_it() {
    let client = Cluster::shared("doomed");
    client.kubectl(&["create", "configmap", "c", "--from-literal=a=b"]).ok();
    client.kubectl_with(&["create", "-f", "-"], &job("j", "sleep 120", "")).ok();
    assert!(client.kubectl(&["get", "serviceaccount", "default"]).ok().contains("default"));
    assert!(client.kubectl(&["get", "configmap", "kube-root-ca.crt"]).ok().contains("kube-root-ca.crt"));
    client.kubectl_anywhere(&["delete", "namespace", &client.namespace, "--timeout=60s"]).ok();
    let gone = client.kubectl(&["get", "pods"]).ok();
    assert!(gone.is_empty(), "{gone}");
    let refused = client.kubectl(&["get", "configmap", "c"]).fails(1);
    assert!(refused.contains("NotFound"), "{refused}");
}

#[test]
fn a_cronjob_is_created_and_run_by_hand() {
    let client = Cluster::shared("cron");
    client.kubectl(&["create", "cronjob", "c", "--image=i", "--schedule=0 3 * * *", "--", "date"]).ok();
    client.kubectl(&["create", "job", "now", "--from=cronjob/c"]).ok();
    let job = client.wait_for_job("now", "Complete", seconds(60));
    assert_eq!(job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"], "manual");
    assert_eq!(job["metadata"]["ownerReferences"][0]["kind"], "CronJob");
}

#[test]
fn the_server_tells_what_it_is_and_what_happened() {
    let client = Cluster::shared("tells");
    let resources = client.kubectl_anywhere(&["api-resources"]).ok();
    for part in ["jobs", "cronjobs", "cj", "pods", "po", "batch/v1", "Lease", "events.k8s.io/v1"] {
        assert!(resources.contains(part), "{part} is not in\n{resources}");
    }
    let who = client.kubectl_anywhere(&["auth", "whoami"]).ok();
    assert!(who.contains("admin") && who.contains("system:masters"), "{who}");
    assert_eq!(client.kubectl(&["auth", "can-i", "create", "jobs"]).ok(), "yes\n");
    let version = client.kubectl_anywhere(&["version"]).ok();
    assert!(version.contains("Server Version: v1.36.0+raftsman."), "{version}");

    client.kubectl(&["create", "job", "e", "--image=i", "--", "true"]).ok();
    client.wait_for_job("e", "Complete", seconds(60));
    let events = eventually(seconds(60), || {
        let events = client.kubectl(&["events"]).ok();
        let all =
            ["SuccessfulCreate", "Scheduled", "Started", "Completed"].iter().all(|reason| events.contains(reason));
        if all { Ok(events) } else { Err(events) }
    });
    assert!(events.contains("Job/e") && events.contains("Pod/e-"), "{events}");
    let nodes = client.kubectl_anywhere(&["get", "nodes"]).ok();
    assert!(nodes.contains("Ready"), "{nodes}");
}
