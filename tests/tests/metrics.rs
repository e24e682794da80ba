//! Metrics: what both ports tell, in which form, and whether the dashboard and the scrape file ask for what there is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::process::Command;

use tests::cluster::{Client, Cluster, Daemon, job};
use tests::exposition::{Exposition, metrics_of, scrape};
use tests::patience::{eventually, seconds};
use tests::peers::peer;
use tests::process::{Ran, binary, deployed, free_port};

/// What the API's port tells.
fn api_port(client: &Client) -> Exposition {
    Exposition::parse(&client.kubectl_anywhere(&["get", "--raw", "/metrics"]).ok())
}

/// What the store's port tells those who have the control plane's certificate.
fn store_port(cluster: &Cluster) -> Exposition {
    let pki = cluster.data().join("pki");
    let mut command = Command::new(peer("kubectl"));
    command.arg("--server").arg(cluster.daemon.ready.field("client"));
    command.arg("--certificate-authority").arg(pki.join("store-ca.crt"));
    command.arg("--client-certificate").arg(pki.join("store-client.crt"));
    command.arg("--client-key").arg(pki.join("store-client.key"));
    command.args(["get", "--raw", "/metrics"]).env("HOME", cluster.data()).env_remove("KUBECONFIG");
    Exposition::parse(&Ran::run(&mut command).ok())
}

fn missing<'a>(names: &BTreeSet<String>, wanted: &[&'a str]) -> Vec<&'a str> {
    wanted.iter().copied().filter(|name| !names.contains(*name)).collect()
}

