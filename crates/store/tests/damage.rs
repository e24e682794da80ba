//! Flipped bits and files cut short, in log, state and snapshots: every one is found at the start, named and refused.
//!
//! Every round damages one file of a fresh copy of a directory with keys, leases, a compaction and a snapshot, as a
//! kill leaves it: the newest entries lie in the write-ahead log only.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Running, try_start};
use proto::etcdserverpb::{CompactionRequest, LeaseGrantRequest};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Flips, and cuts, in each of the three places; more by RAFTSMAN_DAMAGE_ROUNDS.
const ROUNDS: u64 = 20;

/// Entries between snapshots.
const SNAPSHOT_ENTRIES: u64 = 200;

async fn fill(store: &Running) {
    let mut random = StdRng::seed_from_u64(1);
    for n in 0..450 {
        let value: String = (0..400).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
        store.put(&format!("key{}", n % 200), &value).await;
    }
    store.lease().lease_grant(LeaseGrantRequest { ttl: 1000, id: 7 }).await.expect("a lease");
    let compact = CompactionRequest { revision: 100, physical: true };
    store.kv().compact(compact).await.expect("a compaction");
    for n in 0..20 {
        store.put(&format!("late{n}"), "x").await;
    }
}

/// A directory as a kill leaves it, and its content's hash.
async fn template(dir: &Path) -> u32 {
    let own = dir.join("own");
    let store = harness::start_with(&own, SNAPSHOT_ENTRIES).await.expect("the store starts");
    fill(&store).await;
    // Started again, the log has tables, too, and tombstones of what was purged.
    store.stop().await.expect("a clean end");
    let store = harness::start_with(&own, SNAPSHOT_ENTRIES).await.expect("the store starts again");
    for n in 0..20 {
        store.put(&format!("later{n}"), "x").await;
    }
    let hash = store.hash().await;
    // What is half made (it has a name of its own) is thrown away at a start, whatever is in it.
    let whole = || {
        let kept = fs::read_dir(own.join("snapshots")).expect("snapshots");
        let names: Vec<_> = kept.map(|entry| entry.expect("an entry").file_name()).collect();
        !names.is_empty() && names.iter().all(|name| !name.to_string_lossy().contains('-'))
    };
    for _ in 0..600 {
        if whole() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    copy(&own, &dir.join("template"));
    store.stop().await.expect("a clean end");
    hash
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let (from, to) = (entry.as_ref().expect("an entry").path(), to.join(entry.expect("an entry").file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(&from, &to).expect("a copy")),
        }
    }
}

/// Files under `dir` that hold something of ours, with their sizes: not RocksDB's notes to itself.
fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let notes = ["LOG", "LOCK", "IDENTITY", "OPTIONS"].iter().any(|notes| name.starts_with(notes));
        let size = fs::metadata(&path).expect("a size").len();
        if size > 0 && (!notes || dir.to_string_lossy().contains("snapshots")) {
            found.push((path, size));
        }
    }
    found.sort();
    found
}

/// Damages the file and answers what was done.
fn damage(path: &Path, size: u64, flip: bool, random: &mut StdRng) -> String {
    let mut bytes = fs::read(path).expect("the file");
    let at = random.random_range(0..size) as usize;
    if flip {
        let bit = random.random_range(0..8);
        bytes[at] ^= 1 << bit;
        fs::write(path, bytes).expect("the file");
        return format!("bit {bit} of byte {at} of {size} in {}", path.display());
    }
    bytes.truncate(at);
    fs::write(path, bytes).expect("the file");
    format!("{} cut from {size} to {at} bytes", path.display())
}

async fn every_damage_is_found(place: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let hash = template(dir.path()).await;
    let template = dir.path().join("template");
    let copied = dir.path().join("copy");
    copy(&template, &copied);
    let whole = try_start(&copied, "a").await.expect("whole, it starts");
    assert_eq!(whole.hash().await, hash, "and nothing is lost");
    whole.stop().await.expect("a clean end");
    let rounds = std::env::var("RAFTSMAN_DAMAGE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    for round in 0..2 * rounds {
        let mut random = StdRng::seed_from_u64(round);
        // A folder of its own: threads of the start before may still be closing theirs.
        let copied = dir.path().join(format!("copy{round}"));
        copy(&template, &copied);
        let files = files(&copied.join(place));
        // Every file has its turn, and the large ones most of the rest.
        let (path, size) = match files.get(round as usize / 2) {
            Some(file) => file.clone(),
            None => files.iter().max_by_key(|(_, size)| *size).expect("a file").clone(),
        };
        let done = damage(&path, size, round % 2 == 0, &mut random);
        let refused = match try_start(&copied, "a").await {
            Err(error) => error.to_string(),
            Ok(served) => panic!("{done}: not found; the hash is the same: {}", served.hash().await == hash),
        };
        assert!(refused.contains("is damaged"), "{done}: {refused}");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(refused.contains(&copied.join(place).display().to_string()), "{done}: {refused}");
        assert!(refused.contains(name), "{done}: {refused}");
        println!("{done}\n    {refused}");
    }
}

#[tokio::test]
async fn in_the_log() {
    every_damage_is_found("log").await;
}

#[tokio::test]
async fn in_the_state() {
    every_damage_is_found("state").await;
}

#[tokio::test]
async fn in_a_snapshot() {
    every_damage_is_found("snapshots").await;
}
