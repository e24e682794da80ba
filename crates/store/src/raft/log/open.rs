//! Opening the log: everything that can be wrong with one is found here, not while it is in use.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::backend::{Backend, Marks, RocksLog, Write};
use super::storage::LogStore;
use crate::metrics::Metrics;
use crate::raft::database;
use crate::raft::types::{LogId, Vote};

/// Bytes of entries checked at a time.
const CHECK_BYTES: usize = 4 << 20;

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("in use by another process")]
    Locked,
    /// RocksDB refuses it, an entry is damaged, or entries are missing.
    #[error("{0}")]
    Damaged(String),
    /// The disk fails.
    #[error("{0}")]
    Io(io::Error),
}

impl From<rocksdb::Error> for OpenError {
    fn from(error: rocksdb::Error) -> Self {
        if database::is_locked(&error) {
            return Self::Locked;
        }
        match error.kind() {
            rocksdb::ErrorKind::IOError if !database::is_missing(&error) => Self::Io(database::io_error(error)),
            _ => Self::Damaged(error.into_string()),
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Damaged(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

/// Opens the log at `path`, or makes an empty one, and checks it whole.
pub fn open(path: &Path, metrics: &Metrics) -> Result<LogStore, OpenError> {
    let backend: Arc<dyn Backend> = Arc::new(RocksLog::open(path)?);
    let marks = backend.marks()?;
    let last = check(&*backend, &marks)?;
    Ok(LogStore::start(backend, marks, last, metrics.clone())?)
}

/// Makes the log of a member that begins after `purged`.
pub fn found(path: &Path, vote: Vote, purged: LogId) -> Result<(), OpenError> {
    let backend = RocksLog::open(path)?;
    backend.write(&[Write::Vote(vote), Write::Purge(purged.index, purged), Write::Committed(purged)])?;
    Ok(backend.sync()?)
}

/// Reads every entry: checksums hold, indexes follow each other from the purge mark on, terms never fall, and
/// the vote's term is at least the last entry's. Answers the last id.
fn check(backend: &dyn Backend, marks: &Marks) -> Result<Option<LogId>, OpenError> {
    let mut last = marks.purged;
    let mut next = marks.purged.map_or(0, |id| id.index + 1);
    loop {
        let entries = backend.read(next, u64::MAX, CHECK_BYTES)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            let id = entry.log_id;
            if id.index != next {
                return Err(OpenError::Damaged(format!(
                    "the entries from index {next} to {} are missing",
                    id.index - 1
                )));
            }
            if last.is_some_and(|last| last.leader_id.term > id.leader_id.term) {
                return Err(OpenError::Damaged(format!("the term falls at index {next}")));
            }
            last = Some(id);
            next += 1;
        }
    }
    let voted = marks.vote.map_or(0, |vote| vote.leader_id.term);
    match last {
        Some(last) if voted < last.leader_id.term => Err(OpenError::Damaged(format!(
            "the vote is of term {voted}, the last entry of term {}",
            last.leader_id.term
        ))),
        last => Ok(last),
    }
}
