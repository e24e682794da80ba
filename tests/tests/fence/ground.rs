//! A control plane with agents that live and die apart from it, and Pods that write down when they lived.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tests::cluster::{Client, Daemon};
use tests::netns::Network;
use tests::patience::{eventually, seconds};
use tests::process::{Ran, binary};

/// One member, and what its agents need.
pub struct Ground {
    // Before the folder, and so dropped before it.
    pub server: Daemon,
    port: u16,
    pub client: Client,
    network: Option<Network>,
    folder: TempDir,
}

/// Where an agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Beside the member.
    Beside,
    /// In a network namespace of its own.
    Away,
}

/// A port that nobody listens on now.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The folder with what `pki create` makes, for member `a` on `hosts` and these nodes, and a kubeconfig of the admin for `api`.
pub fn make_pki(hosts: &str, nodes: &[&str], api: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("pki").display().to_string();
    let mut create = Command::new(binary("raftsman"));
    create.args(["pki", "create", "--out", &pki, "--server", &format!("a={hosts}")]);
    create.args(nodes.iter().flat_map(|node| ["--node", node]));
    Ran::run(&mut create).ok();
    let kubeconfig = std::fs::read_to_string(folder.path().join("pki/admin.kubeconfig")).unwrap();
    let here: Vec<String> = kubeconfig
        .lines()
        .map(|line| match line.split_once("server:") {
            Some((before, _)) => format!("{before}server: https://{api}"),
            None => line.to_owned(),
        })
        .collect();
    std::fs::write(folder.path().join("admin.kubeconfig"), here.join("\n")).unwrap();
    folder
}

/// Where the member is reached from the place that is away: the test's own address.
fn own_host(network: &Network) -> String {
    format!("{}.254", network.net())
}

impl Ground {
    /// Starts the member with more flags than its places; no agent yet.
    pub fn start(nodes: &[&str], flags: &[&str]) -> Ground {
        Ground::start_on(None, nodes, flags)
    }

    /// The same with a place from which the member is reached over a wire that can be cut.
    pub fn with_network(nodes: &[&str], flags: &[&str]) -> Ground {
        Ground::start_on(Some(Network::new(1)), nodes, flags)
    }

    fn start_on(network: Option<Network>, nodes: &[&str], flags: &[&str]) -> Ground {
        let (api, client) = (free_address(), free_address());
        let hosts =
            network.as_ref().map_or("127.0.0.1".to_owned(), |network| format!("127.0.0.1,{}", own_host(network)));
        let folder = make_pki(&hosts, nodes, &api);
        let port = api.rsplit(':').next().unwrap().parse().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (data, pki, listen) = (path("server"), path("pki/a"), format!("0.0.0.0:{port}"));
        let mut args = vec!["server", "--name", "a", "--data-dir", &data, "--pki-dir", &pki];
        args.extend(["--listen-api", &listen, "--listen-client", &client]);
        args.extend(flags);
        let server = Daemon::start(folder.path(), "server", &args);
        let client = Client::at(folder.path(), "default");
        Ground { server, port, client, network, folder }
    }

    /// The wire to the place that is away.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("a network was asked for")
    }

    /// Starts a node's agent.
    pub fn agent(&self, node: &str, place: Place) -> Daemon {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let (data, kubeconfig) = (path(&format!("agent-{node}")), path(&format!("pki/node-{node}.kubeconfig")));
        let program = binary("raftsman");
        let (mut command, host) = match place {
            Place::Beside => (Command::new(program), "127.0.0.1".to_owned()),
            Place::Away => (self.network().command(0, &program), own_host(self.network())),
        };
        command.args(["agent", "--server", &format!("https://{host}:{}", self.port), "--kubeconfig", &kubeconfig]);
        command.args(["--node-name", node, "--data-dir", &data]);
        let mut daemon = Daemon::launch(self.folder.path(), &format!("agent-{node}"), command);
        daemon.wait_ready();
        daemon
    }

    /// Marks a node as one of those that a Job may use.
    pub fn label(&self, node: &str, place: &str) {
        self.client.kubectl_anywhere(&["label", "--overwrite", "node", node, &format!("place={place}")]).ok();
    }

    /// Creates a Job of one completion on the nodes of a place, whose Pod lives until the Job is told to end.
    pub fn create(&self, name: &str, place: &str, pod: serde_json::Value) -> Diary {
        let diary = Diary { folder: self.folder.path().join(format!("diary-{name}")) };
        std::fs::create_dir(&diary.folder).unwrap();
        let mut spec = serde_json::json!({
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": {"place": place},
            "containers": [{"name": "main", "image": "any", "command": ["/bin/sh", "-c", diary.script()],
                "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
        });
        for (field, value) in pod.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let job = serde_json::json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"backoffLimit": 6, "template": {"spec": spec}},
        });
        self.client.kubectl_with(&["create", "-f", "-"], &job.to_string()).ok();
        diary
    }

    /// What a node's condition Ready says.
    pub fn ready(&self, node: &str) -> String {
        let object: serde_json::Value =
            serde_json::from_str(&self.client.kubectl_anywhere(&["get", "node", node, "-o", "json"]).ok()).unwrap();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        let taints = object["spec"]["taints"].as_array().map_or(0, Vec::len);
        format!("{} with {taints} taints", ready.map_or("-", |ready| ready["status"].as_str().unwrap_or("-")))
    }

    pub fn wait_ready(&self, node: &str) {
        eventually(seconds(60), || {
            let ready = self.ready(node);
            if ready == "True with 0 taints" { Ok(()) } else { Err(format!("node {node} is ready: {ready}")) }
        });
    }

    /// The Pods of a Job, the oldest first.
    pub fn pods(&self, job: &str) -> Vec<serde_json::Value> {
        let mut pods = self.client.list("pods", &format!("job-name={job}"));
        pods.sort_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned());
        pods
    }
}

