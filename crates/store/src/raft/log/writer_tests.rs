//! The writer against a disk that fails or stalls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};

use super::*;
use crate::raft::log::LogStore;
use crate::raft::log::backend::Marks;
use crate::raft::types::{Entry, LogId, Vote};
use openraft::entry::RaftEntry;
use openraft::type_config::TypeConfigExt;

/// A disk that can be told to fail, and counts its syncs.
#[derive(Default)]
struct Fragile {
    broken: AtomicBool,
    syncs: AtomicUsize,
    slow: AtomicBool,
}

impl Backend for Fragile {
    fn write(&self, _: &[Write]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.slow.load(Ordering::SeqCst) {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
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
    let mut log = LogStore::start(disk.clone(), Marks::default(), None).unwrap();
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
    disk.slow.store(true, Ordering::SeqCst);
    let mut log = LogStore::start(disk.clone(), Marks::default(), None).unwrap();
    let mut waiting = Vec::new();
    for index in 0..100 {
        let (done, flushed) = TypeConfig::oneshot();
        log.append([entry(index)], IOFlushed::signal(done)).await.unwrap();
        waiting.push(flushed);
    }
    waiting.pop().unwrap().await.unwrap().unwrap();
    // The last is durable, so are all before it.
    assert!(waiting.iter_mut().all(|flushed| matches!(flushed.try_recv(), Ok(Ok(())))));
    assert!(disk.syncs.load(Ordering::SeqCst) <= 5);
}
