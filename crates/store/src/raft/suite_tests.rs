//! openraft's own storage suite on the real log and machine, and what that suite does not ask: that everything
//! is still there when a store is opened again.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use openraft::entry::RaftEntry;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{EntryPayload, RaftLogReader, RaftSnapshotBuilder, StorageError};
use proto::etcdserverpb::PutRequest;
use proto::raftsman_store_v1 as pb;
use tempfile::TempDir;

use super::log::{self, LogStore};
use super::pending::Pending;
use super::state::{self, Handle, RocksDisk, SnapshotDir, StateDir, StateMachine, Unwatched};
use super::types::{Entry, LogId, Proposal, TypeConfig, Vote};
use crate::machine::Machine;

/// How often an open is tried while threads of an earlier store may still be closing the database: for a minute.
const OPENS_MAX: u32 = 3000;
const OPEN_AGAIN: Duration = Duration::from_millis(20);

fn open_machine(dir: &TempDir) -> (StateMachine, Arc<RocksDisk>) {
    let mut tries = 0;
    let disk = loop {
        tries += 1;
        match RocksDisk::open(StateDir::open(&dir.path().join("state")).unwrap()) {
            Err(_) if tries < OPENS_MAX => std::thread::sleep(OPEN_AGAIN),
            opened => break Arc::new(opened.unwrap()),
        }
    };
    let machine = Machine::open(disk.clone(), disk.stored().unwrap()).unwrap();
    let worker = Handle::new(machine, disk.clone(), Unwatched, Pending::new(1, 0), Default::default());
    let snapshots = SnapshotDir::open(&dir.path().join("snapshots")).unwrap();
    (StateMachine::new(worker, snapshots), disk)
}

fn open_log(dir: &TempDir) -> LogStore {
    for _ in 0..OPENS_MAX {
        match log::open(&dir.path().join("log"), &Default::default()) {
            Err(log::OpenError::Locked) => std::thread::sleep(OPEN_AGAIN),
            opened => return opened.unwrap(),
        }
    }
    panic!("the log stays locked");
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let log = open_log(&dir);
        let (machine, _) = open_machine(&dir);
        Ok((dir, log, machine))
    }
}

fn put(term: u64, index: u64, key: &str) -> Entry {
    let put = PutRequest { key: key.to_owned().into(), value: "v".into(), ..Default::default() };
    let command = pb::Command { origin: None, change: Some(pb::command::Change::Put(put)) };
    Entry::new(LogId::new_term_index(term, index), EntryPayload::Normal(Proposal(Arc::new(command))))
}

fn blank(term: u64, index: u64) -> Entry {
    Entry::new(LogId::new_term_index(term, index), EntryPayload::Blank)
}

#[tokio::test]
async fn openrafts_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}

#[tokio::test]
async fn a_log_opened_again_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let id = |index| Some(LogId::new_term_index(3, index));
    let mut log = open_log(&dir);
    for vote in [Vote::new(3, 7), Vote::new_committed(3, 7)] {
        log.save_vote(&vote).await.unwrap();
    }
    log.blocking_append((0..=20).map(|index| put(3, index, "a"))).await.unwrap();
    log.truncate_after(id(15)).await.unwrap();
    log.blocking_append([blank(3, 16), put(3, 17, "b")]).await.unwrap();
    log.purge(LogId::new_term_index(3, 4)).await.unwrap();
    log.save_committed(id(12)).await.unwrap();
    // What follows syncs the commit mark too.
    log.blocking_append([blank(3, 18)]).await.unwrap();
    let before = log.get_log_reader().await.try_get_log_entries(..).await.unwrap();
    drop(log);

    let mut log = open_log(&dir);
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (id(4), id(18)));
    assert_eq!(log.get_log_reader().await.read_vote().await.unwrap(), Some(Vote::new_committed(3, 7)));
    assert_eq!(log.read_committed().await.unwrap(), id(12));
    let after = log.get_log_reader().await.try_get_log_entries(..).await.unwrap();
    assert_eq!((after.len(), &after), (14, &before));
}

#[tokio::test]
async fn a_log_purged_beyond_its_end_goes_on_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open_log(&dir);
    log.save_vote(&Vote::new_committed(1, 7)).await.unwrap();
    log.blocking_append([blank(1, 0), blank(1, 1)]).await.unwrap();
    log.purge(LogId::new_term_index(1, 9)).await.unwrap();
    log.blocking_append([blank(1, 10)]).await.unwrap();
    drop(log);
    let mut log = open_log(&dir);
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(LogId::new_term_index(1, 10)));
    assert_eq!(log.get_log_reader().await.try_get_log_entries(0..100).await.unwrap(), [blank(1, 10)]);
}

#[tokio::test]
async fn a_vote_below_the_last_entry_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open_log(&dir);
    log.save_vote(&Vote::new_committed(2, 7)).await.unwrap();
    log.blocking_append([blank(5, 0)]).await.unwrap();
    drop(log);
    let refused = loop {
        match log::open(&dir.path().join("log"), &Default::default()) {
            Err(log::OpenError::Locked) => {}
            refused => break refused.err().expect("refused"),
        }
    };
    assert!(refused.to_string().contains("term 2"), "{refused}");
}

#[tokio::test]
async fn a_snapshot_holds_what_it_says_and_can_be_installed() {
    let source = tempfile::tempdir().unwrap();
    let (mut machine, _) = open_machine(&source);
    apply(&mut machine, (1..=5).map(|index| put(1, index, &format!("k{index}")))).await;
    let mut builder = machine.get_snapshot_builder().await;
    let snapshot = builder.build_snapshot().await.unwrap();
    apply(&mut machine, [put(1, 6, "later")]).await;
    assert_eq!(snapshot.meta.last_log_id, Some(LogId::new_term_index(1, 5)));

    let target = tempfile::tempdir().unwrap();
    let (mut other, disk) = open_machine(&target);
    let pieces = state::send(snapshot.snapshot);
    let dir = SnapshotDir::open(&target.path().join("snapshots")).unwrap();
    let (meta, received) = state::receive(&dir, pieces).await.unwrap();
    assert_eq!(meta, snapshot.meta);
    other.install_snapshot(&meta, received).await.unwrap();
    assert_eq!(other.applied_state().await.unwrap().0, snapshot.meta.last_log_id);
    assert_eq!(disk.stored().unwrap().progress.unwrap().revision, 6);
    let current = other.get_current_snapshot().await.unwrap().expect("the installed one");
    assert_eq!(current.meta, snapshot.meta);
    apply(&mut other, [put(1, 6, "later")]).await;
    drop((other, disk));
    let (mut again, _) = open_machine(&target);
    // Nothing was flushed after the take-over: the log would be applied again from there.
    assert!(again.applied_state().await.unwrap().0 >= snapshot.meta.last_log_id);
}

async fn apply(machine: &mut StateMachine, entries: impl IntoIterator<Item = Entry>) {
    let items: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    machine.apply(futures::stream::iter(items)).await.unwrap();
}