/// Tolerates an unreachable node for so long.
pub fn tolerates(seconds: u32) -> serde_json::Value {
    serde_json::json!({"tolerations": [{"key": "node.kubernetes.io/unreachable", "operator": "Exists",
        "effect": "NoExecute", "tolerationSeconds": seconds}]})
}

/// Where the Pods of a Job write down when they lived: a file a Pod, a line each half second.
pub struct Diary {
    folder: PathBuf,
}

/// One run of one container.
#[derive(Clone, Debug)]
pub struct Life {
    pub pod: String,
    pub pid: i32,
    pub begun: f64,
    /// The last sign of life.
    pub seen: f64,
}

impl Diary {
    /// The shell's pid comes from /proc, for `$$` is one dollar in a Pod's command.
    fn script(&self) -> String {
        let folder = self.folder.display();
        format!(
            "read p _ < /proc/self/stat; f={folder}/$POD.$p; \
             while [ ! -e {folder}/end ]; do date +%s.%N >> $f; sleep 0.5; done; date +%s.%N >> $f"
        )
    }

    /// Lets the Pods end.
    pub fn end(&self) {
        std::fs::write(self.folder.join("end"), "").unwrap();
    }

    /// All runs so far, the oldest first.
    pub fn lives(&self) -> Vec<Life> {
        let mut lives: Vec<Life> =
            std::fs::read_dir(&self.folder).unwrap().flatten().filter_map(|entry| read(&entry.path())).collect();
        lives.sort_by(|a, b| a.begun.total_cmp(&b.begun));
        lives
    }

    /// Waits for the run of this number, from 0.
    #[track_caller]
    pub fn wait_for(&self, number: usize, limit: Duration) -> Life {
        eventually(limit, || {
            let lives = self.lives();
            lives.get(number).cloned().ok_or_else(|| format!("{} runs in {}", lives.len(), self.folder.display()))
        })
    }
}

fn read(path: &Path) -> Option<Life> {
    let (pod, pid) = path.file_name()?.to_str()?.rsplit_once('.')?;
    let text = std::fs::read_to_string(path).ok()?;
    let mut times = text.lines().filter_map(|line| line.parse::<f64>().ok());
    let begun = times.next()?;
    Some(Life { pod: pod.to_owned(), pid: pid.parse().ok()?, begun, seen: times.next_back().unwrap_or(begun) })
}

impl Life {
    pub fn is_running(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .is_ok_and(|stat| !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
    }

    /// Waits for the process's end; when that was seen.
    #[track_caller]
    pub fn wait_for_end(&self, limit: Duration) -> f64 {
        eventually(limit, || if self.is_running() { Err(format!("{self:?} lives")) } else { Ok(now()) })
    }

    /// Watches the process live on for so long.
    #[track_caller]
    pub fn expect_alive_for(&self, duration: Duration) {
        let until = now() + duration.as_secs_f64();
        while now() < until {
            assert!(self.is_running(), "{self:?} has ended");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// A time of day, for people.
pub fn clock(at: f64) -> String {
    let of_day = at.rem_euclid(86_400.0);
    format!("{:02}:{:02}:{:06.3}", (of_day / 3600.0) as u32, (of_day / 60.0) as u32 % 60, of_day % 60.0)
}
