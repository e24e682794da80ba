//! Our own command line: what it prints, where, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::cluster::{Cluster, Daemon, job};
use tests::patience::{eventually, seconds};
use tests::process::{Ran, binary, example};

fn raftsman(args: &[&str]) -> Ran {
    Ran::run(Command::new(binary("raftsman")).args(args).env_remove("KUBECONFIG").env("HOME", "/nonexistent"))
}

/// `raftsman dev` in a folder of its own, expected to fail: its one line.
fn refused(folder: &Path, flags: &[&str]) -> String {
    let data = folder.display().to_string();
    let mut args = vec!["dev", "--data-dir", &data, "--listen-client", "127.0.0.1:0"];
    if !flags.contains(&"--listen-api") {
        args.extend(["--listen-api", "127.0.0.1:0"]);
    }
    args.extend(flags);
    let said = raftsman(&args).fails(1);
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("raftsman: ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    lines[0].to_owned()
}

#[test]
fn a_job_is_submitted_watched_listed_and_read() {
    let client = Cluster::shared("cli");
    assert_eq!(client.raftsman(&["job", "submit", &example("pi.yaml")]).ok(), "job.batch/pi created\n");
    let watched = client.raftsman(&["job", "watch", "pi"]).ok();
    assert!(watched.lines().last().unwrap().starts_with("pi   Complete   1/1"), "{watched}");
    assert!(client.raftsman(&["job", "logs", "pi"]).ok().starts_with("3.14159"));
    let listed = client.raftsman(&["job", "list"]).ok();
    assert!(listed.starts_with("NAME   STATUS     COMPLETIONS   DURATION   AGE\npi     Complete   1/1 "), "{listed}");
    assert_eq!(client.raftsman(&["job", "list", "-o", "name"]).ok(), "job.batch/pi\n");
    let json: serde_json::Value = serde_json::from_str(&client.raftsman(&["job", "list", "-o", "json"]).ok()).unwrap();
    assert_eq!(json["items"][0]["kind"], "Job");
    assert!(client.raftsman(&["job", "list", "-o", "yaml"]).ok().contains("kind: Job"));
    assert!(client.raftsman(&["node", "list"]).ok().contains("Ready"));
    let again = client.raftsman(&["job", "submit", &example("pi.yaml")]).fails(1);
    assert!(again.contains("jobs.batch \"pi\" already exists"), "{again}");
    let missing = client.raftsman(&["job", "watch", "nothing"]).fails(1);
    assert!(missing.contains("jobs.batch \"nothing\" not found"), "{missing}");
}

#[test]
fn output_of_several_pods_is_told_apart_and_followed() {
    let client = Cluster::shared("follow");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.json");
    std::fs::write(&path, job("many", "echo begin; sleep 1; echo end", r#""completions": 3, "parallelism": 3"#))
        .unwrap();
    client.raftsman(&["job", "submit", &path.display().to_string()]).ok();
    let text = client.raftsman(&["job", "logs", "--follow", "many"]).ok();
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.lines().all(|line| line.starts_with("[many-")), "{text}");
}

#[test]
fn a_drained_node_has_no_pods_and_its_jobs_go_on_when_it_is_back() {
    let cluster = Cluster::start(&["--node-name", "n1"]);
    let client = cluster.client();
    client.kubectl_with(&["create", "-f", "-"], &job("long", "sleep 3600", r#""backoffLimit": 3"#)).ok();
    let pods = |phase: &str| client.kubectl(&["get", "pods", "-o", "name", "--field-selector", phase]).ok();
    let running = || match pods("status.phase=Running") {
        pods if pods.is_empty() => Err("no Pod runs".to_owned()),
        pods => Ok(pods),
    };
    let first = eventually(seconds(60), running);
    let said = client.raftsman(&["node", "drain", "n1"]).ok();
    assert!(said.starts_with("node/n1 cordoned\n") && said.ends_with("node/n1 drained\n"), "{said}");
    assert!(said.contains(&first.trim().replace("pod/", "pod/default/")), "{said}");
    assert_eq!(pods("spec.nodeName=n1,status.phase=Running"), "");
    client.kubectl_anywhere(&["uncordon", "n1"]).ok();
    assert_ne!(eventually(seconds(60), running), first);
    client.raftsman(&["node", "drain", "nowhere"]).fails(1);
    let version = client.raftsman(&["version"]).ok();
    let server = format!("at {}\n", cluster.daemon.ready.field("api"));
    assert!(version.starts_with("raftsman ") && version.ends_with(&server), "{version}");
}

#[test]
fn a_terminal_gets_a_progress_bar() {
    let client = Cluster::shared("bar");
    client.kubectl_with(&["create", "-f", "-"], &job("b", "sleep 2", r#""completions": 2, "parallelism": 2"#)).ok();
    // script(1) gives the command a terminal.
    let line = format!("{} job watch b --namespace {}", binary("raftsman").display(), client.namespace);
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("RAFTSMAN_KUBECONFIG", client.kubeconfig());
    let drawn = Ran::run(command.env("TERM", "xterm")).ok();
    assert!(drawn.contains('█') && drawn.contains("2/2") && drawn.contains("succeeded 2, failed 0"), "{drawn}");
}

#[test]
fn exit_codes_tell_what_kind_of_failure() {
    raftsman(&["job", "lisst"]).fails(2);
    raftsman(&["dev", "--nodes", "3"]).fails(2);
    let unknown = raftsman(&["job", "list"]).fails(3);
    assert!(unknown.contains("start `raftsman dev`"), "{unknown}");

    let client = Cluster::shared("codes");
    let kubeconfig = std::fs::read_to_string(client.kubeconfig()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let shown = path.display().to_string();
    let without: Vec<&str> = kubeconfig.lines().filter(|line| !line.contains("client-")).collect();
    std::fs::write(&path, without.join("\n").replace("  user:\n", "  user: {token: wrong}\n") + "\n").unwrap();
    raftsman(&["job", "list", "--kubeconfig", &shown]).fails(4);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = kubeconfig.lines().find(|line| line.contains("server: ")).unwrap();
    std::fs::write(&path, kubeconfig.replace(server, &format!("    server: https://{port}"))).unwrap();
    let away = raftsman(&["job", "list", "--kubeconfig", &shown]).fails(3);
    assert!(away.contains(&port.to_string()), "{away}");
}

#[test]
fn a_start_that_cannot_be_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().to_string();
    let line = refused(&folder.path().join("a"), &["--listen-api", &port]);
    assert!(line.contains(&port) && line.contains("--listen-api"), "{line}");

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let line = refused(&file.join("data"), &[]);
    assert!(line.contains("--data-dir"), "{line}");

    let config = folder.path().join("config.toml");
    std::fs::write(&config, "[dev]\nlisten-apii = \"127.0.0.1:0\"\n").unwrap();
    let line = refused(&folder.path().join("b"), &["--config", &config.display().to_string()]);
    assert!(line.contains("listen-apii") && line.contains("config.toml"), "{line}");
}

/// As `timeout` sends it: to the process and to its group.
#[test]
fn one_signal_that_comes_twice_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let args = ["store", "--insecure", "--listen-client", "127.0.0.1:0", "--data-dir", &data];
    let mut store = Daemon::start(folder.path(), "store", &args);
    let begun = Instant::now();
    store.signal(libc::SIGTERM);
    std::thread::sleep(Duration::from_millis(5));
    store.signal(libc::SIGTERM);
    let passed = begun.elapsed();
    let ended = eventually(seconds(60), || store.ended().ok_or_else(|| "it runs".to_owned()));
    // On a machine that busy the second one aborts.
    assert!(ended.code() == Some(0) || passed >= Duration::from_millis(500), "{ended}: {}", store.log());
}

#[test]
fn a_directory_is_held_by_one_process_and_a_strange_or_damaged_one_refused() {
    let mut cluster = Cluster::start(&[]);
    let line = refused(&cluster.data(), &[]);
    assert!(line.contains("in use"), "{line}");
    assert_eq!(cluster.daemon.stop(), Some(0));

    let data = cluster.data().display().to_string();
    let pki = cluster.data().join("pki").display().to_string();
    let store = ["store", "--name", "other", "--data-dir", &data, "--pki-dir", &pki, "--listen-client", "127.0.0.1:0"];
    let line = raftsman(&store).fails(1);
    assert!(line.contains("belongs to member \"dev\", not to \"other\""), "{line}");

    let log = std::fs::read_dir(cluster.data().join("store/log")).unwrap().map(|entry| entry.unwrap().path());
    let written = log.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap();
    let mut bytes = std::fs::read(&written).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle..middle + 20].iter_mut().for_each(|byte| *byte ^= 0xff);
    std::fs::write(&written, bytes).unwrap();
    let line = refused(&cluster.data(), &[]);
    assert!(line.contains("store/log is damaged"), "{line}");
}

#[test]
fn settings_come_from_file_environment_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let data = folder.path().join("data");
    std::fs::write(
        &config,
        format!("data-dir = {data:?}\nlog-format = \"json\"\n[dev]\nlisten-api = \"127.0.0.1:0\"\n"),
    )
    .unwrap();
    let mut command = Command::new(binary("raftsman"));
    command.args(["dev", "--config"]).arg(&config).env("RAFTSMAN_LISTEN_CLIENT", "127.0.0.1:0");
    let out = std::fs::File::create(folder.path().join("out")).unwrap();
    let err = std::fs::File::create(folder.path().join("err")).unwrap();
    let mut child = command.stdout(out).stderr(err).spawn().unwrap();
    let line = eventually(seconds(60), || {
        let text = std::fs::read_to_string(folder.path().join("out")).unwrap();
        if text.ends_with('\n') { Ok(text) } else { Err(std::fs::read_to_string(folder.path().join("err")).unwrap()) }
    });
    assert!(line.starts_with("ready api=https://127.0.0.1:") && line.lines().count() == 1, "{line}");
    assert!(data.join("admin.kubeconfig").is_file());
    // SAFETY: kill(2) takes plain numbers; the child is ours and not yet waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let log = std::fs::read_to_string(folder.path().join("err")).unwrap();
    assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
}

#[test]
fn tokens_are_made_listed_and_revoked_without_a_restart() {
    let client = Cluster::shared("tokens");
    let pki = client.data().join("pki").display().to_string();
    let made = raftsman(&["token", "create", "--pki-dir", &pki, "--user", "mallory", "--group", "system:masters"]).ok();
    let token = made.trim();
    let whoami = || {
        client.kubectl_anywhere(&[
            "auth",
            "whoami",
            "--kubeconfig",
            "/dev/null",
            "--token",
            token,
            "--server",
            &server(&client),
            "--certificate-authority",
            &format!("{pki}/ca.crt"),
        ])
    };
    eventually(seconds(30), || {
        let who = whoami();
        if who.code == Some(0) && who.stdout.contains("mallory") { Ok(()) } else { Err(who.to_string()) }
    });
    let listed = raftsman(&["token", "list", "--pki-dir", &pki]).ok();
    let id = listed.lines().find(|line| line.contains("mallory")).unwrap().split(' ').next().unwrap().to_owned();
    raftsman(&["token", "revoke", "--pki-dir", &pki, &id]).ok();
    eventually(seconds(30), || if whoami().code == Some(0) { Err("still valid".into()) } else { Ok(()) });
}

fn server(client: &tests::cluster::Client) -> String {
    let kubeconfig = std::fs::read_to_string(client.kubeconfig()).unwrap();
    kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap().to_owned()
}
