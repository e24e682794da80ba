//! etcd's own command line, unmodified, against our store: what it does on etcd it does here, and says the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tests::members::{Members, Program, Setup};
use tests::patience::{eventually, seconds};
use tests::peers::peer;
use tests::process::Ran;

fn alone(program: Program) -> Members {
    Members::start_with(Setup { count: 1, ..Setup::of(program) })
}

fn etcdctl(members: &Members, args: &[&str]) -> Command {
    let endpoints: Vec<String> = (0..members.count()).map(|index| members.client_url(index)).collect();
    let file = |name: &str| members.pki().join("a").join(name);
    let mut command = Command::new(peer("etcdctl"));
    command.arg("--endpoints").arg(endpoints.join(","));
    command.arg("--cacert").arg(file("store-ca.crt")).arg("--cert").arg(file("store-client.crt"));
    command.arg("--key").arg(file("store-client.key")).args(args);
    command
}

fn run(members: &Members, args: &[&str]) -> Ran {
    Ran::run(&mut etcdctl(members, args))
}

/// An etcdctl that goes on until it is interrupted.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let default_interrupt = || {
            // SAFETY: signal(2) is one of the calls that are allowed between fork and exec.
            unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
            Ok(())
        };
        // Tests that run in the background ignore Ctrl-C, and children inherit that.
        // SAFETY: the closure does nothing but that one call.
        unsafe { command.pre_exec(default_interrupt) };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (lines, heard) = (BufReader::new(child.stdout.take().unwrap()).lines(), said.clone());
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| heard.lock().unwrap().push(line)));
        Running { input: child.stdin.take(), child, said }
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said so many lines, and returns them.
    #[track_caller]
    fn lines(&self, count: usize) -> Vec<String> {
        eventually(seconds(60), || match self.said() {
            said if said.len() >= count => Ok(said),
            said => Err(format!("{count} lines are awaited, it said {said:?}")),
        })
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ctrl-C, and waits for the end.
    fn interrupt(mut self) -> Vec<String> {
        // SAFETY: kill(2) takes plain numbers; the child is ours and not yet waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        self.child.wait().unwrap();
        self.said()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// What it said and how it ended, without what differs lawfully: addresses, and the time that something took.
fn plain(members: &Members, ran: Ran) -> (Option<i32>, String, String) {
    let plain = |text: &str| {
        let text = text.replace(&members.client_url(0), "URL").replace(&members.peer_url(0), "PEER");
        text.split("took ").next().unwrap_or_default().to_owned()
    };
    // Warnings of the client library begin with a brace; the last line is etcdctl's own.
    let last = ran.stderr.lines().rfind(|line| !line.starts_with('{')).unwrap_or_default();
    (ran.code, plain(&ran.stdout), plain(last))
}

/// Each line is a command; `|` begins what it reads from its input, where `;` ends a line.
const COMMANDS: &str = r#"
version
get a
put a 1
put a 2 --prev-kv
put b/1 x
put b/2 y
put c --ignore-value
put c 3
put c --ignore-value --prev-kv
put a --ignore-lease 4
put a 5 --lease=7b
get a
get a -w fields --consistency=s
get a --rev=2
get a --rev=99
get b/ --prefix
get b/ --prefix --keys-only
get b/ --prefix --print-value-only
get b/ --prefix --count-only -w fields
get a c
get b/1 --from-key
get --prefix "" --limit=2
get --prefix "" --order=DESCEND --sort-by=MODIFY
get --prefix "" --order=ASCEND --sort-by=VALUE
get --prefix "" --min-mod-rev=4 --max-create-rev=5
get a -w json
get a -w protobuf
get "" z
txn | value("a") = "4"; ; put t yes;get t; ; put t no;get t; ;
txn | mod("a") > "100"; ; put t yes; ; del t;get t; ;
txn | create("none") = "0"; ; put none 1;del c --prev-kv; ; ;
txn | lease("a") = "0";ver("a") < "9"; ; get a; ; ;
txn | ; put a 1;put a 2; ; ;
del none
del b/1
del b/ --prefix --prev-kv
put k1 1
put k2 2
put k3 3
del k1 k3
del k3 --from-key
lease grant 0
lease grant 9000000001
lease list
lease revoke 7b
lease timetolive 7b
lease timetolive 7b --keys -w fields
lease keep-alive 7b --once
compaction 5
compaction 5
compaction 4
compaction 999
get a --rev=3
defrag
alarm list
alarm disarm
endpoint health
endpoint health --cluster
member list -w fields
auth status
auth enable
auth disable
user list
role list
user get nobody
user delete nobody
role get nothing
role delete nothing
role grant-permission nothing read a
downgrade validate 3.5
downgrade validate 3.4
downgrade cancel
move-leader 12345
member remove 12345
member promote 12345
member update 12345 --peer-urls=https://127.0.0.1:1
put
nonsense
"#;

/// A line as arguments (quotes hold an empty one together) and input.
fn parse(line: &str) -> (Vec<String>, String) {
    let (args, input) = line.split_once(" | ").unwrap_or((line, ""));
    let args = args.split(' ').map(|arg| if arg == "\"\"" { String::new() } else { arg.to_owned() }).collect();
    (args, input.split(';').map(str::trim).collect::<Vec<_>>().join("\n"))
}

/// Ids of members and groups are drawn, so are the numbers of leases; terms and revisions that only count are not
/// compared here.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| {
        let digits = word.trim_matches(|sign: char| !sign.is_ascii_alphanumeric());
        digits.len() >= 13 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let words =
        |line: &str| line.split(' ').map(|word| if is_id(word) { "ID" } else { word }).collect::<Vec<_>>().join(" ");
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(mut json) => {
            if let Some(header) = json.get_mut("header").and_then(Value::as_object_mut) {
                header.retain(|name, _| name == "revision");
            }
            json.to_string()
        }
        Err(_) => words(line),
    };
    text.lines().filter(|line| !line.contains("RaftTerm")).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn it_says_what_it_says_on_etcd() {
    let (etcd, ours) = (alone(Program::Etcd), alone(Program::Store));
    let mut differences = Vec::new();
    for line in COMMANDS.lines().filter(|line| !line.is_empty()) {
        let (args, input) = parse(line);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let said = [&etcd, &ours].map(|members| {
            let ran = Ran::with_input(&mut etcdctl(members, &args), input.as_bytes());
            let (code, stdout, stderr) = plain(members, ran);
            // The raw message holds the ids.
            let stdout = if line.ends_with("protobuf") { "a message".into() } else { without_ids(&stdout) };
            format!("{code:?} {stdout:?} {:?}", without_ids(&stderr))
        });
        if said[0] != said[1] {
            differences.push(format!("{line}\n  etcd: {}\n  ours: {}", said[0], said[1]));
        }
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

/// A watch prints the same events, as they come and from the past, and tells progress when asked.
#[test]
fn watches_print_what_they_print_on_etcd() {
    let printed = [Program::Etcd, Program::Store].map(|program| {
        let members = alone(program);
        run(&members, &["put", "w/a", "0"]).ok();
        let past = ["watch", "--prefix", "w/", "--prev-kv", "--rev", "1"];
        let past = Running::start(etcdctl(&members, &past));
        let mut asked = Running::start(etcdctl(&members, &["watch", "-i"]));
        asked.tell("watch w/a");
        let all = Running::start(etcdctl(&members, &["watch", "", "--prefix", "-w", "json"]));
        // The first event of each shows that it watches.
        eventually(seconds(60), || {
            run(&members, &["put", "w/a", "1"]).ok();
            let begun = [&past, &asked, &all].map(|running| !running.said().is_empty());
            if begun == [true; 3] { Ok(()) } else { Err(format!("{begun:?}")) }
        });
        run(&members, &["put", "w/b", "1"]).ok();
        run(&members, &["del", "w/", "--prefix"]).ok();
        let of_past = eventually(seconds(60), || match past.said() {
            // The last event ends with an empty value.
            said if said.iter().filter(|line| *line == "DELETE").count() == 2
                && said.ends_with(&["w/b".to_owned(), String::new()]) =>
            {
                Ok(said)
            }
            said => Err(format!("{said:?}")),
        });
        asked.tell("progress");
        let told = eventually(seconds(60), || {
            let said = asked.said();
            said.iter().find(|line| line.starts_with("progress notify: ")).cloned().ok_or(format!("{said:?}"))
        });
        let revision: i64 = told.trim_start_matches("progress notify: ").parse().unwrap();
        let newest = run(&members, &["get", "w/a", "-w", "json"]).ok();
        let newest: Value = serde_json::from_str(&newest).unwrap();
        assert_eq!(newest["header"]["revision"], Value::from(revision));
        drop(all.interrupt());
        // How often `w/a` was put is chance; what an event looks like is not.
        let mut of_past: Vec<String> = of_past;
        of_past.dedup();
        (of_past.first().cloned(), of_past[of_past.len() - 8..].to_vec())
    });
    assert_eq!(printed[0], printed[1]);
}

#[test]
fn leases_keep_and_lose_their_keys() {
    let members = alone(Program::Store);
    let granted = run(&members, &["lease", "grant", "600"]).ok();
    let id = granted.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(granted, format!("lease {id} granted with TTL(600s)\n"));
    run(&members, &["put", "leased", "x", "--lease", &id]).ok();
    assert_eq!(run(&members, &["lease", "list"]).ok(), format!("found 1 leases\n{id}\n"));
    let left = run(&members, &["lease", "timetolive", &id, "--keys"]).ok();
    assert!(left.contains("granted with TTL(600s)") && left.contains("attached keys([leased])"), "{left}");
    let kept = run(&members, &["lease", "keep-alive", &id, "--once"]).ok();
    assert_eq!(kept, format!("lease {id} keepalived with TTL(600)\n"));
    assert_eq!(run(&members, &["lease", "revoke", &id]).ok(), format!("lease {id} revoked\n"));
    assert_eq!(run(&members, &["get", "leased"]).ok(), "");

    // Not so short that it ends before etcdctl has begun to keep it alive.
    let short = run(&members, &["lease", "grant", "6"]).ok();
    let id = short.split(' ').nth(1).unwrap().to_owned();
    let kept = Running::start(etcdctl(&members, &["lease", "keep-alive", &id]));
    run(&members, &["put", "short", "x", "--lease", &id]).ok();
    // One each two seconds.
    kept.lines(5);
    assert_eq!(run(&members, &["get", "short"]).ok(), "short\nx\n", "kept alive beyond its six seconds");
    drop(kept);
    eventually(seconds(60), || match run(&members, &["get", "short"]).ok() {
        nothing if nothing.is_empty() => Ok(()),
        left => Err(left),
    });
}

/// Three members: the same commands wherever they arrive, and those that need more than one member.
#[test]
fn three_members_serve_every_command() {
    let members = Members::start(Program::Store);
    for index in 0..3 {
        members.etcdctl([index], &["put", &format!("k{index}"), "v"]).ok();
        let seen = members.etcdctl([(index + 1) % 3], &["get", "k", "--prefix", "--keys-only"]).ok();
        assert_eq!(seen.lines().filter(|line| !line.is_empty()).count(), index + 1, "{seen}");
    }
    let list = run(&members, &["member", "list"]).ok();
    assert_eq!(list.lines().filter(|line| line.contains("started") && line.contains("false")).count(), 3, "{list}");
    let healthy = run(&members, &["endpoint", "health", "--cluster"]);
    assert_eq!(format!("{}{}", healthy.stdout, healthy.stderr).matches("is healthy").count(), 3, "{healthy}");
    let status: Value = serde_json::from_str(&run(&members, &["endpoint", "status", "-w", "json"]).ok()).unwrap();
    let leaders: Vec<&Value> = status.as_array().unwrap().iter().map(|one| &one["Status"]["leader"]).collect();
    assert!(leaders.len() == 3 && leaders.iter().all(|leader| *leader == leaders[0]), "{status}");

    lock_and_elect(&members);
    move_leader(&members);
    mirror(&members);
    hashes_agree(&members);
    snapshot(&members);
}

fn snapshot(members: &Members) {
    let file = members.folder().join("saved").display().to_string();
    let saved = members.etcdctl([1], &["snapshot", "save", &file]).ok();
    assert!(saved.starts_with(&format!("Snapshot saved at {file}")), "{saved}");
    assert!(std::fs::metadata(&file).unwrap().len() > 512);
}

fn hashes_agree(members: &Members) {
    let hashes = eventually(seconds(60), || {
        let answer = run(members, &["endpoint", "hashkv", "-w", "json"]).ok();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let hash = |one: &Value| (one["HashKV"]["hash"].clone(), one["HashKV"]["hash_revision"].clone());
        let hashes: Vec<_> = answer.as_array().unwrap().iter().map(hash).collect();
        // A member may be a moment behind.
        if hashes.iter().all(|hash| *hash == hashes[0]) { Ok(hashes) } else { Err(format!("{hashes:?}")) }
    });
    assert_eq!(hashes.len(), 3);
}

fn lock_and_elect(members: &Members) {
    let held = members.etcdctl([0], &["lock", "once", "echo", "held"]).ok();
    assert_eq!(held, "held\n");
    let first = Running::start(etcdctl(members, &["lock", "mutex"]));
    assert!(first.lines(1)[0].starts_with("mutex/"));
    let second = Running::start(etcdctl(members, &["lock", "mutex"]));
    eventually(seconds(60), || {
        let waiting = run(members, &["get", "mutex/", "--prefix", "--keys-only"]).ok();
        if waiting.lines().filter(|line| !line.is_empty()).count() == 2 { Ok(()) } else { Err(waiting) }
    });
    assert!(second.said().is_empty(), "it is held");
    first.interrupt();
    assert!(second.lines(1)[0].starts_with("mutex/"));
    second.interrupt();

    let listener = Running::start(etcdctl(members, &["elect", "-l", "ballot"]));
    let one = Running::start(etcdctl(members, &["elect", "ballot", "one"]));
    assert_eq!(one.lines(2)[1], "one");
    let two = Running::start(etcdctl(members, &["elect", "ballot", "two"]));
    eventually(seconds(60), || {
        let standing = run(members, &["get", "ballot/", "--prefix", "--print-value-only"]).ok();
        if standing.contains("two") { Ok(()) } else { Err(standing) }
    });
    assert!(two.said().is_empty());
    one.interrupt();
    assert_eq!(two.lines(2)[1], "two");
    eventually(seconds(60), || match listener.said() {
        said if said.contains(&"one".to_owned()) && said.contains(&"two".to_owned()) => Ok(()),
        said => Err(format!("{said:?}")),
    });
    two.interrupt();
}

fn move_leader(members: &Members) {
    let before = members.leader();
    let to = (before + 1) % 3;
    let list = run(members, &["member", "list"]).ok();
    let line = list.lines().find(|line| line.split(", ").nth(2) == Some(members.name(to))).unwrap();
    let id = line.split(',').next().unwrap();
    let moved = run(members, &["move-leader", id]).ok();
    assert!(moved.starts_with("Leadership transferred from ") && moved.trim_end().ends_with(id), "{moved}");
    eventually(seconds(60), || match members.leader_now()? {
        leader if leader == to => Ok(()),
        leader => Err(format!("{leader} leads")),
    });
    let refused = members.etcdctl([before], &["move-leader", id]).fails(128);
    assert!(refused.contains("no leader endpoint given"), "{refused}");
    run(members, &["put", "after", "the move"]).ok();
}

fn mirror(members: &Members) {
    run(members, &["put", "src/a", "1"]).ok();
    let file = |name: &str| members.pki().join("a").join(name).display().to_string();
    let (ca, certificate, key) = (file("store-ca.crt"), file("store-client.crt"), file("store-client.key"));
    let target = members.client_url(2);
    let mut args = vec!["make-mirror", "--prefix", "src/", "--dest-prefix", "copy/"];
    args.extend(["--dest-cacert", &ca, "--dest-cert", &certificate, "--dest-key", &key, &target]);
    let mirror = Running::start(etcdctl(members, &args));
    let copied = |want: &str| {
        eventually(seconds(60), || match run(members, &["get", "copy/", "--prefix"]).ok() {
            copy if copy == want => Ok(()),
            copy => Err(copy),
        });
    };
    copied("copy/a\n1\n");
    run(members, &["put", "src/b", "2"]).ok();
    copied("copy/a\n1\ncopy/b\n2\n");
    run(members, &["del", "src/a"]).ok();
    copied("copy/b\n2\n");
    drop(mirror);
}

/// How fast it is is for the benchmark to say: here it must do its work to the end.
#[test]
fn check_perf_comes_to_its_end() {
    let members = Members::start(Program::Store);
    let ran = run(&members, &["check", "perf"]);
    for measured in ["Throughput", "Slowest request", "Stddev"] {
        assert!(ran.stdout.contains(measured), "{measured}: {ran}");
    }
    assert!(!ran.stdout.contains("error") && !ran.stderr.contains("error"), "{ran}");
}
