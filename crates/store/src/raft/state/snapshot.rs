//! Snapshots: checkpoints of the machine's database, one folder each, the newest kept.
//!
//! What a snapshot contains is read from the checkpoint itself, which fixes its own view while entries go on
//! being applied. A checkpoint flushes the database, so whatever the log purges afterwards is durable here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::RaftSnapshotBuilder;
use openraft::alias::SnapshotOf;

use super::RocksDisk;
use super::disk::read_meta;
use crate::raft::codec;
use crate::raft::database::sync_dir;
use crate::raft::types::{SnapshotMeta, TypeConfig};

/// A snapshot's folder.
#[derive(Debug, Clone)]
pub struct SnapshotFolder(pub PathBuf);

/// Where snapshots lie.
#[derive(Debug, Clone)]
pub struct SnapshotDir {
    root: PathBuf,
}

const UNFINISHED: &str = "unfinished";

impl SnapshotDir {
    /// Uses `root`, which is made if need be; what an interrupted build left is removed.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let dir = Self { root: root.to_owned() };
        dir.clear_unfinished()?;
        Ok(dir)
    }

    fn clear_unfinished(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.root.join(UNFINISHED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The newest snapshot.
    pub fn newest(&self) -> io::Result<Option<(SnapshotMeta, SnapshotFolder)>> {
        let Some((_, path)) = self.all()?.into_iter().max() else {
            return Ok(None);
        };
        Ok(Some((meta(&path)?, SnapshotFolder(path))))
    }

    /// All snapshots by the index that they reach.
    fn all(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if let Some(index) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                all.push((index, entry.path()));
            }
        }
        Ok(all)
    }

    /// Builds a snapshot and removes the older ones.
    fn build(&self, disk: &RocksDisk) -> io::Result<(SnapshotMeta, SnapshotFolder)> {
        self.clear_unfinished()?;
        let unfinished = self.root.join(UNFINISHED);
        disk.checkpoint(&unfinished)?;
        self.keep(&unfinished)
    }

    /// Makes the state at `path` the newest snapshot.
    pub fn keep(&self, path: &Path) -> io::Result<(SnapshotMeta, SnapshotFolder)> {
        let meta = meta(path)?;
        let index = meta.last_log_id.map_or(0, |id| id.index);
        let folder = self.root.join(index.to_string());
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::rename(path, &folder)?;
        sync_dir(&self.root)?;
        for (_, other) in self.all()? {
            if other != folder {
                fs::remove_dir_all(other)?;
            }
        }
        Ok((meta, SnapshotFolder(folder)))
    }
}

/// What the state at `path` contains.
pub fn meta(path: &Path) -> io::Result<SnapshotMeta> {
    let (progress, membership) = read_meta(path)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the snapshot's membership is damaged");
    Ok(SnapshotMeta {
        last_log_id: progress.applied.as_ref().map(codec::read_log_id),
        last_membership: codec::read_stored_membership(&membership.unwrap_or_default()).ok_or_else(damaged)?,
    })
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
        let build = tokio::task::spawn_blocking(move || dir.build(&disk));
        let (meta, snapshot) = build.await.map_err(io::Error::other)??;
        Ok(openraft::Snapshot { meta, snapshot })
    }
}
