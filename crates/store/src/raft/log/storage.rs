//! The log as openraft sees it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use futures::Stream;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::OpenError;
use super::backend::{Backend, Marks, Write};
use super::tail::Tail;
use super::writer::{self, Done, Fault, Task};
use crate::metrics::Metrics;
use crate::raft::Threads;
use crate::raft::codec;
use crate::raft::types::{Entry, LogId, TypeConfig, Vote};

/// Bytes of entries in one message to a follower, and held at a time while applying.
const READ_BYTES_MAX: usize = 4 << 20;

/// The log, open. There is one; readers are its clones.
pub struct LogStore {
    reader: LogReader,
    queue: mpsc::Sender<Task>,
    /// Room in the queue, in KiB.
    room: Arc<Semaphore>,
    fault: Fault,
    /// Ends with the queue.
    _writer: Threads,
}

/// Reads the log beside its writer.
#[derive(Clone)]
pub struct LogReader {
    backend: Arc<dyn Backend>,
    tail: Arc<Mutex<Tail>>,
}

impl LogStore {
    /// Starts the writer thread on a checked log.
    pub(super) fn start(
        backend: Arc<dyn Backend>,
        marks: Marks,
        last: Option<LogId>,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let tail = Arc::new(Mutex::new(Tail::new(marks, last)));
        let (queue, tasks) = mpsc::channel(writer::QUEUE_LEN);
        let fault = watch::Sender::new(None);
        let writer = writer::start(backend.clone(), tail.clone(), tasks, fault.clone(), metrics)?;
        let room = Arc::new(Semaphore::new(writer::QUEUE_KIB as usize));
        Ok(Self { reader: LogReader { backend, tail }, queue, room, fault, _writer: [writer].into() })
    }

    /// Becomes the text of the first failure of the disk.
    pub fn fault(&self) -> watch::Receiver<Option<String>> {
        self.fault.subscribe()
    }

    /// Makes sure that the log is `member`'s, before raft uses it: a directory must not be put together of two.
    /// `begun` says that the member has been started before, so that its log is not empty.
    pub fn claim(&self, member: u64, begun: bool) -> Result<(), OpenError> {
        let backend = &self.reader.backend;
        let marks = backend.marks()?;
        let empty = Marks { owner: None, ..marks.clone() } == Marks::default() && backend.read(0, 1, 1)?.is_empty();
        match marks.owner {
            Some(owner) if owner == member => return Ok(()),
            Some(owner) if !empty => {
                let text = format!("it belongs to member {owner:x}, this directory to member {member:x}");
                return Err(OpenError::Damaged(text));
            }
            _ => {}
        }
        if begun && marks.owner.is_none() && empty {
            return Err(OpenError::Damaged(
                "it is empty, though the member was started before: the log is missing".into(),
            ));
        }
        backend.write(&[Write::Owner(member)])?;
        Ok(backend.sync()?)
    }

    /// Index up to which the log was purged, 0 for nothing.
    pub fn purged(&self) -> u64 {
        self.reader.tail.lock().marks.purged.map_or(0, |id| id.index)
    }

    /// Index up to which the log is purged once raft has started on a state that ends at `applied`: of a log that ends
    /// before its state, raft keeps nothing.
    pub fn purged_under(&self, applied: u64) -> u64 {
        let tail = self.reader.tail.lock();
        if tail.next() <= applied { applied } else { tail.marks.purged.map_or(0, |id| id.index) }
    }

    async fn submit(&self, write: Write, done: Done) -> io::Result<()> {
        self.submit_with(write, done, None).await
    }

    async fn submit_with(&self, write: Write, done: Done, room: Option<OwnedSemaphorePermit>) -> io::Result<()> {
        self.queue.send(Task { write, done, room }).await.map_err(|_| io::Error::other("the log's writer has ended"))
    }
}

impl LogReader {
    /// Entries of `range` from memory and disk, up to about `bytes_max` but at least one.
    async fn entries(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let (disk, recent) = self.tail.lock().read(range, bytes_max);
        if disk.is_empty() {
            return Ok(recent);
        }
        let backend = self.backend.clone();
        let wanted = disk.end - disk.start;
        let read = tokio::task::spawn_blocking(move || backend.read(disk.start, disk.end, bytes_max));
        let mut entries = read.await.map_err(io::Error::other)??;
        // Only with all of the older ones do the recent ones follow without a hole.
        if entries.len() as u64 == wanted {
            entries.extend(recent);
        }
        Ok(entries)
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        // In pieces, so that a long replay does not hold the whole log in memory.
        let reader = self.clone();
        let range = bounds(&range);
        let pieces = futures::stream::try_unfold(range.start, move |next| {
            let reader = reader.clone();
            async move {
                if next >= range.end {
                    return Ok::<_, io::Error>(None);
                }
                let entries = reader.entries(next..range.end, READ_BYTES_MAX).await?;
                let after = next + entries.len() as u64;
                Ok((!entries.is_empty()).then(|| (futures::stream::iter(entries.into_iter().map(Ok)), after)))
            }
        });
        futures::TryStreamExt::try_flatten(pieces)
    }

    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        self.entries(bounds(&range), usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.tail.lock().marks.vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.entries(start..end, READ_BYTES_MAX).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let tail = self.reader.tail.lock();
        Ok(LogState { last_purged_log_id: tail.marks.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, written) = oneshot::channel();
        self.submit(Write::Vote(*vote), Done::Waiter(done)).await?;
        written.await.map_err(io::Error::other)??;
        // Visible only when durable: a vote that is seen may already count.
        self.reader.tail.lock().marks.vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.reader.tail.lock().marks.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.reader.tail.lock().marks.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let sized: Vec<_> =
            entries.into_iter().map(|entry| (codec::entry_size(&entry), entry)).map(|(s, e)| (e, s)).collect();
        self.reader
            .tail
            .lock()
            .append(&sized)
            .map_err(|index| io::Error::other(format!("entry {index} would leave a hole in the log")))?;
        let bytes: usize = sized.iter().map(|(_, size)| size).sum();
        let entries = sized.into_iter().map(|(entry, _)| entry).collect();
        // A single append may be larger than the queue: it then waits for all of it.
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(writer::QUEUE_KIB);
        let room = self.room.clone().acquire_many_owned(kib).await.map_err(io::Error::other)?;
        self.submit_with(Write::Append(entries), Done::Callback(callback), Some(room)).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let from = last_log_id.map_or(0, |id| id.index + 1);
        {
            let mut tail = self.reader.tail.lock();
            if from >= tail.next() {
                return Ok(());
            }
            tail.truncate(from, last_log_id);
        }
        let (done, written) = oneshot::channel();
        self.submit(Write::TruncateFrom(from), Done::Waiter(done)).await?;
        written.await.map_err(io::Error::other)?
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let from = {
            let mut tail = self.reader.tail.lock();
            let from = tail.marks.purged.map_or(0, |id| id.index + 1);
            if from > log_id.index {
                return Ok(());
            }
            tail.purge(log_id);
            from
        };
        let (done, written) = oneshot::channel();
        self.submit(Write::Purge(from, log_id), Done::Waiter(done)).await?;
        written.await.map_err(io::Error::other)?
    }
}
