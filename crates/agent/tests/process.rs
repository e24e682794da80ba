//! The process runtime with real shims, over lives of the agent: a runtime that is dropped and opened anew stands for an agent
//! that was killed, since nothing of it is kept in memory.

#![allow(clippy::unwrap_used)] // in a test a panic is the report

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::{Duration, Instant};

use agent::launch::{Launch, User};
use agent::runtime::process::ProcessRuntime;
use agent::runtime::{Runtime, Start, StartId};
use agent::worker::life::{Exit, Run};
use chrono::Utc;
use proto::core_v1::Pod;
use proto::meta_v1::ObjectMeta;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    data: PathBuf,
    pod: Pod,
}

impl Scene {
    fn new(name: &str) -> Scene {
        let data = std::env::temp_dir().join(format!("raftsman-agent-{}-{name}", std::process::id()));
        fs::create_dir_all(&data).unwrap();
        let metadata = ObjectMeta { uid: "uid-1".into(), name: "p".into(), ..ObjectMeta::default() };
        Scene { data, pod: Pod { metadata: Some(metadata), ..Pod::default() } }
    }

    /// As a new agent sees it.
    fn agent(&self) -> ProcessRuntime {
        ProcessRuntime::open(&self.data, shim()).unwrap()
    }

    async fn start(&self, number: u32, script: &str) -> Run {
        self.try_start(number, script).await.unwrap()
    }

    async fn try_start(&self, number: u32, script: &str) -> Result<Run, agent::runtime::RuntimeError> {
        let args = ["/bin/sh", "-c", script].map(ToOwned::to_owned).to_vec();
        let launch = Launch { args, cwd: "/".into(), ..Launch::default() };
        let id = id(number);
        let start = Start { id: &id, pod: &self.pod, launch: &launch, deadline: None, now: Utc::now() };
        self.agent().start(start).await
    }

    fn file(&self, number: u32, name: &str) -> PathBuf {
        self.data.join(format!("pods/uid-1/main/{number}")).join(name)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.data);
    }
}

fn id(number: u32) -> StartId {
    StartId { pod_uid: "uid-1".into(), container: "main".into(), number }
}

/// The shim of this build, beside the tests' folder.
fn shim() -> PathBuf {
    static BUILT: Once = Once::new();
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    // `make test` has built it before; a build of its own would wait for every other one on the machine.
    BUILT.call_once(|| {
        if folder.join("raftsman-shim").exists() {
            return;
        }
        let release = folder.ends_with("release").then_some("--release");
        let status = Command::new(env!("CARGO")).args(["build", "-q", "-p", "shim"]).args(release).status().unwrap();
        assert!(status.success());
    });
    folder.join("raftsman-shim")
}

async fn ended(agent: &ProcessRuntime, number: u32) -> Exit {
    tokio::time::timeout(PATIENCE, agent.wait(&id(number))).await.expect("it ends")
}

