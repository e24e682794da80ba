//! The thread that writes the log.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::backend::{Backend, Write};
use super::tail::Tail;
use crate::failpoint::failpoint;
use crate::metrics::Metrics;
use crate::raft::types::TypeConfig;

/// Writes that may wait for the disk. When as many wait, `append` waits too, so that raft takes no more.
pub const QUEUE_LEN: usize = 4096;
/// KiB of entries that may wait for the disk; `append` waits beyond that, too.
pub const QUEUE_KIB: u32 = 64 << 10;
/// Most writes merged under one fsync.
const MERGE_MAX: usize = 4096;

/// A write with whom to tell when it is durable.
pub struct Task {
    pub write: Write,
    pub done: Done,
    /// The room that it takes in the queue, given back when it is written.
    pub room: Option<OwnedSemaphorePermit>,
}

/// Whom a write concerns.
pub enum Done {
    /// openraft's callback: each is called once, in order.
    Callback(IOFlushed<TypeConfig>),
    /// A caller that waits.
    Waiter(oneshot::Sender<io::Result<()>>),
}

impl Done {
    fn tell(self, result: io::Result<()>) {
        match self {
            Self::Callback(callback) => callback.io_completed(result),
            // A waiter that has gone away is a caller that was cancelled.
            Self::Waiter(waiter) => drop(waiter.send(result)),
        }
    }
}

/// The first failure of the disk; empty while there is none.
pub type Fault = watch::Sender<Option<String>>;

/// Starts the thread; it ends when the queue's sender is gone.
pub fn start(
    backend: Arc<dyn Backend>,
    tail: Arc<Mutex<Tail>>,
    queue: mpsc::Receiver<Task>,
    fault: Fault,
    metrics: Metrics,
) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("raft-log".into()).spawn(move || run(&*backend, &tail, queue, &fault, &metrics))
}

fn run(backend: &dyn Backend, tail: &Mutex<Tail>, mut queue: mpsc::Receiver<Task>, fault: &Fault, metrics: &Metrics) {
    let mut tasks = Vec::new();
    while let Some(first) = queue.blocking_recv() {
        tasks.push(first);
        while tasks.len() < MERGE_MAX
            && let Ok(task) = queue.try_recv()
        {
            tasks.push(task);
        }
        write(backend, tail, std::mem::take(&mut tasks), fault, metrics);
    }
    let committed = tail.lock().unnoted_commit(None);
    if let Some(committed) = committed
        && fault.borrow().is_none()
        && let Err(error) = backend.write(&[Write::Committed(committed)])
    {
        tracing::warn!("how far the raft log is committed could not be noted: {error}");
    }
}

/// Writes the tasks as one unit and tells everybody.
fn write(backend: &dyn Backend, tail: &Mutex<Tail>, tasks: Vec<Task>, fault: &Fault, metrics: &Metrics) {
    let latched = fault.borrow().clone();
    let (mut writes, mut done, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
    for task in tasks {
        writes.push(task.write);
        done.push(task.done);
        rooms.push(task.room);
    }
    // How far the log is committed is only a hint about what may be applied at the next start: it goes along with
    // what must be written anyway.
    writes.extend(tail.lock().unnoted_commit(last_appended(&writes)).map(Write::Committed));
    let result = match latched {
        Some(text) => Err(text),
        None => commit(backend, &writes, metrics).map_err(|error| error.to_string()),
    };
    match &result {
        Ok(()) => {
            if let Some(next) = last_appended(&writes) {
                tail.lock().durable(next);
            }
        }
        Err(text) => {
            fault.send_if_modified(|fault| {
                let first = fault.is_none();
                if first {
                    tracing::error!("the raft log can't be written, this member stops: {text}");
                    *fault = Some(text.clone());
                }
                first
            });
        }
    }
    drop(rooms);
    for done in done {
        done.tell(result.clone().map_err(io::Error::other));
    }
}

fn commit(backend: &dyn Backend, writes: &[Write], metrics: &Metrics) -> io::Result<()> {
    let begun = Instant::now();
    failpoint!("log-before-write");
    if writes.iter().any(|write| matches!(write, Write::Purge(..))) {
        failpoint!("purge-before-write");
    }
    backend.write(writes)?;
    failpoint!("log-before-sync");
    if writes.iter().any(|write| matches!(write, Write::Vote(_))) {
        failpoint!("vote-before-sync");
    }
    backend.sync()?;
    failpoint!("log-after-sync");
    metrics.wal_fsync.observe(begun.elapsed().as_secs_f64());
    metrics.wal_entries.inc_by(writes.iter().map(appended).sum());
    Ok(())
}

/// Entries that a write appends.
fn appended(write: &Write) -> u64 {
    match write {
        Write::Append(entries) => entries.len() as u64,
        _ => 0,
    }
}

/// Index after the last entry that `writes` leave behind, if they append any.
fn last_appended(writes: &[Write]) -> Option<u64> {
    writes.iter().rev().find_map(|write| match write {
        Write::Append(entries) => entries.last().map(|entry| entry.log_id.index + 1),
        Write::TruncateFrom(index) => Some(*index),
        _ => None,
    })
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
