//! The cluster of deploy/docker-compose.yml, whose containers are killed, stopped and started while Jobs run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::docker::Docker;
use tests::exposition::scrape;
use tests::patience::eventually;
use tests::peers::peer;
use tests::process::{Ran, binary, free_port, top};

const SERVERS: [&str; 3] = ["server-a", "server-b", "server-c"];
const AGENTS: [&str; 3] = ["agent-1", "agent-2", "agent-3"];
const PODS: u64 = 200;
/// Generous: two cores run six daemons, and other tests.
const SOON: Duration = Duration::from_secs(120);
const JOB_WITHIN: Duration = Duration::from_secs(400);

/// Which Pods' programs began and ended, by Pod.
#[derive(Debug, Default)]
struct Runs {
    began: BTreeMap<String, u32>,
    ended: BTreeMap<String, u32>,
}

/// The running cluster.
struct Composed {
    docker: Docker,
    folder: TempDir,
    project: String,
    /// Where each server's API is published.
    ports: [u16; 3],
    begun: Instant,
}

impl Composed {
    /// Packs the image of the binaries under test and brings everything up.
    fn up() -> Composed {
        let begun = Instant::now();
        let docker = Docker::get();
        let project = format!("raftsman-test-{}", std::process::id());
        let mut images = Command::new(top().join("scripts/images.sh"));
        images.arg("--no-pull").arg(binary("raftsman")).arg(&project);
        docker.point(&mut images);
        Ran::run(&mut images).ok();
        let composed = Composed {
            docker,
            folder: tempfile::tempdir().unwrap(),
            project,
            ports: [free_port(), free_port(), free_port()],
            begun,
        };
        composed.say("the image is made");
        composed.compose(&["up", "--detach"]).ok();
        for (name, text) in [("ca.crt", composed.admin("ca.crt")), ("kubeconfig", composed.admin("admin.kubeconfig"))] {
            std::fs::write(composed.folder.path().join(name), text).unwrap();
        }
        composed
    }

    fn say(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    fn compose(&self, args: &[&str]) -> Ran {
        let mut command = self.docker.compose();
        command.arg("--project-name").arg(&self.project);
        command.arg("--file").arg(top().join("deploy/docker-compose.yml")).args(args);
        command.env("RAFTSMAN_IMAGE", &self.project);
        for (name, port) in ["RAFTSMAN_PORT_A", "RAFTSMAN_PORT_B", "RAFTSMAN_PORT_C"].iter().zip(self.ports) {
            command.env(name, port.to_string());
        }
        Ran::run(&mut command)
    }

    /// A file for people, from where the one-shot has put it.
    fn admin(&self, name: &str) -> String {
        eventually(SOON, || {
            let ran = self.compose(&["exec", "-T", "server-a", "cat", &format!("/admin/{name}")]);
            if ran.code == Some(0) { Ok(ran.stdout) } else { Err(format!("{ran}")) }
        })
    }

    /// The id of a service's container, running or not.
    fn container(&self, service: &str) -> String {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        let ids = self.docker.run(&["ps", "--all", "--quiet", "--filter", &project, "--filter", &service]).ok();
        ids.trim().to_owned()
    }

    fn docker(&self, verb: &str, service: &str) {
        let container = self.container(service);
        self.docker.run(&[verb, &container]).ok();
        self.say(&format!("docker {verb} {service}"));
    }

    /// What a server tells on its metrics port, as the scrape file reaches it.
    fn metric(&self, service: &str, name: &str) -> Result<f64, String> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = self.docker.run(&["inspect", "--format", format, &self.container(service)]).ok();
        let seen = scrape(&format!("{}:9090", address.trim()))?;
        seen.value(name, "").ok_or_else(|| format!("{service} does not tell {name}"))
    }

