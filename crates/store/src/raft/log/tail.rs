//! The newest entries, in memory: readable from the moment they are appended, kept at least until they are on
//! disk, and beyond that while they are few.

use std::collections::VecDeque;
use std::ops::Range;

use super::backend::Marks;
use crate::raft::types::{Entry, LogId};

/// Bytes of entries kept after they are on disk: replication and apply rarely look further back.
const KEEP_BYTES: usize = 4 << 20;

/// What the log holds as its users see it, whatever of it is on disk already.
#[derive(Debug, Default)]
pub struct Tail {
    pub marks: Marks,
    /// First index that the log holds, or will hold.
    begin: u64,
    /// Last entry, or the purge mark if there is none after it.
    pub last: Option<LogId>,
    /// Index of the first entry in `entries`.
    first: u64,
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
    /// Entries below this index are on disk.
    durable_next: u64,
    /// The commit mark that is on disk.
    noted: Option<LogId>,
}

impl Tail {
    /// The tail of a log that was just opened: everything is on disk.
    pub fn new(marks: Marks, last: Option<LogId>) -> Self {
        let next = last.map_or(0, |id| id.index + 1);
        let begin = marks.purged.map_or(0, |id| id.index + 1);
        let noted = marks.committed;
        Self { last, marks, begin, first: next, durable_next: next, noted, ..Default::default() }
    }

    /// Index after the last entry.
    pub fn next(&self) -> u64 {
        self.last.map_or(0, |id| id.index + 1)
    }

    /// First index that is not purged.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// Adds entries; `Err` names the index that would leave a hole.
    pub fn append(&mut self, entries: &[(Entry, usize)]) -> Result<(), u64> {
        for (entry, size) in entries {
            match self.last {
                Some(_) if entry.log_id.index != self.next() => return Err(entry.log_id.index),
                Some(_) => {}
                // An empty log begins where its first entry says.
                None => self.begin = entry.log_id.index,
            }
            if self.entries.is_empty() {
                self.first = entry.log_id.index;
            }
            self.entries.push_back((entry.clone(), *size));
            self.bytes += size;
            self.last = Some(entry.log_id);
        }
        Ok(())
    }

    /// Drops the entries from `index` on; `last` is the entry before.
    pub fn truncate(&mut self, index: u64, last: Option<LogId>) {
        while self.entries.back().is_some_and(|(entry, _)| entry.log_id.index >= index) {
            self.pop(false);
        }
        self.last = last;
        self.durable_next = self.durable_next.min(index);
        if self.entries.is_empty() {
            self.first = index;
        }
    }

    /// Drops the entries up to `id`, which may lie beyond the last.
    pub fn purge(&mut self, id: LogId) {
        while self.entries.front().is_some_and(|(entry, _)| entry.log_id.index <= id.index) {
            self.pop(true);
        }
        self.marks.purged = Some(id);
        self.begin = id.index + 1;
        if self.last.is_none_or(|last| last.index < id.index) {
            self.last = Some(id);
            self.durable_next = id.index + 1;
        }
        if self.entries.is_empty() {
            self.first = self.next();
        }
    }

    /// Entries below `next` are on disk: lets go of the oldest of them. (After a truncation fewer may be than
    /// the writer says: what was cut off is written again later.)
    pub fn durable(&mut self, next: u64) {
        self.durable_next = self.durable_next.max(next).min(self.next());
        while self.bytes > KEEP_BYTES
            && self.entries.front().is_some_and(|(entry, _)| entry.log_id.index < self.durable_next)
        {
            self.pop(true);
        }
    }

    /// The commit mark if it is not on disk yet and everything up to it is, or is written along with it: `next` is the
    /// index after what is being appended. The caller notes it.
    pub fn unnoted_commit(&mut self, next: Option<u64>) -> Option<LogId> {
        let next = next.unwrap_or(0).max(self.durable_next);
        let mark = self.marks.committed.filter(|id| id.index < next && self.noted != Some(*id))?;
        self.noted = Some(mark);
        Some(mark)
    }

    fn pop(&mut self, front: bool) {
        let popped = if front { self.entries.pop_front() } else { self.entries.pop_back() };
        if let Some((_, size)) = popped {
            self.bytes -= size;
            self.first += u64::from(front);
        }
    }

    /// The part of `range` that must be read from disk, and the entries of the rest, up to about `bytes_max`.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> (Range<u64>, Vec<Entry>) {
        let range = range.start.max(self.begin())..range.end.min(self.next());
        if range.is_empty() {
            return (0..0, Vec::new());
        }
        let disk = range.start..range.end.min(self.first.max(range.start));
        let mut entries = Vec::new();
        let mut bytes = 0;
        if range.end > self.first {
            let skip = range.start.saturating_sub(self.first) as usize;
            let take = (range.end - range.start.max(self.first)) as usize;
            for (entry, size) in self.entries.iter().skip(skip).take(take) {
                entries.push(entry.clone());
                bytes += size;
                if bytes >= bytes_max {
                    break;
                }
            }
        }
        (disk, entries)
    }
}
