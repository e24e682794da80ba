//! Taking another state over while everybody reads: each answer is of the old state or of the new one, whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use openraft::entry::RaftEntry;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, RaftSnapshotBuilder};
use proto::etcdserverpb::{CompactionRequest, PutRequest, RangeRequest};
use proto::raftsman_store_v1 as pb;
use proto::raftsman_store_v1::command::Change;
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::machine::{Event, Machine, Shared, View};
use crate::raft::Threads;
use crate::raft::pending::Pending;
use crate::raft::types::{Entry, LogId, Proposal};

const KEYS: u64 = 100;

struct Compactions(watch::Sender<i64>, #[expect(dead_code, reason = "waited for at the end")] Threads);

impl Feed for Compactions {
    fn applied(&mut self, _: Vec<Event>, _: i64, compacted: i64) {
        self.0.send_if_modified(|known| std::mem::replace(known, compacted) != compacted);
    }

    fn replaced(&mut self, _: i64, compacted: i64) {
        self.0.send_replace(compacted);
    }
}

struct Store {
    machine: StateMachine,
    disk: Arc<RocksDisk>,
    shared: Arc<Shared>,
    pruned: watch::Receiver<i64>,
    snapshots: SnapshotDir,
    _dir: TempDir,
}

fn open() -> Store {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RocksDisk::open(StateDir::open(&dir.path().join("state")).unwrap()).unwrap());
    let machine = Machine::open(disk.clone(), disk.stored().unwrap()).unwrap();
    let shared = machine.shared().clone();
    let (compactions, compacted) = watch::channel(0);
    let (pruned, pruner) = Pruner::start(shared.clone(), disk.clone(), compacted).unwrap();
    let worker = Handle::new(
        machine,
        disk.clone(),
        Compactions(compactions, [pruner].into()),
        Pending::new(1, 0),
        Default::default(),
    );
    let snapshots = SnapshotDir::open(&dir.path().join("snapshots")).unwrap();
    Store { machine: StateMachine::new(worker, snapshots.clone()), disk, shared, pruned, snapshots, _dir: dir }
}

fn entry(index: u64, change: Change) -> Entry {
    let command = pb::Command { origin: None, change: Some(change) };
    Entry::new(LogId::new_term_index(1, index), EntryPayload::Normal(Proposal(Arc::new(command))))
}

/// Entry `index` writes its own number under a key and makes revision `index + 1`.
fn put(index: u64) -> Entry {
    put_as(index % KEYS, index)
}

fn put_as(key: u64, index: u64) -> Entry {
    let put = PutRequest { key: format!("key{key:03}").into(), value: index.to_string().into(), ..Default::default() };
    entry(index, Change::Put(put))
}

async fn apply(store: &mut Store, entries: impl IntoIterator<Item = Entry>) {
    let items: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    store.machine.apply(futures::stream::iter(items)).await.unwrap();
}

/// Reads everything and compares it with what was written up to the revision that the answer names.
fn check(view: &View<RocksDisk>) -> i64 {
    let all = RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    let answer = view.range(&all).unwrap();
    let revision = answer.header.unwrap().revision;
    let newest = revision as u64 - 1;
    assert_eq!(answer.count, KEYS as i64);
    for (key, kv) in answer.kvs.iter().enumerate() {
        let written = newest - (newest - key as u64) % KEYS;
        assert_eq!(kv.value, written.to_string(), "key {key} at revision {revision}");
    }
    revision
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_the_old_state_or_the_new_one() {
    let mut leader = open();
    let mut member = open();
    // The member has the beginning of the history; of that the leader's state knows nothing any more.
    apply(&mut member, (1..=500).map(put)).await;
    apply(&mut leader, (1..=2000).map(put)).await;
    apply(&mut leader, [entry(2001, Change::Compact(CompactionRequest { revision: 1500, physical: true }))]).await;
    leader.pruned.wait_for(|pruned| *pruned >= 1500).await.unwrap();
    let snapshot = leader.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let view = View::new(member.shared.clone(), member.disk.clone());
    let (stop, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut old, mut new) = (1, 0);
                    assert_eq!(check(&view), 501);
                    begun.fetch_add(1, Ordering::Relaxed);
                    while !stop.load(Ordering::Relaxed) || new == 0 {
                        match check(&view) {
                            501 => old += 1,
                            2001 => new += 1,
                            other => panic!("revision {other}"),
                        }
                    }
                    (old, new)
                })
            })
            .collect();
        // On a busy machine all could be over before a reader's thread runs for the first time.
        while begun.load(Ordering::Relaxed) < readers.len() && !readers.iter().any(|reader| reader.is_finished()) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let install = async {
            let (meta, received) = receive(&member.snapshots, send(snapshot.snapshot)).await.unwrap();
            member.machine.install_snapshot(&meta, received).await.unwrap();
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(install));
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    println!("reads of the old state and of the new one, by reader: {seen:?}");
    assert_eq!(member.shared.exchanges(), 1);
    // It goes on from there, and prunes what it took over.
    apply(&mut member, [entry(2002, Change::Compact(CompactionRequest { revision: 1900, physical: true }))]).await;
    member.pruned.wait_for(|pruned| *pruned >= 1900).await.unwrap();
    assert_eq!(check(&view), 2001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_of_a_state_that_was_taken_over_is_removed() {
    // Most keys are written early only: what is garbage of them lies before the member's own mark.
    let few = |index: u64| put_as(if index > 600 { index % 10 } else { index % KEYS }, index);
    let mut leader = open();
    apply(&mut leader, (1..=1000).map(few)).await;
    let mut member = open();
    apply(&mut member, (1..=1000).map(few)).await;
    apply(&mut member, [entry(1001, Change::Compact(CompactionRequest { revision: 900, physical: true }))]).await;
    member.pruned.wait_for(|pruned| *pruned >= 900).await.unwrap();
    let records = records(&member.disk);
    // The leader's state has all of its garbage still; what the member removed of its own says nothing of that.
    apply(&mut leader, (1001..=1100).map(few)).await;
    let garbage = leader.snapshots.take(&leader.disk).unwrap();
    let (meta, received) = receive(&member.snapshots, send(garbage)).await.unwrap();
    member.machine.install_snapshot(&meta, received).await.unwrap();
    assert!(self::records(&member.disk) > records);
    apply(&mut member, [entry(1101, Change::Compact(CompactionRequest { revision: 1050, physical: true }))]).await;
    member.pruned.wait_for(|pruned| *pruned >= 1050).await.unwrap();
    // One version of each key at the compacted revision, and 51 written later.
    assert_eq!(self::records(&member.disk), KEYS as usize + 51);
}

fn records(disk: &RocksDisk) -> usize {
    let mut count = 0;
    crate::machine::Disk::records(disk, Default::default(), &mut |_, _| {
        count += 1;
        true
    })
    .unwrap();
    count
}
