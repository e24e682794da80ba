//! The machine's database in RocksDB.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use prost::Message;
use proto::raftsman_store_v1 as pb;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, Direction, IteratorMode, Options, ReadOptions, ReadTier, WriteBatch, WriteOptions};

use super::StateDir;
use crate::keys::state as keys;
use crate::machine::{Batch, Disk, DiskError, Revision, Stored};
use crate::raft::Threads;
use crate::raft::database::{self, io_error, sync_dir};
use crate::raft::log::OpenError;
use crate::raft::mark::Mark;

/// Bytes of one memtable of the machine's state.
const WRITE_BUFFER_BYTES: usize = 8 << 20;

/// The database; replaced as a whole when a snapshot is installed.
pub struct RocksDisk {
    dir: StateDir,
    db: RwLock<Arc<DB>>,
    flushed: Arc<Mark>,
    /// They remove databases that were replaced.
    removals: Mutex<Threads>,
}

/// Beside the databases: the index of the last entry that was flushed.
const FLUSHED: &str = "flushed";

fn options() -> Options {
    let mut options = database::options(WRITE_BUFFER_BYTES);
    // There is one column family; the setting keeps the promise should there be more.
    options.set_atomic_flush(true);
    options
}

/// Writes go to memory only: the raft log is what makes them durable.
fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

fn disk_error(error: rocksdb::Error) -> DiskError {
    DiskError(error.into_string())
}

impl RocksDisk {
    /// Opens the database of `dir`, or makes it.
    pub fn open(dir: StateDir) -> Result<Self, OpenError> {
        let current = dir.current()?;
        let (flushed, noted) = Mark::open(&dir.root().join(FLUSHED))?;
        let db = database::open(options(), &current, noted == 0)?;
        let disk = Self { dir, db: RwLock::new(Arc::new(db)), flushed: Arc::new(flushed), removals: Mutex::default() };
        let found = disk.applied()?;
        if found < noted {
            return Err(OpenError::Damaged(format!(
                "it was on disk up to entry {noted}, and ends at entry {found}; {}/MANIFEST-* was damaged or cut short",
                current.display()
            )));
        }
        Ok(disk)
    }

    /// Opens a database whose files were laid into `dir` from elsewhere.
    pub fn adopt(dir: StateDir) -> Result<Self, OpenError> {
        let current = dir.current()?;
        let (flushed, _) = Mark::open(&dir.root().join(FLUSHED))?;
        let db = database::open(options(), &current, false)?;
        Ok(Self { dir, db: RwLock::new(Arc::new(db)), flushed: Arc::new(flushed), removals: Mutex::default() })
    }

    /// Index of the last entry that the state has.
    fn applied(&self) -> io::Result<u64> {
        let progress: Option<pb::Progress> = message(&self.db(), keys::PROGRESS).map_err(invalid)?;
        Ok(progress.and_then(|progress| progress.applied).map_or(0, |id| id.index))
    }

    fn db(&self) -> Arc<DB> {
        self.db.read().clone()
    }

    /// What lies beside the records. Reads everything that does, as the machine reads every record: damage anywhere is
    /// found at the start.
    pub fn stored(&self) -> Result<Stored, DiskError> {
        let db = self.db();
        let mut stored = Stored::default();
        let mut note = |key: &[u8], value: &[u8]| {
            if let Some(id) = keys::lease_id(key) {
                stored.leases.push((id, pb::Lease::decode(value).ok()?));
            } else if keys::member_id(key).is_some() {
                stored.published.push(pb::Publish::decode(value).ok()?);
            } else if let Some(alarm) = keys::alarm_parts(key) {
                stored.alarms.push(alarm);
            } else if keys::report_id(key).is_some() {
                stored.reports.push(pb::HashReport::decode(value).ok()?);
            } else if key == keys::PROGRESS {
                stored.progress = Some(pb::Progress::decode(value).ok()?);
            } else if ![keys::MEMBERSHIP, keys::PRUNED].contains(&key) {
                return None;
            }
            Some(())
        };
        visit(&db, keys::BEFORE_RECORDS, &mut note)?;
        visit(&db, keys::AFTER_RECORDS, &mut note)?;
        Ok(stored)
    }

    /// The membership as of the applied log.
    pub fn membership(&self) -> Result<Option<pb::StoredMembership>, DiskError> {
        message(&self.db(), keys::MEMBERSHIP)
    }

