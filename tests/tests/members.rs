//! Members of a store as an operator has them: processes with certificates, changed by `raftsman member`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::process::Command;

use tests::members::{Members, Program};
use tests::patience::{eventually, seconds};
use tests::process::{Ran, binary};
use tests::store_client::block_on;

/// `raftsman member ARGS`, asked of these members.
fn member(group: &Members, of: &[usize], args: &[&str]) -> Ran {
    let urls: Vec<String> = of.iter().map(|index| group.client_url(*index)).collect();
    let mut command = Command::new(binary("raftsman"));
    command.arg("member").args(args).args(["--store-endpoints", &urls.join(",")]);
    command.arg("--pki-dir").arg(group.pki().join("a"));
    Ran::run(&mut command)
}

/// Waits until a command succeeds; what it printed. Members may be too young to be changed.
fn done(mut run: impl FnMut() -> Ran) -> String {
    eventually(seconds(60), || {
        let ran = run();
        match ran.code {
            Some(0) => Ok(ran.stdout.trim().to_owned()),
            _ => Err(ran.to_string()),
        }
    })
}

/// Waits for the end of a member that ends by itself; what it logged last.
fn end(group: &mut Members, index: usize) -> String {
    let code = eventually(seconds(60), || match group.daemon_mut(index).ended() {
        Some(ended) => Ok(ended.code()),
        None => Err(format!("it runs: {}", group.log(index))),
    });
    assert_eq!(code, Some(1), "{}", group.log(index));
    group.log(index)
}

fn put(group: &Members, index: usize, value: &str) {
    let (url, identity) = group.stores().swap_remove(index);
    eventually(seconds(60), || {
        block_on(async {
            let store = tests::store_client::StoreClient::new(&url, &identity);
            store.put("k", value).await.map(drop).map_err(|status| status.to_string())
        })
    });
}

fn get(group: &Members, index: usize) -> String {
    let (url, identity) = group.stores().swap_remove(index);
    eventually(seconds(60), || {
        block_on(async {
            let store = tests::store_client::StoreClient::new(&url, &identity);
            let kvs = store.get("k").await.map_err(|status| status.to_string())?.kvs;
            Ok(String::from_utf8_lossy(&kvs.first().ok_or("no such key")?.value).into_owned())
        })
    })
}

#[test]
fn an_operator_adds_transfers_kills_removes_and_replaces_members() {
    let mut group = Members::start(Program::Store);
    put(&group, 0, "1");
    let listed = member(&group, &[0, 1, 2], &["list"]).ok();
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert_eq!(listed.matches("leader").count(), 1, "{listed}");

    // A fourth, as a voter.
    let d = group.add();
    let url = group.peer_url(d);
    let id = done(|| member(&group, &[0, 1, 2], &["add", "d", "--peer-url", &url]));
    let unstarted = member(&group, &[1], &["list"]).ok();
    assert!(unstarted.contains("unstarted") && unstarted.contains(&id), "{unstarted}");
    group.launch_as(d, "existing", &[], &[]);
    group.wait_ready(d);
    assert_eq!(get(&group, d), "1");
    done(|| member(&group, &[2, 3], &["transfer", "d"]));
    assert_eq!(group.leader(), d);
    // kill -9, and back without being a new member.
    group.kill(d);
    put(&group, 0, "2");
    group.restart(d);
    assert_eq!(get(&group, d), "2");
    let json: serde_json::Value = serde_json::from_str(&member(&group, &[3], &["list", "-o", "json"]).ok()).unwrap();
    let ids: Vec<_> = json["members"].as_array().unwrap().iter().map(|member| &member["id"]).collect();
    assert!(ids.len() == 4 && ids.contains(&&serde_json::json!(id)), "{json}");

    // Its disk is lost.
    group.kill(d);
    std::fs::remove_dir_all(group.data_dir(d)).unwrap();
    group.launch(d);
    let log = end(&mut group, d);
    assert!(log.contains(&format!("knows d as {id}")) && log.contains("raftsman member remove"), "{log}");
    let exists = member(&group, &[0], &["add", "d", "--peer-url", "https://127.0.0.1:1"]).fails(1);
    assert!(exists.contains("there is a member d already"), "{exists}");
    done(|| member(&group, &[0], &["remove", "d"]));
    let missing = member(&group, &[0], &["remove", "d"]).fails(1);
    assert!(missing.contains("there is no member \"d\""), "{missing}");
    std::fs::remove_dir_all(group.data_dir(d)).unwrap();
    let again = done(|| member(&group, &[0], &["add", "d", "--peer-url", &url]));
    assert_ne!(again, id);
    group.launch_as(d, "existing", &[], &[]);
    group.wait_ready(d);
    assert_eq!(get(&group, d), "2");

    // Removed while it runs: it ends, and says why.
    done(|| member(&group, &[0], &["remove", &again]));
    let log = end(&mut group, d);
    assert!(log.contains(&format!("member d ({again}) was removed from its group")), "{log}");
    put(&group, 1, "3");
}

