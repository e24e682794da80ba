//! A log in memory, for tests: its disk can stall, fail, and lose what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::LogStore;
use super::backend::{Backend, Marks, Write};
use crate::raft::types::{Entry, LogId};

/// What a disk does with a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    #[default]
    Works,
    /// It does not return.
    Stalls,
    /// It returns an error.
    Fails,
}

#[derive(Debug, Default)]
struct State {
    sync: Sync,
    /// Whether whoever uses the log now is dead.
    crashed: bool,
    durable: Content,
    written: Content,
}

#[derive(Debug, Default, Clone)]
struct Content {
    entries: BTreeMap<u64, Entry>,
    marks: Marks,
}

/// The disk.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
    changed: Condvar,
}

impl Memory {
    /// Opens a log on what the disk has.
    pub fn open(self: &Arc<Self>) -> LogStore {
        let state = self.state.lock();
        let marks = state.durable.marks.clone();
        let last = state.durable.entries.values().next_back().map(|entry| entry.log_id).or(marks.purged);
        drop(state);
        LogStore::start(self.clone(), marks, last, Default::default()).expect("a thread")
    }

    /// From now on syncs do this.
    pub fn syncs(&self, sync: Sync) {
        self.state.lock().sync = sync;
        self.changed.notify_all();
    }

    /// The disk as a crash now leaves it; whoever uses the old one writes nothing any more.
    pub fn crash(&self) -> Arc<Self> {
        let mut state = self.state.lock();
        state.crashed = true;
        let durable = state.durable.clone();
        self.changed.notify_all();
        let left = State { durable: durable.clone(), written: durable, ..Default::default() };
        Arc::new(Self { state: Mutex::new(left), changed: Condvar::new() })
    }

    /// Last entry that would survive a crash.
    pub fn last_durable(&self) -> Option<LogId> {
        self.state.lock().durable.entries.values().next_back().map(|entry| entry.log_id)
    }
}

impl Backend for Memory {
    fn write(&self, writes: &[Write]) -> io::Result<()> {
        let mut state = self.state.lock();
        let content = &mut state.written;
        for write in writes {
            match write {
                Write::Append(entries) => {
                    content.entries.extend(entries.iter().map(|entry| (entry.log_id.index, entry.clone())));
                }
                Write::Vote(vote) => content.marks.vote = Some(*vote),
                Write::Committed(id) => content.marks.committed = Some(*id),
                Write::TruncateFrom(index) => drop(content.entries.split_off(index)),
                Write::Purge(_, id) => {
                    content.entries = content.entries.split_off(&(id.index + 1));
                    content.marks.purged = Some(*id);
                }
                Write::Owner(id) => content.marks.owner = Some(*id),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| state.sync == Sync::Stalls && !state.crashed);
        match state.sync {
            _ if state.crashed => Err(io::Error::other("crashed")),
            Sync::Fails => Err(io::Error::other("no such disk")),
            Sync::Works | Sync::Stalls => {
                state.durable = state.written.clone();
                Ok(())
            }
        }
    }

    fn read(&self, from: u64, to: u64, _: usize) -> io::Result<Vec<Entry>> {
        Ok(self.state.lock().written.entries.range(from..to).map(|(_, entry)| entry.clone()).collect())
    }

    fn marks(&self) -> io::Result<Marks> {
        Ok(self.state.lock().written.marks.clone())
    }
}
