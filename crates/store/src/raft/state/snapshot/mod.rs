//! Snapshots: checkpoints of the machine's database, one folder each, the newest kept.
//!
//! ```text
//!   snapshots/building-3/          a checkpoint, then its `checksums`; synced
//!             '--rename--> 123456/  the newest; older ones go afterwards
//!   snapshots/receiving-4/         pieces from the leader, checked and synced; installed, then kept the same way
//! ```
//!
//! What a snapshot contains is read from the checkpoint itself, which fixes its own view while entries go on
//! being applied. A checkpoint flushes the database, so whatever the log purges afterwards is durable here.

pub mod archive;
mod folder;
mod manifest;
mod receive;
mod send;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::RaftSnapshotBuilder;
use openraft::alias::SnapshotOf;
use parking_lot::Mutex;
use proto::raftsman_store_v1 as pb;

use super::RocksDisk;
use super::disk::read_meta;
use crate::failpoint::failpoint;
use crate::keys::FORMAT;
use crate::raft::database::sync_dir;
use crate::raft::types::{SnapshotMeta, TypeConfig};

pub use folder::SnapshotFolder;
pub use receive::receive;
pub use send::send;

/// Where snapshots lie. Clones share it.
#[derive(Debug, Clone)]
pub struct SnapshotDir {
    root: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Makes the names of folders differ.
    serial: AtomicU64,
    /// Held while folders are renamed and removed.
    keeping: Mutex<()>,
}

impl SnapshotDir {
    /// Uses `root`, which is made if need be; what an interrupted build or transfer left is removed.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            if place(&path).is_none() {
                fs::remove_dir_all(path)?;
            }
        }
        let dir = Self { root: root.to_owned(), shared: Arc::default() };
        let last = dir.all()?.into_iter().map(|((_, serial), _)| serial).max();
        dir.shared.serial.store(last.map_or(0, |last| last + 1), Ordering::Relaxed);
        Ok(dir)
    }

    /// Reads every byte of every snapshot; an error of kind `InvalidData` names the file that is damaged.
    pub fn verify(&self) -> io::Result<()> {
        for (_, path) in self.all()? {
            manifest::verify(&path, &manifest::read(&path)?)?;
        }
        Ok(())
    }

    /// The newest snapshot.
    pub fn newest(&self) -> io::Result<Option<(SnapshotMeta, SnapshotFolder)>> {
        let _held = self.shared.keeping.lock();
        let Some((_, path)) = self.all()?.into_iter().max() else {
            return Ok(None);
        };
        Ok(Some((manifest::meta(&manifest::read(&path)?)?, SnapshotFolder::kept(path))))
    }

    /// All kept snapshots, by the index that they reach and the order in which they came.
    fn all(&self) -> io::Result<Vec<((u64, u64), PathBuf)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            all.extend(place(&path).map(|place| (place, path)));
        }
        Ok(all)
    }

    /// An empty folder that goes with its last handle.
    fn passing(&self, what: &str) -> io::Result<SnapshotFolder> {
        let folder = self.unmade(what);
        fs::create_dir(folder.path())?;
        Ok(folder)
    }

    fn unmade(&self, what: &str) -> SnapshotFolder {
        let serial = self.shared.serial.fetch_add(1, Ordering::Relaxed);
        SnapshotFolder::passing(self.root.join(format!("{what}-{serial}")))
    }

    /// A snapshot of `disk` as it is now, durable, in a folder that goes with its last handle.
    pub fn take(&self, disk: &RocksDisk) -> io::Result<SnapshotFolder> {
        let folder = self.unmade("building");
        disk.checkpoint(folder.path())?;
        let (progress, membership) = read_meta(folder.path())?;
        let of = pb::SnapshotManifest {
            format: FORMAT,
            applied: progress.applied,
            membership,
            revision: progress.revision,
            compacted: progress.compacted,
            cluster_id: progress.cluster_id,
            cluster_version: progress.cluster_version,
            files: Vec::new(),
        };
        let known = {
            let _held = self.shared.keeping.lock();
            let newest = self.all()?.into_iter().max().map(|(_, path)| path);
            newest.map(|path| manifest::read(&path).map(|manifest| (path, manifest))).transpose()?
        };
        let known = known.as_ref().map(|(path, manifest)| (path.as_path(), manifest));
        let manifest = manifest::describe(folder.path(), of, known)?;
        manifest::write(folder.path(), &manifest)?;
        Ok(folder)
    }

    /// Keeps a snapshot under its own name; the newest stays and all others go. One that is older than the newest is
    /// not kept, but its content is still what the answer says.
    pub fn keep(&self, folder: &SnapshotFolder) -> io::Result<(SnapshotMeta, SnapshotFolder)> {
        // openraft's way to install one that is kept already.
        let known = folder.path().parent() == Some(&self.root) && place(folder.path()).is_some();
        let meta = manifest::meta(&manifest::read(folder.path())?)?;
        let index = meta.last_log_id.map_or(0, |id| id.index);
        let _held = self.shared.keeping.lock();
        if known || self.all()?.iter().any(|((newest, _), _)| *newest > index) {
            return Ok((meta, folder.clone()));
        }
        let serial = self.shared.serial.fetch_add(1, Ordering::Relaxed);
        let kept = self.root.join(format!("{index}.{serial}"));
        failpoint!("snapshot-before-rename");
        fs::rename(folder.path(), &kept)?;
        sync_dir(&self.root)?;
        for (_, other) in self.all()? {
            if other != kept {
                self.discard(&other)?;
            }
        }
        Ok((meta, SnapshotFolder::kept(kept)))
    }
}

impl SnapshotDir {
    /// Removes the snapshots that end before entry `index`.
    pub fn discard_before(&self, index: u64) -> io::Result<()> {
        let _held = self.shared.keeping.lock();
        for ((end, _), path) in self.all()? {
            if end < index {
                self.discard(&path)?;
            }
        }
        Ok(())
    }

    /// Removes a kept snapshot. Under another name first: after a crash in the middle, a folder without some of its
    /// files would look like one that was damaged.
    fn discard(&self, path: &Path) -> io::Result<()> {
        let removed = self.unmade("removed");
        fs::rename(path, removed.path())
    }
}

/// Index and serial number of a kept snapshot's folder; `None` for any other.
fn place(path: &Path) -> Option<(u64, u64)> {
    let (index, serial) = path.file_name()?.to_str()?.split_once('.')?;
    Some((index.parse().ok()?, serial.parse().ok()?))
}

/// Builds one snapshot for openraft.
pub struct Builder {
    pub dir: SnapshotDir,
    pub disk: Arc<RocksDisk>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFolder;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, SnapshotFolder>, io::Error> {
        let (dir, disk) = (self.dir.clone(), self.disk.clone());
        let build = tokio::task::spawn_blocking(move || dir.keep(&dir.take(&disk)?));
        let (meta, snapshot) = build.await.map_err(io::Error::other)??;
        Ok(openraft::Snapshot { meta, snapshot })
    }
}

#[cfg(test)]
mod tests;
