//! What becomes of a Job: retries, back-off, limits, restarts, suspension, deletion, dependencies.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use tests::cluster::{Client, Cluster, job, job_with};
use tests::patience::{eventually, seconds};

fn create(client: &Client, manifest: &str) {
    client.kubectl_with(&["create", "-f", "-"], manifest).ok();
}

fn pods(client: &Client, job: &str) -> Vec<Value> {
    client.list("pods", &format!("job-name={job}"))
}

fn running(client: &Client, job: &str) -> usize {
    let alive =
        |pod: &&Value| pod["status"]["phase"] == "Running" && pod["metadata"].get("deletionTimestamp").is_none();
    pods(client, job).iter().filter(alive).count()
}

#[track_caller]
fn until_running(client: &Client, job: &str, count: usize) {
    eventually(seconds(40), || match running(client, job) {
        found if found == count => Ok(()),
        found => Err(format!("{found} Pods of {job} run")),
    });
}

#[track_caller]
fn restarted(client: &Client, job: &str, times: i64) -> Value {
    eventually(seconds(60), || {
        let pods = pods(client, job);
        let pod = pods.first().ok_or("no Pod")?;
        let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap_or(0);
        if restarts >= times { Ok(pod.clone()) } else { Err(pod["status"].to_string()) }
    })
}

fn condition<'a>(job: &'a Value, kind: &str) -> &'a Value {
    job["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap()
}

/// Seconds of the day of a time such as 2026-11-24T20:40:00Z.
fn clock(time: &Value) -> i64 {
    let text = time.as_str().unwrap();
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    part(11..13) * 3600 + part(14..16) * 60 + part(17..19)
}