    /// The server whose member leads the raft group.
    fn leader(&self) -> &'static str {
        let leads = |server: &&str| self.metric(server, "etcd_server_is_leader") == Ok(1.0);
        eventually(SOON, || SERVERS.into_iter().find(leads).ok_or_else(|| "no member leads".to_owned()))
    }

    /// Waits until a server's member follows or leads, and has applied what there is.
    fn serves(&self, server: &str) {
        eventually(SOON, || match self.metric(server, "etcd_server_has_leader")? {
            1.0 => self.metric(server, "apiserver_watch_cache_resource_version"),
            _ => Err(format!("{server} has no leader")),
        });
        let port = self.ports[SERVERS.iter().position(|name| *name == server).unwrap()];
        eventually(SOON, || self.kubectl_at(port, &["get", "--raw", "/readyz"]));
        self.say(&format!("{server} serves"));
    }

    fn kubectl_at(&self, port: u16, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(peer("kubectl"));
        command.arg(format!("--server=https://127.0.0.1:{port}")).arg("--request-timeout=20s").args(args);
        command.env("KUBECONFIG", self.folder.path().join("kubeconfig")).env("HOME", self.folder.path());
        let ran = Ran::run(&mut command);
        if ran.code == Some(0) { Ok(ran.stdout) } else { Err(format!("{ran}")) }
    }

    /// kubectl, at the first server that answers.
    fn kubectl(&self, args: &[&str]) -> String {
        eventually(SOON, || {
            let answers = self.ports.map(|port| self.kubectl_at(port, args));
            answers.into_iter().reduce(Result::or).expect("there are three")
        })
    }

    fn get(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[&["get", "-o", "json"], args].concat())).unwrap()
    }

    /// Submits a Job of 200 Pods by grpcurl from outside, through the port of a server.
    fn submit(&self, name: &str, parallelism: u64, pause: &str, port: u16) {
        let script = format!(
            "echo began $POD >> /var/lib/raftsman/runs; sleep {pause}; echo ended $POD >> /var/lib/raftsman/runs"
        );
        let request = json!({"job": {
            "metadata": {"namespace": "default", "name": name},
            "spec": {"completions": PODS, "parallelism": parallelism, "backoffLimit": 100, "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "main",
                    "image": "busybox",
                    "command": ["/bin/sh", "-c", script],
                    "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                }],
            }}},
        }});
        let mut command = Command::new(peer("grpcurl"));
        command.arg("-cacert").arg(self.folder.path().join("ca.crt"));
        command.arg("-H").arg(format!("authorization: Bearer {}", self.admin("admin.token").trim()));
        command.args(["-d", "@", &format!("127.0.0.1:{port}"), "raftsman.v1.JobService/Create"]);
        Ran::with_input(&mut command, request.to_string().as_bytes()).ok();
        self.say(&format!("{name} is submitted"));
    }

    /// Waits until this many Pods of a Job are counted.
    fn progress(&self, name: &str, succeeded: u64) {
        eventually(JOB_WITHIN, || {
            let job = self.get(&["job", name]);
            let counted = job["status"]["succeeded"].as_u64().unwrap_or_default();
            if counted >= succeeded { Ok(()) } else { Err(format!("{name}: {}", job["status"])) }
        });
    }

    fn is_complete(&self, job: &Value) -> bool {
        let conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|condition| condition["type"] == "Complete" && condition["status"] == "True")
    }

    /// Waits for the end of a Job and looks at every Pod of it: 200 of 200, each program begun once, none counted twice.
    fn complete(&self, name: &str) -> Value {
        let job = eventually(JOB_WITHIN, || {
            let job = self.get(&["job", name]);
            if self.is_complete(&job) { Ok(job) } else { Err(format!("{name}: {}", job["status"])) }
        });
        self.say(&format!("{name} is complete: {}", job["status"]["succeeded"]));
        assert_eq!(job["status"]["succeeded"], PODS, "{}", job["status"]);
        let pods = self.get(&["pods", "--selector", &format!("batch.kubernetes.io/job-name={name}")]);
        let pods = pods["items"].as_array().unwrap();
        let in_phase = |phase: &str| pods.iter().filter(|pod| pod["status"]["phase"] == phase).count() as u64;
        assert_eq!(in_phase("Succeeded"), PODS, "as many Pods as were counted");
        let failed = job["status"]["failed"].as_u64().unwrap_or_default();
        assert_eq!(in_phase("Failed"), failed, "{}", job["status"]);
        let runs = self.runs(name);
        let twice: Vec<_> = runs.began.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "Pods that ran more than once: {twice:?}");
        for pod in pods.iter().filter(|pod| pod["status"]["phase"] == "Succeeded") {
            let pod = pod["metadata"]["name"].as_str().unwrap();
            assert_eq!(runs.ended.get(pod), Some(&1), "{pod} has succeeded without coming to its end");
        }
        job
    }

    /// What the Pods of a Job have written, on all nodes.
    fn runs(&self, job: &str) -> Runs {
        let mut runs = Runs::default();
        for agent in AGENTS {
            let text = self.compose(&["exec", "-T", agent, "cat", "/var/lib/raftsman/runs"]).ok();
            for line in text.lines() {
                let (what, pod) = line.split_once(' ').unwrap_or_else(|| panic!("{agent} has a torn line {line:?}"));
                if pod.rsplit_once('-').is_some_and(|(prefix, _)| prefix == job) {
                    let list = if what == "began" { &mut runs.began } else { &mut runs.ended };
                    *list.entry(pod.to_owned()).or_default() += 1;
                }
            }
        }
        runs
    }

    /// Exactly one Pod for each completion: nothing failed, nothing ran that was not counted.
    fn complete_without_loss(&self, name: &str) {
        let job = self.complete(name);
        assert_eq!(job["status"]["failed"].as_u64().unwrap_or_default(), 0, "{}", job["status"]);
        assert_eq!(self.runs(name).began.len() as u64, PODS, "no Pod was replaced");
    }
}

