//! Backups as an operator makes them: saved by our command or by etcdctl, checked, restored into a new group that the
//! others join, and refused where they are damaged or the directory is in use.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::members::{Members, Program};
use tests::patience::{eventually, seconds};
use tests::process::{Ran, binary};

fn raftsman(args: &[&str]) -> Ran {
    Ran::run(Command::new(binary("raftsman")).args(args))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Arguments by which a command reaches one member.
fn reach(group: &Members, index: usize) -> [String; 4] {
    let pki = group.pki().join("a");
    ["--store-endpoints".into(), group.client_url(index), "--pki-dir".into(), text(&pki).to_owned()]
}

fn at(group: &Members, index: usize, args: &[&str]) -> Ran {
    let reach = reach(group, index);
    let reach: Vec<&str> = reach.iter().map(String::as_str).collect();
    raftsman(&[args, &reach].concat())
}

fn all_keys(group: &Members, index: usize) -> String {
    eventually(seconds(60), || {
        let ran = group.etcdctl([index], &["get", "", "--prefix", "-w", "fields"]);
        // All but the header, which says who answered.
        let keys = |stdout: &str| {
            stdout.lines().skip_while(|line| !line.starts_with("\"Key\"")).collect::<Vec<_>>().join("\n")
        };
        if ran.code == Some(0) { Ok(keys(&ran.stdout)) } else { Err(ran.to_string()) }
    })
}

#[test]
fn a_backup_is_saved_checked_and_restored_once() {
    let mut group = Members::start(Program::Store);
    let leader = group.leader();
    for n in 0..20 {
        group.etcdctl([leader], &["put", &format!("key{n}"), "value"]).ok();
    }
    let content = all_keys(&group, leader);
    let folder = group.folder().to_owned();
    let (file, other) = (folder.join("ours.snap"), folder.join("etcdctls.snap"));
    let follower = group.follower();
    // A backup holds what its member has, which may be behind the leader for a moment.
    assert_eq!(all_keys(&group, follower), content);
    let said = at(&group, follower, &["snapshot", "save", text(&file), "-o", "json"]).ok();
    assert!(said.contains("\"revision\": 21"), "{said}");
    let twice = at(&group, follower, &["snapshot", "save", text(&file)]).fails(1);
    assert!(twice.contains("exists already"), "{twice}");
    group.etcdctl([leader], &["snapshot", "save", text(&other)]).ok();
    let table = raftsman(&["snapshot", "verify", text(&other)]).ok();
    assert!(table.starts_with("REVISION") && table.contains("21 "), "{table}");

    // One that was cut short.
    let cut = folder.join("cut.snap");
    let bytes = fs::read(&file).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let refused = raftsman(&["snapshot", "verify", text(&cut)]).fails(1);
    assert!(refused.contains("cut.snap") && refused.contains("cut short"), "{refused}");
    let data = group.data_dir(0);
    let restore = |file: &Path, data: &Path| {
        raftsman(&[
            "snapshot",
            "restore",
            text(file),
            "--name",
            "a",
            "--data-dir",
            text(data),
            "--initial-cluster",
            &group.initial_cluster([0]),
        ])
    };
    assert!(restore(&cut, &folder.join("nowhere")).fails(1).contains("cut short"));

    // The old members' directories are no place for it.
    assert!(restore(&file, &data).fails(1).contains("in use already"));
    group.etcdctl([leader], &["put", "later", "x"]).ok();
    let restored = restore_all(&mut group, &file);
    assert_eq!(restored, content);
}

/// Restores onto the first member and takes the others in anew; what the group then holds, read from the last.
fn restore_all(group: &mut Members, file: &Path) -> String {
    for index in 0..3 {
        group.stop(index);
        fs::remove_dir_all(group.data_dir(index).join("store")).unwrap();
    }
    let (data, cluster) = (group.data_dir(0), group.initial_cluster([0]));
    let args =
        ["snapshot", "restore", text(file), "--name", "a", "--data-dir", text(&data), "--initial-cluster", &cluster];
    raftsman(&args).ok();
    assert!(raftsman(&args).fails(1).contains("in use already"));
    group.launch(0);
    group.wait_ready(0);
    for index in [1, 2] {
        let (name, url) = (group.name(index).to_owned(), group.peer_url(index));
        eventually(seconds(60), || {
            let added = at(group, 0, &["member", "add", &name, "--peer-url", &url]);
            if added.code == Some(0) { Ok(()) } else { Err(added.to_string()) }
        });
        group.launch_as(index, "existing", &[], &[]);
        group.wait_ready(index);
    }
    group.agree();
    all_keys(group, 2)
}