#[test]
fn a_failing_job_is_retried_with_back_off_and_then_fails() {
    let client = Cluster::shared("backoff");
    create(&client, &job("f", "exit 1", r#""backoffLimit": 2"#));
    let done = client.wait_for_job("f", "Failed", seconds(120));
    assert_eq!(condition(&done, "Failed")["reason"], "BackoffLimitExceeded");
    assert_eq!(condition(&done, "Failed")["message"], "Job has reached the specified backoff limit");
    assert_eq!(done["status"]["failed"], 3);
    let mut pods = pods(&client, "f");
    assert_eq!(pods.len(), 3);
    let ended = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["terminated"].clone();
    pods.sort_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str().unwrap().to_owned());
    // Counted from a Pod's end; stored times are whole seconds, and midnight may come between.
    let back_off = |pair: &[Value]| {
        let (end, next) = (clock(&ended(&pair[0])["finishedAt"]), clock(&pair[1]["metadata"]["creationTimestamp"]));
        (next - end).rem_euclid(24 * 3600)
    };
    // Ten seconds, then twenty; the machine may be busy.
    let (first, second) = (back_off(&pods[..2]), back_off(&pods[1..]));
    assert!((9..=19).contains(&first) && (19..=40).contains(&second), "back-off of {first} s and {second} s");
    for pod in &pods {
        assert_eq!(ended(pod)["exitCode"], 1);
    }
    let shown = client.raftsman(&["job", "watch", "f"]).fails(1);
    assert!(shown.contains("BackoffLimitExceeded"), "{shown}");
}

/// Numbers that are allowed, though no clock can hold what they make of now: they are far enough away to mean never.
#[test]
fn a_number_that_no_clock_can_hold_is_never() {
    let client = Cluster::shared("never");
    for (name, seconds_) in [("max", i64::MAX), ("edge", i64::MAX / 1000 + 1), ("long", 8_000_000_000_000)] {
        let never = format!(r#""activeDeadlineSeconds": {seconds_}, "backoffLimit": 2147483647"#);
        create(&client, &job(name, "exit 0", &never));
        client.wait_for_job(name, "Complete", seconds(60));
        // And one whose deletion has to be counted, too.
        let sleeper = job(&format!("{name}-deleted"), "exec sleep 1000", &never);
        let graced = format!(r#""terminationGracePeriodSeconds": {seconds_}, "restartPolicy""#);
        create(&client, &sleeper.replacen(r#""restartPolicy""#, &graced, 1));
        until_running(&client, &format!("{name}-deleted"), 1);
        client.kubectl(&["delete", "job", &format!("{name}-deleted"), "--wait=false"]).ok();
        eventually(seconds(60), || match pods(&client, &format!("{name}-deleted")).len() {
            0 => Ok(()),
            left => Err(format!("{left} Pods left")),
        });
    }
}

#[test]
fn on_failure_restarts_in_place() {
    let client = Cluster::shared("onfailure");
    let script = "test -e /tmp/$POD && { rm /tmp/$POD; echo second; exit 0; }; touch /tmp/$POD; echo first; exit 3";
    let script = script.replace("$POD", &format!("raftsman-test-{}-{}", std::process::id(), client.namespace));
    create(&client, &job_with("r", &script, "", "OnFailure"));
    client.wait_for_job("r", "Complete", seconds(60));
    let pods = pods(&client, "r");
    assert_eq!(pods.len(), 1, "it restarts in place");
    let status = &pods[0]["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 1, "{status}");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3, "{status}");
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    assert_eq!(client.kubectl(&["logs", name]).ok(), "second\n");
    assert_eq!(client.kubectl(&["logs", name, "--previous"]).ok(), "first\n");
}

#[test]
fn always_left_out_is_an_error_and_written_out_a_warning() {
    let client = Cluster::shared("always-warns");
    let manifest = job_with("a", "true", "", "Always");
    let created = client.kubectl_with(&["create", "-f", "-"], &manifest);
    assert!(created.stderr.contains("Warning:"), "{created}");
    created.ok();
    client.kubectl(&["delete", "job", "a"]).ok();
    let mut without: Value = serde_json::from_str(&manifest).unwrap();
    without["spec"]["template"]["spec"].as_object_mut().unwrap().remove("restartPolicy");
    let refused = client.kubectl_with(&["create", "-f", "-"], &without.to_string()).fails(1);
    let wanted = "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"";
    assert!(refused.contains(wanted), "{refused}");
}

#[test]
fn always_goes_on_after_success_until_its_deadline() {
    let client = Cluster::shared("always-deadline");
    // The restart comes after ten seconds of back-off, on a busy machine later.
    create(&client, &job_with("a", "echo again", r#""activeDeadlineSeconds": 40"#, "Always"));
    restarted(&client, "a", 1);
    let done = client.wait_for_job("a", "Failed", seconds(90));
    assert_eq!(condition(&done, "Failed")["reason"], "DeadlineExceeded");
    assert_eq!(condition(&done, "Failed")["message"], "Job was active longer than specified deadline");
    eventually(seconds(30), || if running(&client, "a") == 0 { Ok(()) } else { Err("a Pod still runs".into()) });
}

#[test]
fn always_ends_by_its_back_off_limit_of_failures() {
    let client = Cluster::shared("always-limit");
    create(&client, &job_with("a", "exit 7", r#""backoffLimit": 1"#, "Always"));
    let done = client.wait_for_job("a", "Failed", seconds(90));
    assert_eq!(condition(&done, "Failed")["reason"], "BackoffLimitExceeded");
}

#[test]
fn always_ends_by_suspension() {
    let client = Cluster::shared("always-suspend");
    create(&client, &job_with("a", "sleep 100", "", "Always"));
    until_running(&client, "a", 1);
    client.raftsman(&["job", "suspend", "a"]).ok();
    client.wait_for_job("a", "Suspended", seconds(30));
    eventually(seconds(30), || if pods(&client, "a").is_empty() { Ok(()) } else { Err("a Pod is left".into()) });
}

#[test]
fn always_ends_by_deletion() {
    let client = Cluster::shared("always-delete");
    create(&client, &job_with("a", "sleep 100", "", "Always"));
    until_running(&client, "a", 1);
    client.raftsman(&["job", "cancel", "a"]).ok();
    eventually(seconds(30), || if pods(&client, "a").is_empty() { Ok(()) } else { Err("a Pod is left".into()) });
}

#[test]
fn lower_parallelism_ends_pods_that_run() {
    let client = Cluster::shared("lower");
    create(&client, &job("l", "sleep 100", r#""parallelism": 4, "completions": 4"#));
    until_running(&client, "l", 4);
    client.kubectl(&["patch", "job", "l", "-p", r#"{"spec":{"parallelism":1}}"#]).ok();
    until_running(&client, "l", 1);
    eventually(seconds(30), || match pods(&client, "l").len() {
        1 => Ok(()),
        count => Err(format!("{count} Pods")),
    });
    assert_eq!(client.get("job", "l")["status"]["active"], 1);
    client.kubectl(&["delete", "job", "l"]).ok();
}

#[test]
fn suspended_jobs_have_no_pods_and_resumed_ones_run() {
    let client = Cluster::shared("suspend");
    create(&client, &job("s", "true", r#""suspend": true"#));
    client.wait_for_job("s", "Suspended", seconds(60));
    assert!(pods(&client, "s").is_empty());
    client.raftsman(&["job", "resume", "s"]).ok();
    client.wait_for_job("s", "Complete", seconds(60));
}

#[test]
fn finished_jobs_go_when_their_time_is_over() {
    let client = Cluster::shared("ttl");
    create(&client, &job("t", "true", r#""ttlSecondsAfterFinished": 2"#));
    eventually(seconds(60), || {
        let left = client.kubectl(&["get", "jobs,pods", "-o", "name"]).ok();
        if left.is_empty() && !client.kubectl(&["events"]).ok().is_empty() { Ok(()) } else { Err(left) }
    });
}

#[test]
fn dependents_wait_and_a_failed_dependency_fails_them() {
    let client = Cluster::shared("depends");
    create(&client, &job("late", "true", r#""dependsOn": [{"name": "early"}]"#));
    create(&client, &job("after-failure", "true", r#""dependsOn": [{"name": "bad", "condition": "Failed"}]"#));
    create(&client, &job("doomed", "true", r#""dependsOn": [{"name": "bad"}]"#));
    let waiting = eventually(seconds(60), || {
        let table = client.raftsman(&["job", "list", "-o", "wide"]).ok();
        if table.contains("waits for early") { Ok(table) } else { Err(table) }
    });
    assert!(waiting.contains("Waiting"), "{waiting}");
    assert!(pods(&client, "late").is_empty());
    create(&client, &job("early", "sleep 1", ""));
    create(&client, &job("bad", "exit 1", r#""backoffLimit": 0"#));
    client.wait_for_job("late", "Complete", seconds(60));
    client.wait_for_job("after-failure", "Complete", seconds(60));
    let doomed = client.wait_for_job("doomed", "Failed", seconds(60));
    assert!(condition(&doomed, "Failed")["message"].as_str().unwrap().contains("bad"), "{doomed}");
    assert!(pods(&client, "doomed").is_empty());
}

#[test]
fn a_cycle_of_dependencies_is_refused() {
    let client = Cluster::shared("cycle");
    create(&client, &job("a", "true", r#""dependsOn": [{"name": "b"}]"#));
    let refused =
        client.kubectl_with(&["create", "-f", "-"], &job("b", "true", r#""dependsOn": [{"name": "a"}]"#)).fails(1);
    assert!(refused.contains("spec.dependsOn") && refused.contains("cycle"), "{refused}");
}