    /// Revision up to which garbage was removed.
    pub fn pruned(&self) -> Result<i64, DiskError> {
        let bytes = self.db().get(keys::PRUNED).map_err(disk_error)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes))
    }

    /// The record at `revision` if it is in memory; an error where the disk would have to be read.
    pub fn cached_record(&self, revision: Revision) -> Result<Option<Bytes>, DiskError> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::BlockCache);
        Ok(self.db().get_opt(keys::record(revision), &options).map_err(disk_error)?.map(Bytes::from))
    }

    /// Writes a batch of the machine.
    pub fn write(&self, batch: &Batch) -> Result<(), DiskError> {
        let mut writes = WriteBatch::default();
        for (key, value) in &batch.writes {
            match value {
                Some(value) => writes.put(key, value),
                None => writes.delete(key),
            }
        }
        self.db().write_opt(writes, &unlogged()).map_err(disk_error)
    }

    /// Deletes records that no read can see any more. `done` is noted with the last of them.
    pub fn prune(&self, records: &[Revision], done: Option<i64>) -> Result<(), DiskError> {
        let mut writes = WriteBatch::default();
        for record in records {
            writes.delete(keys::record(*record));
        }
        if let Some(done) = done {
            writes.put(keys::PRUNED, done.to_be_bytes());
        }
        self.db().write_opt(writes, &unlogged()).map_err(disk_error)
    }

    /// Lays a checkpoint of the current state at `path`: flushed, its files linked, durable when it returns.
    pub fn checkpoint(&self, path: &Path) -> io::Result<()> {
        let db = self.db();
        let applied = self.applied()?;
        Checkpoint::new(&db).and_then(|checkpoint| checkpoint.create_checkpoint(path)).map_err(io_error)?;
        self.flushed.note(applied)?;
        sync_dir(path)
    }

    /// Lays the state at `from` beside the present one and opens it; `take_over` makes it the one in use.
    pub fn beside(&self, from: &Path) -> io::Result<Self> {
        let next = self.dir.next()?;
        link_or_copy(from, &next)?;
        let db = database::open(options(), &next, false).map_err(io_error)?;
        Ok(Self {
            dir: self.dir.clone(),
            db: RwLock::new(Arc::new(db)),
            flushed: self.flushed.clone(),
            removals: Mutex::default(),
        })
    }

    /// Puts the database that `beside` opened in the place of the present one; durable when it returns.
    pub fn take_over(&self, fresh: Self) -> io::Result<()> {
        let applied = fresh.applied()?;
        let fresh = fresh.db.into_inner();
        let old = self.dir.current()?;
        let name = fresh.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.dir.point_to(name)?;
        self.flushed.note(applied)?;
        let replaced = std::mem::replace(&mut *self.db.write(), fresh);
        // Whoever still reads the old database (a checkpoint being built) must find its files.
        let removal = std::thread::Builder::new().name("old-state".into()).spawn(move || remove(replaced, &old))?;
        self.removals.lock().add(removal);
        Ok(())
    }

    /// Bytes of all files, and of what is alive in them, for `Status`.
    pub fn sizes(&self) -> (i64, i64) {
        let db = self.db();
        let property = |name: &str| db.property_int_value(name).ok().flatten().unwrap_or(0) as i64;
        let memory = property("rocksdb.cur-size-all-mem-tables");
        let total = property("rocksdb.total-sst-files-size") + memory;
        (total, (property("rocksdb.estimate-live-data-size") + memory).min(total))
    }

    /// Rewrites the files, so that what was deleted takes no space any more.
    pub fn defragment(&self) {
        self.db().compact_range(None::<&[u8]>, None::<&[u8]>);
    }

    /// Flushes, so that a restart need not apply the log again.
    pub fn flush(&self) -> io::Result<()> {
        let applied = self.applied()?;
        self.db().flush().map_err(io_error)?;
        self.flushed.note(applied)
    }
}

/// Progress and membership of the state that lies at `path`.
pub fn read_meta(path: &Path) -> io::Result<(pb::Progress, Option<pb::StoredMembership>)> {
    let db = DB::open_for_read_only(&Options::default(), path, false).map_err(io_error)?;
    let progress: Option<pb::Progress> = message(&db, keys::PROGRESS).map_err(invalid)?;
    Ok((progress.unwrap_or_default(), message(&db, keys::MEMBERSHIP).map_err(invalid)?))
}

fn message<M: Message + Default>(db: &DB, key: &[u8]) -> Result<Option<M>, DiskError> {
    let Some(bytes) = db.get(key).map_err(disk_error)? else {
        return Ok(None);
    };
    M::decode(&*bytes).map(Some).map_err(|_| damaged(key))
}

fn invalid(error: DiskError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn damaged(key: &[u8]) -> DiskError {
    DiskError(format!("the value of {} is damaged", String::from_utf8_lossy(key)))
}

fn visit(
    db: &DB,
    (from, to): (&[u8], &[u8]),
    visit: &mut impl FnMut(&[u8], &[u8]) -> Option<()>,
) -> Result<(), DiskError> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_iterate_upper_bound(to);
    for item in db.iterator_opt(IteratorMode::From(from, Direction::Forward), options) {
        let (key, value) = item.map_err(disk_error)?;
        visit(&key, &value).ok_or_else(|| damaged(&key))?;
    }
    Ok(())
}

/// Removes a database that was replaced, when nobody uses it any more. What a crash leaves of it goes at the next start.
fn remove(mut db: Arc<DB>, path: &Path) {
    let closed = loop {
        match Arc::try_unwrap(db) {
            Ok(closed) => break closed,
            Err(used) => db = used,
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    drop(closed);
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!("the old state {} stays until the next start: {error}", path.display());
    }
}

/// Files of an immutable kind are linked, all others copied; durable when it returns.
pub fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let source = entry?.path();
        let Some(name) = source.file_name() else { continue };
        let target: PathBuf = to.join(name);
        let immutable = source.extension().is_some_and(|extension| extension == "sst");
        if !immutable || fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    sync_dir(to)
}

impl Disk for RocksDisk {
    fn record(&self, revision: Revision) -> Result<Option<Bytes>, DiskError> {
        Ok(self.db().get(keys::record(revision)).map_err(disk_error)?.map(Bytes::from))
    }

    fn records(&self, from: Revision, visit: &mut dyn FnMut(Revision, Bytes) -> bool) -> Result<(), DiskError> {
        let db = self.db();
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(keys::record(Revision { main: i64::MAX, sub: u32::MAX }));
        // A scan must not push out what single reads need.
        options.fill_cache(false);
        for item in db.iterator_opt(IteratorMode::From(&keys::record(from), Direction::Forward), options) {
            let (key, value) = item.map_err(disk_error)?;
            let Some(revision) = keys::record_revision(&key) else { break };
            if !visit(revision, Bytes::from(value)) {
                break;
            }
        }
        Ok(())
    }
}