#[test]
fn who_must_not_come_in_does_not_and_the_group_goes_on() {
    let mut group = Members::start(Program::Store);
    put(&group, 0, "1");
    // Certificates of another authority, and of this one but not of a peer.
    let foreign = tempfile::tempdir().unwrap();
    let out = foreign.path().join("pki");
    let mut create = Command::new(binary("raftsman"));
    let d = group.add();
    let server = format!("d={}", group.host(d));
    create.args(["pki", "create", "--server", &server, "--out"]).arg(&out);
    Ran::run(&mut create).ok();
    let url = group.peer_url(d);
    done(|| member(&group, &[0], &["add", "d", "--peer-url", &url]));
    let (own, kept) = (group.pki().join("d"), group.pki().join("d.kept"));
    std::fs::rename(&own, &kept).unwrap();
    std::fs::rename(out.join("d"), &own).unwrap();
    group.launch_as(d, "existing", &[], &[]);
    eventually(seconds(60), || {
        let log = group.log(d);
        match log.contains("waiting") && log.to_lowercase().contains("certificate") {
            true => Ok(()),
            false => Err(log),
        }
    });
    group.kill(d);
    std::fs::remove_dir_all(&own).unwrap();
    std::fs::rename(&kept, &own).unwrap();
    for end in ["crt", "key"] {
        std::fs::copy(own.join(format!("peer.{end}")), own.join(format!("kept.{end}"))).unwrap();
        std::fs::copy(own.join(format!("store.{end}")), own.join(format!("peer.{end}"))).unwrap();
    }
    group.launch_as(d, "existing", &[], &[]);
    let log = end(&mut group, d);
    assert!(log.contains("peer.crt") && log.contains("raftsman-store:d"), "{log}");
    // The right ones are let in, so it was the certificates.
    for end in ["crt", "key"] {
        std::fs::rename(own.join(format!("kept.{end}")), own.join(format!("peer.{end}"))).unwrap();
    }
    group.launch_as(d, "existing", &[], &[]);
    group.wait_ready(d);
    assert_eq!(get(&group, d), "1");
}

/// A library that shifts a process's wall clock, to be preloaded; the monotonic clocks stay.
fn clock_shift(folder: &std::path::Path) -> PathBuf {
    let source = folder.join("clock.c");
    let text = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, at);
    const char *shift = getenv("CLOCK_SHIFT");
    if (shift && id == CLOCK_REALTIME) at->tv_sec += atol(shift);
    return code;
}
"#;
    std::fs::write(&source, text).unwrap();
    let library = folder.join("clock.so");
    Ran::run(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl")).ok();
    library
}

#[test]
fn a_clock_one_hour_off_harms_nobody() {
    let mut group = Members::start(Program::Store);
    let folder = tempfile::tempdir().unwrap();
    let library = clock_shift(folder.path()).display().to_string();
    let victim = group.follower();
    put(&group, 0, "1");
    // An hour ahead: raft and leases count on monotonic clocks, so nothing is different.
    group.kill(victim);
    group.launch_as(victim, "new", &[], &[("LD_PRELOAD", &library), ("CLOCK_SHIFT", "3600")]);
    group.wait_ready(victim);
    put(&group, victim, "2");
    // An hour behind, the certificates are not valid yet: it says so, and stays out.
    group.kill(victim);
    group.launch_as(victim, "new", &[], &[("LD_PRELOAD", &library), ("CLOCK_SHIFT", "-3600")]);
    eventually(seconds(60), || {
        let log = group.log(victim);
        match log.contains("waiting") && log.contains("not valid yet") && log.contains("clock") {
            true => Ok(()),
            false => Err(log),
        }
    });
    let other = (victim + 1) % 3;
    put(&group, other, "3");
    group.kill(victim);
    group.restart(victim);
    assert_eq!(get(&group, victim), "3");
}
