//! The real shim with real processes: what lies in its directory afterwards.

#![allow(clippy::unwrap_used)] // in a test a panic is the report

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Container {
    dir: PathBuf,
    shim: Child,
    words: BufReader<std::process::ChildStdout>,
}

impl Container {
    fn start(name: &str, script: &str, more: &[&str]) -> Container {
        Container::start_args(name, &["/bin/sh", "-c", script], more)
    }

    fn start_args(name: &str, args: &[&str], more: &[&str]) -> Container {
        let dir = std::env::temp_dir().join(format!("raftsman-shim-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut spec = Vec::new();
        for field in args.iter().map(|arg| format!("arg={arg}")).chain(more.iter().map(ToString::to_string)) {
            spec.extend_from_slice(field.as_bytes());
            spec.push(0);
        }
        fs::write(dir.join("spec"), spec).unwrap();
        let mut shim =
            Command::new(env!("CARGO_BIN_EXE_raftsman-shim")).arg(&dir).stdout(Stdio::piped()).spawn().unwrap();
        let words = BufReader::new(shim.stdout.take().unwrap());
        Container { dir, shim, words }
    }

    fn word(&mut self) -> String {
        let mut line = String::new();
        self.words.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn stop(&self, grace_ms: u64) {
        let mut control = fs::OpenOptions::new().write(true).open(self.dir.join("control")).unwrap();
        writeln!(control, "stop {grace_ms}").unwrap();
    }

    fn record(&self, name: &str) -> BTreeMap<String, String> {
        fs::read_to_string(self.dir.join(name))
            .unwrap()
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// Waits for the shim's end and gives code, reason and message.
    fn end(&mut self) -> (String, String, String) {
        self.shim.wait().unwrap();
        let mut exit = self.record("exit");
        let mut take = |key: &str| exit.remove(key).unwrap();
        (take("code"), take("reason"), take("message"))
    }

    /// The stored output without its times: `stdout F text`.
    fn output(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join("output.0")).unwrap();
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.shim.kill();
        let _ = self.shim.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn pid_of(container: &Container) -> i32 {
    container.record("start")["pid"].parse().unwrap()
}

fn is_running(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ok(code: &str, reason: &str) -> (String, String, String) {
    (code.to_owned(), reason.to_owned(), String::new())
}

#[test]
fn output_exit_code_and_times_are_kept() {
    let script = "echo out; echo err >&2; pwd; echo $A; cat; printf half; exit 3";
    let mut container = Container::start("kept", script, &["env=A=1 2", "cwd=/tmp"]);
    assert_eq!(container.word(), "started");
    assert_eq!(container.end(), ok("3", "Error"));
    let mut output = container.output();
    output.sort();
    assert_eq!(output, ["stderr F err", "stdout F /tmp", "stdout F 1 2", "stdout F out", "stdout P half"]);
    let exit = container.record("exit");
    let ns = |key: &str| exit[key].parse::<i128>().unwrap();
    assert!(ns("finished_ns") >= ns("started_ns"));
}

#[test]
fn much_output_is_kept_to_the_last_line() {
    let mut container = Container::start("much", "seq 1 200000", &["output_bytes_max=100000000"]);
    assert_eq!(container.end(), ok("0", "Completed"));
    let output = container.output();
    assert_eq!(output.len(), 200_000);
    assert_eq!(output.last().unwrap(), "stdout F 200000");
}

#[test]
fn what_cannot_run_is_told_as_engines_tell_it() {
    let cases: [(&[&str], &str, &str, &str); 4] = [
        (&["no-such-program"], "cwd=/", "127", r#"exec: "no-such-program": executable file not found in $PATH"#),
        (&["/no/such"], "cwd=/", "127", r#"exec: "/no/such": stat /no/such: no such file or directory"#),
        (&["/etc/passwd"], "cwd=/", "126", r#"exec: "/etc/passwd": permission denied"#),
        (&["/bin/true"], "cwd=/no/such", "128", r#"chdir to cwd ("/no/such") failed: no such file or directory"#),
    ];
    for (number, (args, cwd, code, message)) in cases.into_iter().enumerate() {
        let mut container = Container::start_args(&format!("cannot-{number}"), args, &[cwd]);
        assert_eq!(container.word(), "exited");
        let message = format!("unable to start container process: {message}");
        assert_eq!(container.end(), (code.to_owned(), "ContainerCannotRun".to_owned(), message));
    }
}

#[test]
fn stop_lets_the_program_clean_up() {
    let script = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.1; done";
    let mut container = Container::start("stop", script, &[]);
    container.word();
    eventually("the trap is set", || container.output().len() == 1);
    container.stop(30_000);
    assert_eq!(container.end(), ok("9", "Error"));
    let output = container.output();
    // The shell's remark that its sleep was terminated may stand beside them.
    assert_eq!(output.iter().filter(|line| line.starts_with("stdout")).count(), 2);
    assert!(output.contains(&"stdout F bye".to_owned()));
}

#[test]
fn after_the_grace_the_whole_group_is_killed() {
    let script = "trap '' TERM; sleep 1000 & echo $!; wait; wait; sleep 1000";
    let mut container = Container::start("grace", script, &[]);
    container.word();
    eventually("the script runs", || container.output().len() == 1);
    let child: i32 = container.output()[0].strip_prefix("stdout F ").unwrap().parse().unwrap();
    let begun = Instant::now();
    container.stop(300);
    assert_eq!(container.end(), ok("137", "Error"));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(container.record("exit")["signal"], "9");
    eventually("the child is gone", || !is_running(child));
}

/// Who writes without a pause keeps the shim busy, but not from what it is there for.
#[test]
fn a_container_that_writes_without_end_is_stopped_within_its_grace() {
    let mut container = Container::start("yes", "trap '' TERM; exec yes", &["output_bytes_max=1000000"]);
    container.word();
    eventually("it writes", || container.dir.join("output.1").exists());
    let pid = pid_of(&container);
    container.stop(500);
    eventually("it is killed", || !is_running(pid));
    assert_eq!(container.end(), ok("137", "Error"));
}

#[test]
fn the_fence_ends_a_container_that_writes_without_end() {
    let lease = std::env::temp_dir().join(format!("raftsman-shim-writes-{}", std::process::id()));
    fs::write(&lease, format!("{}\n", boot_ns())).unwrap();
    let lease_field = format!("lease={}", lease.display());
    let fields = [lease_field.as_str(), "fence_after_ms=3000", "output_bytes_max=1000000"];
    let mut container = Container::start("writes", "exec yes", &fields);
    assert_eq!(container.word(), "started");
    let pid = pid_of(&container);
    eventually("it is ended", || !is_running(pid));
    assert_eq!(container.end().1, "NodeUnreachable");
    fs::remove_file(&lease).unwrap();
}

#[test]
fn an_exit_that_cannot_be_stored_is_stored_once_it_can() {
    let go = std::env::temp_dir().join(format!("raftsman-shim-go-{}", std::process::id()));
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done; exit 7", go.display());
    let mut container = Container::start("full", &script, &[]);
    container.word();
    // As a full disk: the record cannot be begun.
    let obstacle = container.dir.join("exit.new");
    fs::create_dir(&obstacle).unwrap();
    let pid = pid_of(&container);
    fs::write(&go, "").unwrap();
    eventually("the program has ended", || !is_running(pid));
    std::thread::sleep(Duration::from_millis(500));
    assert!(!container.dir.join("exit").exists());
    assert!(container.shim.try_wait().unwrap().is_none(), "only the shim knows the exit code");
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(container.end(), ok("7", "Error"));
    fs::remove_file(&go).unwrap();
}

#[test]
fn who_left_the_session_ends_with_the_container() {
    let script = "setsid sleep 1000 >/dev/null 2>&1 & echo $!; exit 0";
    let mut container = Container::start("descendants", script, &[]);
    assert_eq!(container.end(), ok("0", "Completed"));
    let child: i32 = container.output()[0].strip_prefix("stdout F ").unwrap().parse().unwrap();
    assert!(!is_running(child));
}

#[test]
fn the_fence_ends_a_container_whose_node_is_cut_off() {
    let lease = std::env::temp_dir().join(format!("raftsman-shim-lease-{}", std::process::id()));
    let renew = || fs::write(&lease, format!("{}\n", boot_ns())).unwrap();
    renew();
    let lease_field = format!("lease={}", lease.display());
    let mut container = Container::start("fence", "sleep 1000", &[&lease_field, "fence_after_ms=3000"]);
    assert_eq!(container.word(), "started");
    // For longer than it would live without; a busy machine may be late with one by many times their interval.
    let mut renewed = Instant::now();
    let begun = renewed;
    while begun.elapsed() < Duration::from_millis(3500) {
        std::thread::sleep(Duration::from_millis(200));
        renewed = Instant::now();
        renew();
    }
    assert!(is_running(pid_of(&container)), "renewed, so it lives");
    let (code, reason, message) = container.end();
    assert_eq!((code.as_str(), reason.as_str()), ("137", "NodeUnreachable"));
    assert!(message.starts_with("the node's lease was not renewed"), "{message}");
    assert!(renewed.elapsed() >= Duration::from_millis(2900) && renewed.elapsed() < Duration::from_secs(6));
    fs::remove_file(&lease).unwrap();
}

#[test]
fn a_container_does_not_begin_after_its_fence() {
    let lease = std::env::temp_dir().join(format!("raftsman-shim-closed-{}", std::process::id()));
    let lease_field = format!("lease={}", lease.display());
    let refused = |name: &str, text: &str, why: &str| {
        fs::write(&lease, text).unwrap();
        let fields = [lease_field.as_str(), "fence_after_ms=20000", "tenure=7"];
        let mut container = Container::start(name, "echo ran", &fields);
        assert_eq!(container.word(), "", "{why}");
        assert!(!container.shim.wait().unwrap().success());
        assert!(!container.dir.join("start").exists(), "nothing is on record, so it may be tried again: {why}");
        assert!(!container.dir.join("exit").exists());
    };
    let long_ago = boot_ns().saturating_sub(21_000_000_000);
    refused("closed-old", &format!("{long_ago} boot 7\n"), "renewed too long ago");
    refused("closed-tenure", &format!("{} boot 8\n", boot_ns()), "renewed after a lapse");
    fs::write(&lease, format!("{} boot 7\n", boot_ns())).unwrap();
    let mut container = Container::start("open", "echo ran", &[&lease_field, "fence_after_ms=20000", "tenure=7"]);
    assert_eq!(container.end(), ok("0", "Completed"));
    fs::remove_file(&lease).unwrap();
}

#[test]
fn an_unreadable_lease_neither_prolongs_nor_ends_a_life() {
    let lease = std::env::temp_dir().join(format!("raftsman-shim-unreadable-{}", std::process::id()));
    let begun = Instant::now();
    fs::write(&lease, format!("{}\n", boot_ns())).unwrap();
    let lease_field = format!("lease={}", lease.display());
    let mut container = Container::start("unreadable", "sleep 1000", &[&lease_field, "fence_after_ms=4000"]);
    assert_eq!(container.word(), "started");
    fs::remove_file(&lease).unwrap();
    assert_eq!(container.end().1, "NodeUnreachable");
    assert!(begun.elapsed() >= Duration::from_millis(3900), "not at once: {:?}", begun.elapsed());
}

#[test]
fn a_killed_shim_takes_its_container_along() {
    let mut container = Container::start("killed", "sleep 1000", &[]);
    container.word();
    let pid = pid_of(&container);
    container.shim.kill().unwrap();
    container.shim.wait().unwrap();
    eventually("the container is gone", || !is_running(pid));
    assert!(!container.dir.join("exit").exists());
}

/// The bar of design D7. Measured on the machine of the project's kind: 216 kB (debug), 228 kB (release).
#[test]
fn the_shim_takes_at_most_500_kb_of_its_own() {
    let mut container = Container::start("memory", "seq 1 50000; sleep 1000", &[]);
    container.word();
    eventually("its buffers are in use", || container.output().len() == 50_000);
    let status = fs::read_to_string(format!("/proc/{}/status", container.shim.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let kb: u64 = line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    println!("RssAnon of a shim that holds a running container: {kb} kB");
    assert!(kb <= 500, "{line}");
    container.stop(0);
    container.end();
}

fn boot_ns() -> u64 {
    let uptime = fs::read_to_string(Path::new("/proc/uptime")).unwrap();
    let seconds: f64 = uptime.split_ascii_whitespace().next().unwrap().parse().unwrap();
    (seconds * 1e9) as u64
}
