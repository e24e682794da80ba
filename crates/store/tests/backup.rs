//! Backups: the stream of Maintenance.Snapshot as etcd's clients want it, checked, restored once, and refused when it is
//! damaged.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;
use std::path::Path;

use harness::{Running, start, try_start};
use proto::etcdserverpb::{
    CompactionRequest, LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest, SnapshotRequest,
};
use proto::mvccpb::KeyValue;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};
use store::backup::{self, NewMember};

/// Flips and cuts of the file.
const ROUNDS: u64 = 20;

async fn fill(store: &Running) {
    for n in 0..300 {
        store.put(&format!("key{}", n % 100), &n.to_string()).await;
    }
    store.lease().lease_grant(LeaseGrantRequest { ttl: 900, id: 7 }).await.unwrap();
    let held = PutRequest { key: "held".into(), lease: 7, ..Default::default() };
    store.kv().put(held).await.unwrap();
    store.kv().compact(CompactionRequest { revision: 150, physical: true }).await.unwrap();
}

async fn everything(store: &Running) -> Vec<KeyValue> {
    let all = RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    store.kv().range(all).await.unwrap().into_inner().kvs
}

/// Saves what the store streams.
async fn save(store: &Running, path: &Path) {
    let mut client = store.maintenance().max_decoding_message_size(usize::MAX);
    let mut parts = client.snapshot(SnapshotRequest {}).await.unwrap().into_inner();
    let (mut bytes, mut told) = (Vec::new(), Vec::new());
    while let Some(part) = parts.message().await.unwrap() {
        bytes.extend_from_slice(&part.blob);
        told.push((part.remaining_bytes, bytes.len() as u64));
    }
    // What is left to come was told truly all along.
    assert!(told.iter().all(|(left, sent)| left + sent == bytes.len() as u64), "{told:?}");
    assert_eq!(told.last().unwrap().0, 0);
    // etcdctl wants just this.
    assert_eq!(bytes.len() % 512, 32);
    let (content, sum) = bytes.split_at(bytes.len() - 32);
    assert_eq!(Sha256::digest(content)[..], *sum);
    fs::write(path, bytes).unwrap();
}

fn member(name: &str) -> NewMember {
    NewMember { name: name.into(), peer_urls: Vec::new(), ids: (11, 12) }
}

/// Where the majority is lost, the directory of a member that is left is all there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_members_directory_can_be_saved() {
    let dir = tempfile::tempdir().unwrap();
    let (old, copy, file) = (dir.path().join("old"), dir.path().join("copy"), dir.path().join("saved.snap"));
    let store = start(&old).await;
    fill(&store).await;
    let before = everything(&store).await;
    let mut to = fs::File::create(&file).unwrap();
    let running = backup::salvage(&old, &mut to).await.unwrap_err().to_string();
    assert!(running.contains("runs; save from it by --endpoints, or stop it"), "{running}");
    // As kill -9 leaves it: what was written is in the log only.
    assert!(std::process::Command::new("cp").arg("-a").args([&old, &copy]).status().unwrap().success());
    store.stop().await.unwrap();
    let state = || std::process::Command::new("find").arg(copy.join("state")).output().unwrap().stdout;
    let held = state();
    let mut to = fs::File::create(&file).unwrap();
    backup::salvage(&copy, &mut to).await.unwrap();
    assert_eq!(state(), held, "the state stays as it is");
    assert_eq!(backup::verify(&file).unwrap().revision, 302);
    let restored = dir.path().join("new/store");
    fs::create_dir(dir.path().join("new")).unwrap();
    backup::restore(&file, &restored, &member("a")).unwrap();
    let store = try_start(&restored, "a").await.unwrap();
    assert_eq!(everything(&store).await, before);
    store.stop().await.unwrap();
    let none = backup::salvage(dir.path(), &mut to).await.unwrap_err().to_string();
    assert!(none.contains("is no store's directory"), "{none}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_becomes_a_group_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup.snap");
    let store = start(&dir.path().join("old")).await;
    fill(&store).await;
    save(&store, &file).await;
    let before = everything(&store).await;
    store.put("later", "x").await;
    let old = store.get("later").await.header.unwrap();
    // What was taken for it is gone.
    assert_eq!(fs::read_dir(dir.path().join("old/snapshots")).unwrap().count(), 0);
    store.stop().await.unwrap();

    let info = backup::verify(&file).unwrap();
    assert_eq!((info.revision, info.compacted, info.cluster_id), (302, 150, old.cluster_id));
    let restored = dir.path().join("new/store");
    fs::create_dir(dir.path().join("new")).unwrap();
    assert_eq!(backup::restore(&file, &restored, &member("b")).unwrap(), info);
    let twice = backup::restore(&file, &restored, &member("b")).unwrap_err().to_string();
    assert!(twice.contains("in use already"), "{twice}");
    let other = try_start(&restored, "a").await.err().unwrap().to_string();
    assert!(other.contains("belongs to member \"b\""), "{other}");

    let store = try_start(&restored, "b").await.unwrap();
    assert_eq!(everything(&store).await, before);
    let header = store.put("more", "x").await.header.unwrap();
    assert_eq!((header.revision, header.cluster_id, header.member_id), (303, 12, 11));
    let ask = LeaseTimeToLiveRequest { id: 7, keys: true };
    let lease = store.lease().lease_time_to_live(ask).await.unwrap().into_inner();
    assert_eq!((lease.granted_ttl, lease.keys), (900, vec!["held".into()]));
    let old = RangeRequest { key: "key1".into(), revision: 200, ..Default::default() };
    assert_eq!(store.kv().range(old).await.unwrap().into_inner().kvs[0].value, "101");
    // Into a directory that lives even less.
    assert!(backup::restore(&file, &restored, &member("b")).is_err());
    store.stop().await.unwrap();
    let store = try_start(&restored, "b").await.unwrap();
    assert_eq!(store.get("more").await.count, 1);
    store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup.snap");
    let store = start(&dir.path().join("old")).await;
    fill(&store).await;
    save(&store, &file).await;
    store.stop().await.unwrap();
    let whole = fs::read(&file).unwrap();
    let refused = |bytes: Vec<u8>, what: String| {
        let bad = dir.path().join("bad.snap");
        fs::write(&bad, bytes).unwrap();
        let reason = backup::verify(&bad).expect_err(&what).to_string();
        assert!(reason.contains("bad.snap") && reason.contains("take another one"), "{what}: {reason}");
        let target = dir.path().join("target");
        assert!(backup::restore(&bad, &target, &member("a")).is_err(), "{what}");
        assert!(!target.exists() && !target.with_extension("restoring").exists(), "{what}");
    };
    for round in 0..ROUNDS {
        let mut random = StdRng::seed_from_u64(round);
        // Head, manifest and end have their turn, too.
        let at = match round {
            0..4 => round as usize * 7,
            4 => whole.len() - 1,
            5 => whole.len() - 33,
            _ => random.random_range(0..whole.len()),
        };
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << random.random_range(0..8);
        refused(flipped, format!("flip at {at}"));
        refused(whole[..at].to_vec(), format!("cut at {at}"));
    }
    refused([&whole[..], &[0; 512]].concat(), "longer".into());
    refused(b"something else".to_vec(), "foreign".into());
}
