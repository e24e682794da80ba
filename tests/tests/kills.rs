//! kill -9 of the control plane and of the agent while Jobs run: every Pod runs once, nothing that it printed or ended
//! with is lost, and every acknowledged write is there afterwards.
//!
//! ```text
//! server  --x-----x------x--->   killed at random moments, started again on the same ports and data
//! agent   ----x------x----x-->   the same; the shims and their containers go on
//! Job     30 Pods, 10 at a time; each writes a line to its own file, sleeps 3 s, prints three lines, exits 0
//! ```

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tests::cluster::{Client, Daemon};
use tests::patience::seconds;
use tests::process::{Ran, binary};

const RUNS: u32 = 4;
/// Of each process, in each run: twenty in all.
const KILLS: u32 = 5;
const PODS: usize = 30;

/// A sequence that looks random and can be had again from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A control plane and an agent as processes of their own, on ports that survive them.
struct Plane {
    folder: PathBuf,
    api: String,
    client: String,
    server: Option<Daemon>,
    agent: Option<Daemon>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Plane {
    fn start(folder: &Path) -> Plane {
        let pki = folder.join("pki").display().to_string();
        let mut create = std::process::Command::new(binary("raftsman"));
        Ran::run(create.args(["pki", "create", "--out", &pki, "--server", "a=127.0.0.1", "--node", "n1"])).ok();
        let address = || format!("127.0.0.1:{}", free_port());
        let mut plane =
            Plane { folder: folder.to_owned(), api: address(), client: address(), server: None, agent: None };
        plane.start_server();
        plane.start_agent();
        let kubeconfig = std::fs::read_to_string(folder.join("pki/admin.kubeconfig")).unwrap();
        let here: Vec<String> = kubeconfig.lines().map(|line| self::server_line(line, &plane.api)).collect();
        std::fs::write(folder.join("admin.kubeconfig"), here.join("\n")).unwrap();
        plane
    }

    fn start_server(&mut self) {
        let (data, pki) = (self.path("server"), self.path("pki/a"));
        let args = [
            "server",
            "--name",
            "a",
            "--data-dir",
            &data,
            "--pki-dir",
            &pki,
            "--listen-api",
            &self.api,
            "--listen-client",
            &self.client,
        ];
        self.server = Some(Daemon::start(&self.folder, "server", &args));
    }

    fn start_agent(&mut self) {
        let (data, kubeconfig) = (self.path("agent"), self.path("pki/node-n1.kubeconfig"));
        let server = format!("https://{}", self.api);
        let args =
            ["agent", "--server", &server, "--kubeconfig", &kubeconfig, "--node-name", "n1", "--data-dir", &data];
        self.agent = Some(Daemon::start(&self.folder, "agent", &args));
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn kill_server(&mut self) {
        self.server.take().unwrap().kill();
        self.start_server();
    }

    /// The agent is down for a moment, as it would be.
    fn kill_agent(&mut self) {
        self.agent.take().unwrap().kill();
        self.start_agent();
    }
}

/// The line of a kubeconfig, with the server that we have.
fn server_line(line: &str, api: &str) -> String {
    match line.split_once("server:") {
        Some((before, _)) => format!("{before}server: https://{api}"),
        None => line.to_owned(),
    }
}

fn manifest(name: &str, files: &Path) -> String {
    let script =
        format!("echo ran >> {}/$POD; sleep 3; for i in 1 2 3; do echo \"$POD line $i\"; done", files.display());
    serde_json::json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"completions": PODS, "parallelism": 10, "backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox", "command": ["/bin/sh", "-c", script],
                "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
        }}},
    })
    .to_string()
}

/// Writes ConfigMaps until told to stop; the names of those that were acknowledged.
fn write_on(client: Client, run: u32, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<BTreeSet<String>> {
    std::thread::spawn(move || {
        let mut acknowledged = BTreeSet::new();
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("write-{run}-{number}");
            let ran = client.kubectl(&["create", "configmap", &name, "--from-literal=a=b", "--request-timeout=5s"]);
            if ran.code == Some(0) {
                acknowledged.insert(name);
            }
        }
        acknowledged
    })
}

fn expect_all_ran_once(client: &Client, name: &str, files: &Path) {
    let job = client.get("job", name);
    assert_eq!(job["status"]["succeeded"], PODS, "{}", job["status"]);
    assert!(job["status"]["failed"].is_null(), "{}", job["status"]);
    let pods = client.list("pods", &format!("job-name={name}"));
    assert_eq!(pods.len(), PODS);
    let ran = std::fs::read_dir(files).unwrap().count();
    assert_eq!(ran, PODS, "as many Pods ran as there are");
    for pod in pods {
        let pod_name = pod["metadata"]["name"].as_str().unwrap();
        let text = std::fs::read_to_string(files.join(pod_name)).unwrap();
        assert_eq!(text, "ran\n", "{pod_name} ran once");
        let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&ended["exitCode"], &ended["reason"]), (&0.into(), &"Completed".into()), "{pod}");
        let output = client.kubectl(&["logs", pod_name]).ok();
        let expected: String = (1..=3).map(|i| format!("{pod_name} line {i}\n")).collect();
        assert_eq!(output, expected);
    }
}

#[test]
fn nothing_is_lost_or_run_twice() {
    let folder = tempfile::tempdir().unwrap();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut plane = Plane::start(folder.path());
    let client = Client::at(folder.path(), "default");
    let mut written = BTreeSet::new();
    for run in 0..RUNS {
        let name = format!("run-{run}");
        let files = folder.path().join(&name);
        std::fs::create_dir(&files).unwrap();
        client.kubectl_with(&["create", "-f", "-"], &manifest(&name, &files)).ok();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = write_on(client.clone(), run, stop.clone());
        for _ in 0..KILLS {
            std::thread::sleep(Duration::from_millis(dice.roll(1500)));
            plane.kill_server();
            std::thread::sleep(Duration::from_millis(dice.roll(1500)));
            plane.kill_agent();
        }
        client.wait_for_job(&name, "Complete", seconds(180));
        stop.store(true, Ordering::Relaxed);
        written.extend(writer.join().unwrap());
        expect_all_ran_once(&client, &name, &files);
    }
    let there: BTreeSet<String> = client
        .kubectl(&["get", "configmaps", "-o", "name"])
        .ok()
        .lines()
        .map(|line| line.replace("configmap/", ""))
        .collect();
    let lost: Vec<&String> = written.difference(&there).collect();
    assert!(lost.is_empty(), "acknowledged and gone: {lost:?}");
    assert!(written.len() > 20, "only {} writes were acknowledged", written.len());
    println!("{} acknowledged writes, all there", written.len());
}