impl Drop for Composed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.compose(&["logs", "--no-color", "--tail", "25"]);
            eprintln!("{}", logs.stdout);
        }
        self.compose(&["down", "--volumes", "--timeout", "10"]);
        self.docker.run(&["image", "rm", &self.project]);
        self.say("everything is down");
    }
}

fn three_nodes_are_ready(cluster: &Composed) {
    eventually(SOON, || {
        let table = cluster.kubectl(&["get", "nodes", "--no-headers"]);
        let ready = table.lines().filter(|line| line.split_whitespace().nth(1) == Some("Ready"));
        let names: Vec<&str> = ready.filter_map(|line| line.split_whitespace().next()).collect();
        if names == AGENTS { Ok(()) } else { Err(table) }
    });
    cluster.say("three nodes are Ready");
}

fn the_leader_is_killed(cluster: &Composed) {
    cluster.submit("killed", 40, "1", cluster.ports[1]);
    cluster.progress("killed", 20);
    let leader = cluster.leader();
    cluster.docker("kill", leader);
    cluster.complete_without_loss("killed");
    cluster.docker("start", leader);
    cluster.serves(leader);
}

fn every_server_is_stopped_and_started(cluster: &Composed) {
    let mut jobs: Vec<String> = Vec::new();
    for server in SERVERS {
        // Each stop shall find a Job at work, however fast or slow this machine is.
        let at_work = jobs.last().is_some_and(|name| !cluster.is_complete(&cluster.get(&["job", name])));
        if !at_work {
            let name = format!("rolled{}", jobs.len());
            cluster.submit(&name, 15, "3", cluster.ports[2]);
            cluster.progress(&name, 5);
            jobs.push(name);
        }
        cluster.docker("stop", server);
        cluster.docker("start", server);
        cluster.serves(server);
    }
    for job in jobs {
        cluster.complete_without_loss(&job);
    }
}

fn an_agent_is_stopped_and_started(cluster: &Composed) {
    cluster.submit("moved", 30, "1", cluster.ports[0]);
    cluster.progress("moved", 20);
    cluster.docker("stop", AGENTS[1]);
    cluster.docker("start", AGENTS[1]);
    // Pods whose processes went with the container have failed, and were replaced.
    let job = cluster.complete("moved");
    let failed = job["status"]["failed"].as_u64().unwrap_or_default();
    cluster.say(&format!("{failed} Pods were lost with the agent"));
    three_nodes_are_ready(cluster);
}

#[test]
fn containers_come_and_go_while_jobs_run() {
    let cluster = Composed::up();
    three_nodes_are_ready(&cluster);
    for server in SERVERS {
        cluster.serves(server);
    }
    the_leader_is_killed(&cluster);
    every_server_is_stopped_and_started(&cluster);
    an_agent_is_stopped_and_started(&cluster);
}

/// What `make images` would build for those who have docker alone is not built here (it compiles everything); but that it
/// names what there is can be seen.
#[test]
fn the_dockerfile_names_what_there_is() {
    let text = std::fs::read_to_string(top().join("deploy/Dockerfile")).unwrap();
    let copied = text.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.contains("--from"));
    for source in copied.flat_map(|line| line.split(' ').rev().skip(1)) {
        let is_packed = ["raftsman", "raftsman-shim"].contains(&source);
        assert!(is_packed || top().join(source).exists(), "{source} is not in the tree");
    }
    let version: PathBuf = top().join("Cargo.toml");
    let manifest: toml::Table = std::fs::read_to_string(version).unwrap().parse().unwrap();
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(text.contains(&format!("FROM rust:{rust}-bookworm AS build")), "the workspace needs Rust {rust}");
}
