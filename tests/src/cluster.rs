//! A real `raftsman` process with a data directory of its own, and clients that talk to it.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use crate::patience::eventually;
use crate::peers::peer;
use crate::process::{Ran, binary};

/// How long a daemon may take to say `ready`, on a machine that is busy with other tests.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long one may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(40);

/// A running daemon.
pub struct Daemon {
    child: Child,
    pub ready: ReadyLine,
    log: PathBuf,
    stdout: PathBuf,
}

/// The fields of the line that a daemon prints when it is ready.
#[derive(Clone, Debug, Default)]
pub struct ReadyLine(Vec<(String, String)>);

impl ReadyLine {
    fn parse(text: &str) -> Option<ReadyLine> {
        let line = text.lines().find(|line| line.starts_with("ready"))?;
        let fields = line.split(' ').filter_map(|field| field.split_once('='));
        Some(ReadyLine(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }

    /// A field of the line, such as `api`.
    pub fn field(&self, name: &str) -> String {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.unwrap_or_else(|| panic!("the ready line has no {name}: {self:?}")).1.clone()
    }
}

impl Daemon {
    /// Starts `raftsman ARGS`, its output into files of `folder`, and waits until it is ready.
    pub fn start(folder: &Path, name: &str, args: &[&str]) -> Daemon {
        let mut command = Command::new(binary("raftsman"));
        command.args(args);
        let mut daemon = Daemon::launch(folder, name, command);
        daemon.wait_ready();
        daemon
    }

    /// Starts a program without waiting for it; its output goes into `NAME.stdout` and `NAME.log` of `folder`.
    pub fn launch(folder: &Path, name: &str, mut command: Command) -> Daemon {
        let log = folder.join(format!("{name}.log"));
        let stdout = folder.join(format!("{name}.stdout"));
        let output = File::create(&stdout).expect("a test's folder can be written");
        let stderr = File::options().create(true).append(true).open(&log).expect("a test's folder can be written");
        // A group of its own, so that Ctrl-C in a terminal ends the tests, and they end it.
        command.stdout(output).stderr(stderr).stdin(std::process::Stdio::null()).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Daemon { child, ready: ReadyLine::default(), log, stdout }
    }

    /// Waits for the line that says `ready`.
    pub fn wait_ready(&mut self) {
        self.ready = eventually(READY_WITHIN, || {
            if let Some(ended) = self.ended() {
                panic!("{} ended with {ended}:\n{}", self.log.display(), self.log());
            }
            let text = std::fs::read_to_string(&self.stdout).unwrap_or_default();
            ReadyLine::parse(&text).filter(|_| text.ends_with('\n')).ok_or_else(|| format!("no ready line: {text:?}"))
        });
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) takes plain numbers; the child is ours and not yet waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// kill -9, and gone.
    pub fn kill(&mut self) {
        // The number of one that has ended may be somebody else's by now.
        if self.ended().is_none() {
            self.signal(libc::SIGKILL);
            self.child.wait().expect("a child can be waited for");
        }
    }

    /// SIGTERM, and waits for the end; the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        if let Ok(Some(ended)) = self.child.try_wait() {
            return ended.code();
        }
        self.signal(libc::SIGTERM);
        let begun = std::time::Instant::now();
        while begun.elapsed() < STOP_WITHIN {
            if let Some(ended) = self.child.try_wait().expect("a child can be waited for") {
                return ended.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        None
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- end of {} ---", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// `raftsman dev` with its folder.
pub struct Cluster {
    // Declared before the folder, and so dropped before it.
    pub daemon: Daemon,
    pub folder: TempDir,
}

/// The cluster that the tests of one binary share, each in a namespace of its own.
static SHARED: OnceLock<Mutex<Option<Cluster>>> = OnceLock::new();
static SHARED_FOLDER: OnceLock<PathBuf> = OnceLock::new();
static NAMESPACES: AtomicU32 = AtomicU32::new(0);

impl Cluster {
    /// Starts one with more flags than a test's ports and folder.
    pub fn start(flags: &[&str]) -> Cluster {
        Cluster::start_in(tempfile::tempdir().expect("a folder can be made"), flags)
    }

    /// Starts one on the data of an earlier one.
    pub fn start_in(folder: TempDir, flags: &[&str]) -> Cluster {
        let data = folder.path().join("data").display().to_string();
        let mut args =
            vec!["dev", "--data-dir", &data, "--listen-api", "127.0.0.1:0", "--listen-client", "127.0.0.1:0"];
        args.extend(flags);
        Cluster { daemon: Daemon::start(folder.path(), "dev", &args), folder }
    }

    /// A namespace of its own on the cluster that this binary's tests share.
    pub fn shared(name: &str) -> Client {
        SHARED.get_or_init(|| {
            let cluster = Cluster::start(&[]);
            SHARED_FOLDER.get_or_init(|| cluster.data());
            // SAFETY: registers a plain function; it runs once, at exit, when no test runs any more.
            unsafe { libc::atexit(stop_shared) };
            Mutex::new(Some(cluster))
        });
        let data = SHARED_FOLDER.get().expect("set with the cluster");
        let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
        let client = Client { data: data.clone(), namespace: format!("{name}-{number}") };
        client.kubectl_anywhere(&["create", "namespace", &client.namespace]).ok();
        client
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Clients of this cluster, in the namespace `default`.
    pub fn client(&self) -> Client {
        Client { data: self.data(), namespace: "default".to_owned() }
    }
}

extern "C" fn stop_shared() {
    if let Some(cluster) = SHARED.get().and_then(|shared| shared.lock().ok()?.take()) {
        drop(cluster);
    }
}

/// Real clients, pointed at one cluster and namespace.
#[derive(Clone, Debug)]
pub struct Client {
    data: PathBuf,
    pub namespace: String,
}

impl Client {
    /// Clients of any cluster whose admin.kubeconfig lies in `data`.
    pub fn at(data: &Path, namespace: &str) -> Client {
        Client { data: data.to_owned(), namespace: namespace.to_owned() }
    }

    pub fn kubeconfig(&self) -> String {
        self.data.join("admin.kubeconfig").display().to_string()
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn token(&self) -> String {
        std::fs::read_to_string(self.data.join("admin.token")).expect("dev writes admin.token").trim().to_owned()
    }

    /// The pinned kubectl, in this namespace.
    pub fn kubectl(&self, args: &[&str]) -> Ran {
        Ran::run(&mut self.kubectl_command(&[&["--namespace", &self.namespace], args].concat()))
    }

    /// The pinned kubectl with a manifest on stdin (`-f -`).
    pub fn kubectl_with(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.kubectl_command(&[&["--namespace", &self.namespace], args].concat());
        Ran::with_input(&mut command, input.as_bytes())
    }

    /// The pinned kubectl without a namespace.
    pub fn kubectl_anywhere(&self, args: &[&str]) -> Ran {
        Ran::run(&mut self.kubectl_command(args))
    }

    /// The command, for a test that lets it run.
    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(peer("kubectl"));
        command.args(args).env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.data);
        command
    }

    /// Our own CLI, in this namespace.
    pub fn raftsman(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(binary("raftsman"));
        command.args(args).args(["--namespace", &self.namespace]).env("RAFTSMAN_KUBECONFIG", self.kubeconfig());
        Ran::run(&mut command)
    }

    /// An object as JSON.
    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.kubectl(&["get", kind, name, "-o", "json"]).ok()).expect("kubectl prints JSON")
    }

    /// The objects of a kind that carry a label, as JSON.
    #[track_caller]
    pub fn list(&self, kind: &str, selector: &str) -> Vec<serde_json::Value> {
        let text = self.kubectl(&["get", kind, "-l", selector, "-o", "json"]).ok();
        let list: serde_json::Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        list["items"].as_array().expect("a list has items").clone()
    }

    /// Waits until a Job has this condition, and returns it.
    #[track_caller]
    pub fn wait_for_job(&self, name: &str, condition: &str, limit: Duration) -> serde_json::Value {
        eventually(limit, || {
            let job = self.get("job", name);
            let conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let holds = conditions.iter().any(|c| c["type"] == condition && c["status"] == "True");
            if holds { Ok(job) } else { Err(format!("job {name}: {}", job["status"])) }
        })
    }
}

/// The manifest of a Job that runs one shell script in a Pod; `spec` is merged into the Job's spec, in flow style.
pub fn job(name: &str, script: &str, spec: &str) -> String {
    job_with(name, script, spec, "Never")
}

/// The same with another restartPolicy.
pub fn job_with(name: &str, script: &str, spec: &str, restart: &str) -> String {
    let mut object = serde_json::json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {
            "restartPolicy": restart,
            "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "main", "image": "busybox", "command": ["/bin/sh", "-c", script]}],
        }}},
    });
    let more: serde_json::Value = serde_json::from_str(&format!("{{{spec}}}")).expect("the spec is JSON fields");
    for (field, value) in more.as_object().expect("an object") {
        object["spec"][field] = value.clone();
    }
    object.to_string()
}