/// The expressions of a dashboard.
fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(|expression| expression.as_str()).map(str::to_owned));
            fields.values().for_each(|value| expressions(value, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn every_family_is_explained_and_the_dashboard_asks_for_what_there_is() {
    let cluster = Cluster::start(&[]);
    let client = cluster.client();
    client.kubectl_with(&["create", "-f", "-"], &job("counted", "true", r#""completions": 3"#)).ok();
    client.wait_for_job("counted", "Complete", seconds(60));
    let (api, store) = eventually(seconds(30), || {
        // Informers hear of the end a moment after the API does, each for itself.
        let api = api_port(&client);
        let pods = api.value("raftsman_pods", "phase=\"Succeeded\"");
        let jobs = api.value("raftsman_jobs", "state=\"complete\"");
        match (pods, jobs) {
            (Some(3.0), Some(1.0)) => Ok((api, store_port(&cluster))),
            seen => Err(format!("Pods that have succeeded and Jobs that are complete: {seen:?}")),
        }
    });
    assert_eq!(api.faults, Vec::<String>::new(), "the API's port");
    assert_eq!(store.faults, Vec::<String>::new(), "the store's port");
    assert_eq!(api.value("raftsman_nodes", "ready=\"true\""), Some(1.0));
    assert!(
        api.value("raftsman_reconcile_total", "controller=\"job-controller\",result=\"committed\"").unwrap() >= 2.0
    );
    assert!(api.value("scheduler_schedule_attempts_total", "result=\"scheduled\"").unwrap() >= 3.0);
    assert!(api.value("apiserver_request_total", "verb=\"POST\",group=\"batch\"").unwrap() >= 1.0);
    assert_eq!(store.value("etcd_server_has_leader", ""), Some(1.0));
    assert!(store.value("etcd_disk_wal_fsync_duration_seconds_count", "").unwrap() >= 3.0);
    assert!(store.value("grpc_server_handled_total", "grpc_method=\"Txn\",grpc_code=\"OK\"").unwrap() >= 3.0);

    // One number, two witnesses: the Txns that the API server sent and those that the store was asked for.
    let sent = api.value("etcd_request_duration_seconds_count", "operation=\"txn\"").unwrap();
    assert!(store.value("etcd_mvcc_txn_total", "").unwrap() >= sent, "{sent} were sent");

    let (api, store) = (api.names(), store.names());
    let both: Vec<_> = api.intersection(&store).filter(|name| !is_of_the_process(name)).collect();
    assert_eq!(both, ["grpc_server_handled_total"], "each port tells its own, so that nothing is counted twice");
    assert_eq!(missing(&store, &OF_ETCD), Vec::<&str>::new());
    assert_eq!(missing(&api, &OF_KUBERNETES), Vec::<&str>::new());

    let dashboard: serde_json::Value = serde_json::from_str(&deployed("grafana.json")).unwrap();
    let mut asked = Vec::new();
    expressions(&dashboard, &mut asked);
    assert!(asked.len() > 30, "the dashboard's queries were not found");
    let all: BTreeSet<String> = api.union(&store).cloned().collect();
    let unknown: Vec<String> =
        asked.iter().flat_map(|expression| metrics_of(expression)).filter(|name| !all.contains(name)).collect();
    assert_eq!(unknown, Vec::<String>::new(), "the dashboard asks for metrics that nobody tells");
}

fn is_of_the_process(name: &str) -> bool {
    name.starts_with("process_") || name == "raftsman_build"
}

/// Names that dashboards and alerts for etcd ask for.
const OF_ETCD: [&str; 23] = [
    "etcd_server_has_leader",
    "etcd_server_is_leader",
    "etcd_server_is_learner",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_proposals_pending",
    "etcd_server_proposals_failed_total",
    "etcd_server_slow_apply_total",
    "etcd_server_version",
    "etcd_cluster_version",
    "etcd_disk_wal_fsync_duration_seconds_bucket",
    "etcd_disk_backend_commit_duration_seconds_bucket",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_mvcc_put_total",
    "etcd_debugging_mvcc_keys_total",
    "etcd_server_quota_backend_bytes",
    "etcd_debugging_mvcc_watcher_total",
    "etcd_debugging_mvcc_slow_watcher_total",
    "etcd_debugging_mvcc_events_total",
    "etcd_debugging_lease_granted_total",
    "grpc_server_handled_total",
];

/// Names that dashboards and alerts for Kubernetes ask for.
const OF_KUBERNETES: [&str; 14] = [
    "apiserver_request_total",
    "apiserver_request_duration_seconds_bucket",
    "apiserver_current_inflight_requests",
    "apiserver_longrunning_requests",
    "apiserver_watch_events_total",
    "apiserver_watch_cache_events_received_total",
    "apiserver_resource_objects",
    "etcd_request_duration_seconds_bucket",
    "workqueue_depth",
    "workqueue_adds_total",
    "workqueue_queue_duration_seconds_bucket",
    "workqueue_work_duration_seconds_bucket",
    "scheduler_pending_pods",
    "scheduler_schedule_attempts_total",
];

#[test]
fn the_plaintext_port_tells_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("pki").display().to_string();
    Ran::run(Command::new(binary("raftsman")).args(["pki", "create", "--out", &pki, "--server", "a=127.0.0.1"])).ok();
    let (data, address) = (folder.path().join("data").display().to_string(), format!("127.0.0.1:{}", free_port()));
    let mut args = vec!["server", "--name", "a", "--data-dir", &data, "--listen-metrics", &address];
    let folder_of_a = format!("{pki}/a");
    args.extend(["--pki-dir", &folder_of_a, "--listen-api", "127.0.0.1:0", "--listen-client", "127.0.0.1:0"]);
    let _daemon = Daemon::start(folder.path(), "server", &args);
    let seen = scrape(&address).unwrap();
    assert_eq!(seen.faults, Vec::<String>::new());
    let wanted = ["etcd_server_has_leader", "apiserver_resource_objects", "workqueue_depth", "process_open_fds"];
    assert_eq!(missing(&seen.names(), &wanted), Vec::<&str>::new());
    let answered = |service: &str| seen.value("grpc_server_handled_total", &format!("grpc_service=\"{service}"));
    assert!(answered("etcdserverpb.KV").is_some() && answered("raftsman.v1.JobService").is_some());
    // It leads, so its controllers and its scheduler do soon.
    eventually(seconds(60), || {
        let seen = scrape(&address)?;
        let leads = |name| seen.value(name, "") == Some(1.0);
        match leads("raftsman_controllers_leading") && leads("raftsman_scheduler_leading") {
            true => Ok(()),
            false => Err("nobody leads".to_owned()),
        }
    });
}

#[test]
fn boxes_of_their_own_have_metrics_of_their_own() {
    let cluster = Cluster::shared("metrics");
    for (command, wanted) in
        [("controllers", "raftsman_controllers_leading"), ("scheduler", "raftsman_scheduler_leading")]
    {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let args = [command, "--kubeconfig", &cluster.kubeconfig(), "--listen-metrics", &address];
        let _daemon = Daemon::start(folder.path(), command, &args);
        let seen = scrape(&address).unwrap();
        assert_eq!(seen.faults, Vec::<String>::new());
        assert_eq!(missing(&seen.names(), &[wanted, "process_open_fds"]), Vec::<&str>::new(), "{command}");
    }
}

#[test]
fn the_scrape_file_names_the_servers_of_the_compose_file() {
    let (scrape, compose) = (deployed("prometheus.yml"), deployed("docker-compose.yml"));
    let targets: Vec<&str> = scrape
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.trim().strip_prefix("- targets: [")?.strip_suffix(']'))
        .flat_map(|list| list.split(", "))
        .collect();
    assert_eq!(targets.len(), 3, "{targets:?}");
    let port = compose.lines().find_map(|line| line.trim().strip_prefix("RAFTSMAN_LISTEN_METRICS: 0.0.0.0:")).unwrap();
    for target in targets {
        let (host, at) = target.split_once(':').unwrap();
        assert_eq!(at, port, "{target}");
        assert!(compose.contains(&format!("\n  {host}:\n    <<: *server")), "{host} is no server");
    }
}
