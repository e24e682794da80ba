//! The file side of the log: a narrow trait, so that a log file of our own can take RocksDB's place.

use std::io;
use std::path::Path;

use bytes::Bytes;
use prost::Message;
use proto::raftsman_store_v1 as pb;
use rocksdb::{DB, DBRecoveryMode, IteratorMode, ReadOptions, WriteBatch, WriteOptions};

use super::OpenError;
use crate::keys::log as keys;
use crate::raft::codec;
use crate::raft::database::{self, io_error};
use crate::raft::mark::Mark;
use crate::raft::types::{Entry, LogId, Vote};

/// Bytes of one memtable of the log.
const WRITE_BUFFER_BYTES: usize = 4 << 20;
/// Bytes of write-ahead log before RocksDB flushes what pins it.
const WAL_BYTES_MAX: u64 = 32 << 20;
/// Layout of a stored entry: this byte, the CRC-32C of the rest, the rest.
const ENTRY_FORMAT: u8 = 1;

/// One change of the log.
#[derive(Debug)]
pub enum Write {
    /// Entries after the last one.
    Append(Vec<Entry>),
    /// The vote.
    Vote(Vote),
    /// How far the log is committed.
    Committed(LogId),
    /// Entries from this index on are gone.
    TruncateFrom(u64),
    /// Entries from the index up to the id are gone for good.
    Purge(u64, LogId),
    /// The log is that member's.
    Owner(u64),
}

/// What lies in the log beside entries.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Marks {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub owner: Option<u64>,
}

/// Where the log is kept.
pub trait Backend: Send + Sync + 'static {
    /// Writes in order, as one unit; durable after the next `sync`.
    fn write(&self, writes: &[Write]) -> io::Result<()>;

    /// Makes all writes so far durable.
    fn sync(&self) -> io::Result<()>;

    /// Entries from `from` to before `to`, at most about `bytes_max` of them but at least one, in order.
    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>>;

    /// The marks.
    fn marks(&self) -> io::Result<Marks>;
}

/// Beside the database: the sequence number up to which it was synced.
const SYNCED: &str = "synced";

/// The log in RocksDB.
pub struct RocksLog {
    db: DB,
    synced: Mark,
}

impl RocksLog {
    /// Opens the database, or makes it. A damaged end (a torn write at a crash) is dropped, damage before it
    /// refuses to open: entries that were acknowledged must not vanish in silence. That the end which was dropped
    /// was never synced says the mark beside the database.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut options = database::options(WRITE_BUFFER_BYTES);
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        std::fs::create_dir_all(path)?;
        let (synced, noted) = Mark::open(&path.join(SYNCED))?;
        // Named before it is opened: what RocksDB drops it also removes.
        let ends = ends(path)?;
        let db = database::open(options, path, noted == 0).map_err(|error| match OpenError::from(error) {
            OpenError::Damaged(reason) => OpenError::Damaged(format!("{reason} (it has {ends})")),
            other => other,
        })?;
        let found = db.latest_sequence_number();
        if found < noted {
            return Err(OpenError::Damaged(format!(
                "its newest writes are gone: {noted} were synced, {found} can be read; what ends it was damaged or cut \
                 short: {ends}"
            )));
        }
        database::scan(&db)?;
        Ok(Self { db, synced })
    }

    fn mark<M: Message + Default>(&self, key: &[u8]) -> io::Result<Option<M>> {
        let Some(bytes) = self.db.get(key).map_err(io_error)? else {
            return Ok(None);
        };
        let body = unseal(&bytes).ok_or_else(|| damaged(key))?;
        M::decode(body).map(Some).map_err(|_| damaged(key))
    }
}

/// Names of the files that hold the end of the log, which RocksDB's messages do not always say.
fn ends(path: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".log") || name.starts_with("MANIFEST-") || name == "CURRENT" {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.join(", "))
}

fn damaged(key: &[u8]) -> io::Error {
    let name = String::from_utf8_lossy(key).into_owned();
    io::Error::new(io::ErrorKind::InvalidData, format!("the mark {name} is damaged"))
}

/// Bytes with format and checksum in front.
fn seal(body: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(5 + body.len());
    sealed.push(ENTRY_FORMAT);
    sealed.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
    sealed.extend_from_slice(body);
    sealed
}

/// What was sealed; `None` where the checksum says that it is not.
fn unseal(sealed: &[u8]) -> Option<&[u8]> {
    let (&format, rest) = sealed.split_first()?;
    let (sum, body) = rest.split_at_checked(4)?;
    (format == ENTRY_FORMAT && crc32c::crc32c(body).to_be_bytes() == sum).then_some(body)
}

impl Backend for RocksLog {
    fn write(&self, writes: &[Write]) -> io::Result<()> {
        let mut batch = WriteBatch::default();
        for write in writes {
            match write {
                Write::Append(entries) => {
                    for entry in entries {
                        batch.put(keys::entry(entry.log_id.index), seal(&codec::encode_entry(entry)));
                    }
                }
                Write::Vote(vote) => batch.put(keys::VOTE, seal(&codec::vote(vote).encode_to_vec())),
                Write::Committed(id) => batch.put(keys::COMMITTED, seal(&codec::log_id(id).encode_to_vec())),
                Write::TruncateFrom(index) => batch.delete_range(&keys::entry(*index)[..], keys::ENTRIES_END),
                Write::Purge(from, id) => {
                    batch.delete_range(keys::entry(*from), keys::entry(id.index + 1));
                    batch.put(keys::PURGED, seal(&codec::log_id(id).encode_to_vec()));
                }
                Write::Owner(id) => batch.put(keys::OWNER, seal(&pb::Owner { member_id: *id }.encode_to_vec())),
            }
        }
        self.db.write_opt(batch, &WriteOptions::default()).map_err(io_error)
    }

    fn sync(&self) -> io::Result<()> {
        // Only the writer's thread writes, so nothing comes between.
        let number = self.db.latest_sequence_number();
        self.db.flush_wal(true).map_err(io_error)?;
        self.synced.note(number)
    }

    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(keys::entry(from));
        options.set_iterate_upper_bound(keys::entry(to));
        let mut entries = Vec::new();
        let mut bytes = 0;
        for item in self.db.iterator_opt(IteratorMode::Start, options) {
            let (key, value) = item.map_err(io_error)?;
            let index = keys::entry_index(&key);
            let entry = unseal(&value).and_then(|body| codec::decode_entry(Bytes::copy_from_slice(body)));
            match entry {
                Some(entry) if Some(entry.log_id.index) == index => entries.push(entry),
                _ => {
                    let text = format!("the entry at index {} is damaged", index.unwrap_or_default());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
            bytes += value.len();
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(entries)
    }

    fn marks(&self) -> io::Result<Marks> {
        Ok(Marks {
            vote: self.mark::<pb::Vote>(keys::VOTE)?.as_ref().map(codec::read_vote),
            committed: self.mark::<pb::LogId>(keys::COMMITTED)?.as_ref().map(codec::read_log_id),
            purged: self.mark::<pb::LogId>(keys::PURGED)?.as_ref().map(codec::read_log_id),
            owner: self.mark::<pb::Owner>(keys::OWNER)?.map(|owner| owner.member_id),
        })
    }
}
