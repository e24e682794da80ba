//! kill -9 in the very moment in which many CronJobs are due: each minute is started exactly once all the same, for the
//! firing and its Job are one atomic group.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::cluster::{Client, Cluster};
use tests::patience::{eventually, seconds};

const CRON_JOBS: usize = 60;
/// How long after the full minute the process is killed, minute by minute: before, while and after they fire.
const KILL_AFTER_MS: [u64; 3] = [15, 60, 180];

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn manifest() -> String {
    let cron_job = |index: usize| {
        json!({
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": format!("c{index}")},
            "spec": {"schedule": "* * * * *", "successfulJobsHistoryLimit": 10, "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": "any"}],
            }}}}},
        })
    };
    (0..CRON_JOBS).map(|index| format!("{}\n---\n", cron_job(index))).collect()
}

/// How many Jobs each CronJob has for a minute.
fn starts(client: &Client, minute: u64) -> BTreeMap<String, usize> {
    let text = client.kubectl(&["get", "jobs", "-o", "json"]).ok();
    let list: Value = serde_json::from_str(&text).unwrap();
    let mut starts = BTreeMap::new();
    for job in list["items"].as_array().unwrap() {
        let name = job["metadata"]["name"].as_str().unwrap();
        let (cron_job, started) = name.rsplit_once('-').unwrap();
        if started == minute.to_string() {
            assert_eq!(job["status"].get("failed"), None, "{name}");
            *starts.entry(cron_job.to_owned()).or_default() += 1;
        }
    }
    starts
}

#[test]
fn each_minute_is_started_once_over_kills() {
    let flags = ["--runtime", "simulated"];
    let mut cluster = Cluster::start(&flags);
    // Not so late in a minute that the first firing comes while they are created.
    if now().as_secs() % 60 > 50 {
        std::thread::sleep(seconds(12));
    }
    cluster.client().kubectl_with(&["create", "-f", "-"], &manifest()).ok();
    for kill_after in KILL_AFTER_MS {
        let minute = now().as_secs() / 60 + 1;
        let at = Duration::from_secs(minute * 60) + Duration::from_millis(kill_after);
        std::thread::sleep(at.saturating_sub(now()));
        cluster.daemon.kill();
        let Cluster { daemon, folder } = cluster;
        drop(daemon);
        cluster = Cluster::start_in(folder, &flags);
        let client = cluster.client();
        let starts = eventually(seconds(30), || match starts(&client, minute) {
            starts if starts.len() == CRON_JOBS => Ok(starts),
            starts => Err(format!("{} of {CRON_JOBS} were started for this minute", starts.len())),
        });
        assert!(starts.values().all(|count| *count == 1), "{starts:?}");
    }
    // What was created was also run, once.
    let client = cluster.client();
    eventually(seconds(30), || {
        let text = client.kubectl(&["get", "jobs", "-o", "json"]).ok();
        let list: Value = serde_json::from_str(&text).unwrap();
        let jobs = list["items"].as_array().unwrap();
        let done = jobs.iter().filter(|job| job["status"]["succeeded"] == 1).count();
        if done == jobs.len() { Ok(()) } else { Err(format!("{done} of {} Jobs are complete", jobs.len())) }
    });
}