#[tokio::test]
async fn an_exit_while_no_agent_lives_is_found() {
    let scene = Scene::new("away");
    let go = scene.data.join("go");
    let script = format!("echo line; while [ ! -e {} ]; do sleep 0.05; done; exit 7", go.display());
    assert!(matches!(scene.start(0, &script).await, Run::Running { .. }));
    fs::write(go, "").unwrap();
    let begun = Instant::now();
    while !scene.file(0, "exit").exists() {
        assert!(begun.elapsed() < PATIENCE, "its shim records no exit");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let found = scene.agent().recover(&scene.pod).await.unwrap();
    let [(found_id, Run::Exited(exit))] = &found[..] else { panic!("{found:?}") };
    assert_eq!((found_id, exit.code, exit.reason.as_str()), (&id(0), 7, "Error"));
    let output = fs::read_to_string(scene.file(0, "output.0")).unwrap();
    assert!(output.ends_with(" stdout F line\n"), "{output}");
    assert!(scene.data.join("pods/uid-1/pod").exists(), "the Pod itself is on record");
}

#[tokio::test]
async fn a_running_container_is_adopted_and_never_started_twice() {
    let scene = Scene::new("adopted");
    let count = scene.data.join("count");
    let go = scene.data.join("go");
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
    scene.start(0, &format!("echo x >> {}; {wait}; exit 3", count.display())).await;
    let agent = scene.agent();
    let found = agent.recover(&scene.pod).await.unwrap();
    assert!(matches!(found[..], [(_, Run::Running { .. })]), "{found:?}");
    assert!(scene.try_start(0, "echo x >> /dev/null").await.is_err(), "its shim holds it");
    fs::write(go, "").unwrap();
    assert_eq!(ended(&agent, 0).await.code, 3);
    let again = scene.try_start(0, &format!("echo x >> {}", count.display())).await;
    assert!(again.is_err(), "that start was made already");
    assert_eq!(fs::read_to_string(count).unwrap(), "x\n");
}

#[tokio::test]
async fn stop_reaches_a_container_of_a_former_agent() {
    let scene = Scene::new("stopped");
    scene.start(0, "exec sleep 100").await;
    let agent = scene.agent();
    agent.stop(&id(0), Duration::from_secs(20)).await;
    let exit = ended(&agent, 0).await;
    assert_eq!((exit.code, exit.signal), (143, 15));
}

#[tokio::test]
async fn a_start_that_was_never_made_may_be_made() {
    let scene = Scene::new("never");
    // An agent that was killed before its shim recorded anything.
    fs::create_dir_all(scene.file(0, "")).unwrap();
    fs::write(scene.file(0, "spec"), "arg=/bin/true\0").unwrap();
    assert!(scene.agent().recover(&scene.pod).await.unwrap().is_empty());
    scene.start(0, "exit 0").await;
    assert_eq!(ended(&scene.agent(), 0).await.code, 0);
}

#[tokio::test]
async fn a_killed_shim_is_told_once_and_alike() {
    let scene = Scene::new("killed");
    scene.start(0, "exec sleep 100").await;
    let record = fs::read_to_string(scene.file(0, "start")).unwrap();
    let shim_pid = record.lines().find_map(|line| line.strip_prefix("shim_pid=")).unwrap().parse().unwrap();
    // SAFETY: the shim that this test started.
    unsafe { libc::kill(shim_pid, libc::SIGKILL) };
    let first = ended(&scene.agent(), 0).await;
    assert_eq!((first.code, first.reason.as_str()), (137, "ContainerStatusUnknown"));
    assert_eq!(ended(&scene.agent(), 0).await, first);
    let found = scene.agent().recover(&scene.pod).await.unwrap();
    assert_eq!(found, [(id(0), Run::Exited(first))]);
}

#[tokio::test]
async fn what_cannot_run_has_ended_at_once() {
    let scene = Scene::new("cannot");
    let launch = Launch { args: vec!["no-such-program".into()], cwd: "/".into(), ..Launch::default() };
    let id = id(0);
    let start = Start { id: &id, pod: &scene.pod, launch: &launch, deadline: None, now: Utc::now() };
    let run = scene.agent().start(start).await.unwrap();
    let Run::Exited(exit) = run else { panic!("{run:?}") };
    assert_eq!((exit.code, exit.reason.as_str()), (127, "ContainerCannotRun"));
    assert!(exit.message.contains("executable file not found in $PATH"), "{}", exit.message);
}

/// Needs root, as image roots do; elsewhere the kernel's refusal has to be told.
#[tokio::test]
async fn an_image_root_is_all_that_its_container_sees() {
    let scene = Scene::new("rooted");
    let root = scene.data.join("root");
    // The shell with the libraries that it names.
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let linked = Command::new("ldd").arg(&shell).output().unwrap();
    let libraries = String::from_utf8(linked.stdout).unwrap();
    let libraries = libraries.split_ascii_whitespace().filter(|word| word.starts_with('/'));
    for path in libraries.chain(["/bin/sh"]) {
        let copy = root.join(&path[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(path, copy).unwrap();
    }
    let script = "pwd; echo /*; echo $$ > /tmp/mine";
    let user = User { uid: Some(1234), gid: Some(1234), ..User::default() };
    let launch = Launch {
        args: ["sh", "-c", script].map(ToOwned::to_owned).to_vec(),
        cwd: "/work".into(),
        root: Some(root.clone()),
        user,
        ..Launch::default()
    };
    let id = id(0);
    let start = Start { id: &id, pod: &scene.pod, launch: &launch, deadline: None, now: Utc::now() };
    let agent = scene.agent();
    agent.start(start).await.unwrap();
    let exit = ended(&agent, 0).await;
    // SAFETY: no pointers.
    if unsafe { libc::geteuid() } != 0 {
        assert!(exit.message.contains("operation not permitted"), "{exit:?}");
        return;
    }
    assert_ne!(exit.code, 0, "user 1234 has no /tmp to write to");
    let output = fs::read_to_string(scene.file(0, "output.0")).unwrap();
    let lines: Vec<&str> = output.lines().filter_map(|line| line.split_once(" F ")).map(|(_, text)| text).collect();
    assert_eq!(lines[0], "/work", "a missing working directory is made in an image root");
    assert!(lines[1].starts_with("/bin /lib") && !lines[1].contains("/proc"), "{}", lines[1]);
}

#[tokio::test]
async fn a_removed_pod_leaves_nothing() {
    let scene = Scene::new("removed");
    scene.start(0, "exit 0").await;
    let agent = scene.agent();
    ended(&agent, 0).await;
    assert_eq!(agent.recorded().await.unwrap(), ["uid-1"]);
    agent.remove("uid-1").await.unwrap();
    assert!(agent.recorded().await.unwrap().is_empty());
    assert!(agent.remove("../etc").await.is_err(), "a uid is no path");
}
