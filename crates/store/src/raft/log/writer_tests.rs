//! The writer against a disk that fails or stalls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};

use super::*;
use crate::raft::log::LogStore;
use crate::raft::log::backend::Marks;
use crate::raft::log::memory::Memory;
use crate::raft::types::{Entry, LogId, Vote};
use openraft::entry::RaftEntry;
use openraft::type_config::TypeConfigExt;

/// A disk that can be told to fail, and counts its syncs.
#[derive(Default)]
struct Fragile {
    broken: AtomicBool,
    syncs: AtomicUsize,
    stalled: AtomicBool,
}

impl Backend for Fragile {
    fn write(&self, _: &[Write]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        while self.stalled.load(Ordering::SeqCst) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) { Err(io::Error::other("no such disk")) } else { Ok(()) }
    }

    fn read(&self, _: u64, _: u64, _: usize) -> io::Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn marks(&self) -> io::Result<Marks> {
        Ok(Marks::default())
    }
}

fn entry(index: u64) -> Entry {
    Entry::new_blank(LogId::new_term_index(1, index))
}

#[tokio::test]
async fn the_first_failure_is_final() {
    let disk = Arc::new(Fragile::default());
    let mut log = LogStore::start(disk.clone(), Marks::default(), None, Default::default()).unwrap();
    let fault = log.fault();
    log.blocking_append([entry(0)]).await.unwrap();
    disk.broken.store(true, Ordering::SeqCst);
    assert!(log.blocking_append([entry(1)]).await.is_err());
    assert!(fault.borrow().as_deref().is_some_and(|text| text.contains("no such disk")));
    // The disk recovers, but nobody knows what it holds.
    disk.broken.store(false, Ordering::SeqCst);
    let syncs = disk.syncs.load(Ordering::SeqCst);
    assert!(log.blocking_append([entry(2)]).await.is_err());
    assert!(log.save_vote(&Vote::new(2, 1)).await.is_err());
    assert_eq!(disk.syncs.load(Ordering::SeqCst), syncs);
}

#[tokio::test]
async fn one_sync_serves_many_and_callbacks_come_in_order() {
    let disk = Arc::new(Fragile::default());
    disk.stalled.store(true, Ordering::SeqCst);
    let mut log = LogStore::start(disk.clone(), Marks::default(), None, Default::default()).unwrap();
    let mut waiting = Vec::new();
    for index in 0..100 {
        let (done, flushed) = TypeConfig::oneshot();
        log.append([entry(index)], IOFlushed::signal(done)).await.unwrap();
        waiting.push(flushed);
    }
    disk.stalled.store(false, Ordering::SeqCst);
    waiting.pop().unwrap().await.unwrap().unwrap();
    // The last is durable, so are all before it.
    assert!(waiting.iter_mut().all(|flushed| matches!(flushed.try_recv(), Ok(Ok(())))));
    let syncs = disk.syncs.load(Ordering::SeqCst);
    assert!(syncs <= 2, "one for what the writer had taken already, one for all the rest, not {syncs}");
}

#[tokio::test]
async fn the_commit_mark_goes_along_with_entries_and_never_before_them() {
    let disk = Arc::new(Memory::default());
    let mut log = disk.open();
    let mark = |index: u64| Some(LogId::new_term_index(1, index));
    log.blocking_append([entry(0), entry(1)]).await.unwrap();
    log.save_committed(mark(1)).await.unwrap();
    assert_eq!(log.read_committed().await.unwrap(), mark(1));
    assert_eq!(disk.marks().unwrap().committed, None);
    log.blocking_append([entry(2)]).await.unwrap();
    assert_eq!(disk.marks().unwrap().committed, mark(1));
    // Committed by the others, while it is not here yet.
    log.save_committed(mark(4)).await.unwrap();
    log.blocking_append([entry(3)]).await.unwrap();
    assert_eq!(disk.marks().unwrap().committed, mark(1));
    log.blocking_append([entry(4)]).await.unwrap();
    assert_eq!(disk.marks().unwrap().committed, mark(4));
    log.blocking_append([entry(5)]).await.unwrap();
    log.save_committed(mark(5)).await.unwrap();
    drop(log);
    assert_eq!(disk.marks().unwrap().committed, mark(5));
}

#[tokio::test]
async fn a_stalled_disk_is_felt_before_memory_is_full() {
    let disk = Arc::new(Fragile::default());
    let mut log = LogStore::start(disk.clone(), Marks::default(), None, Default::default()).unwrap();
    disk.stalled.store(true, Ordering::SeqCst);
    let mut taken = 0;
    for index in 0..1000 {
        let (done, _) = TypeConfig::oneshot();
        let append = log.append([large(index)], IOFlushed::signal(done));
        if tokio::time::timeout(std::time::Duration::from_secs(1), append).await.is_err() {
            break;
        }
        taken += 1;
    }
    // Each takes a little more than its value.
    assert_eq!(taken, QUEUE_KIB as usize / (LARGE_KIB + 1));
    disk.stalled.store(false, Ordering::SeqCst);
    let (done, flushed) = TypeConfig::oneshot();
    // The one that waited gave up its place; its entry is in the tail, so the next one follows it.
    log.append([large(taken as u64 + 1)], IOFlushed::signal(done)).await.unwrap();
    flushed.await.unwrap().unwrap();
}

const LARGE_KIB: usize = 1024;

fn large(index: u64) -> Entry {
    let put = proto::etcdserverpb::PutRequest {
        key: "a".into(),
        value: vec![0; LARGE_KIB * 1024].into(),
        ..Default::default()
    };
    let change = Some(proto::raftsman_store_v1::command::Change::Put(put));
    let command = proto::raftsman_store_v1::Command { origin: None, change };
    let payload = openraft::EntryPayload::Normal(crate::raft::types::Proposal(Arc::new(command)));
    Entry::new(LogId::new_term_index(1, index), payload)
}
