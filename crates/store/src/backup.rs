//! Backups: files that `Maintenance.Snapshot` gave away. Checked here, and made a member's directory again.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::marker::{self, Marker};
use crate::raft;
use crate::raft::log::OpenError;
use crate::raft::restore::{self, Member};
use crate::raft::state::archive;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Store's revision.
    pub revision: i64,
    /// Revisions before this one are forgotten.
    pub compacted: i64,
    /// Group that it was taken of.
    pub cluster_id: u64,
    /// Last entry of that group's log that is in it.
    pub applied_index: u64,
    /// Names of that group's members.
    pub members: Vec<String>,
    /// Bytes of the database.
    pub bytes: u64,
}

/// Why a backup is refused.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is not what was written.
    #[error("snapshot {}: {reason}; take another one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file can't be read.
    #[error("snapshot {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The directory is not fresh.
    #[error(
        "data directory {} is in use already; a snapshot is restored into a new one: two members made of one \
         directory would answer differently under one name",
        .0.display()
    )]
    Used(PathBuf),
    /// The directory holds no member.
    #[error("{} is no store's directory: it has no log and state", .0.display())]
    NoMember(PathBuf),
    /// A process uses the directory.
    #[error("the member of {} runs; save from it by --endpoints, or stop it", .0.display())]
    Running(PathBuf),
    /// What the directory holds is damaged.
    #[error("{} is damaged: {reason}", path.display())]
    DamagedMember {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The backup can't be written.
    #[error("the snapshot can't be written: {0}")]
    Unsaved(io::Error),
    /// The directory can't be written.
    #[error("data directory {}: {source}", path.display())]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Whose directory is made.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// Its name.
    pub name: String,
    /// Where its peers will reach it.
    pub peer_urls: Vec<String>,
    /// Ids of the member and of the new group, drawn at random.
    pub ids: (u64, u64),
}

/// Compares every byte of the backup `path` with its checksums.
pub fn verify(path: &Path) -> Result<Info, BackupError> {
    archive::read(path, |_, _, _| Ok(())).map(|manifest| info(&manifest)).map_err(|error| refuse(path, error))
}

/// Makes the backup `to` of the store directory `dir`, whose member does not run: with everything in its log, so also
/// with writes that the group had not acknowledged yet. The directory stays as it is.
pub async fn salvage(dir: &Path, to: &mut fs::File) -> Result<(), BackupError> {
    let unwritable = |source| BackupError::Unwritable { path: dir.to_owned(), source };
    if !dir.join("log").exists() || !dir.join("state").exists() {
        return Err(BackupError::NoMember(dir.to_owned()));
    }
    let mut written = Ok(());
    let salvaged = raft::salvage(dir, |part, _| {
        written = to.write_all(&part);
        written.is_ok()
    });
    match salvaged.await {
        Ok(()) => written.and_then(|()| to.sync_all()).map_err(BackupError::Unsaved),
        Err(OpenError::Locked) => Err(BackupError::Running(dir.to_owned())),
        Err(OpenError::Damaged(reason)) => Err(BackupError::DamagedMember { path: dir.to_owned(), reason }),
        Err(OpenError::Io(source)) => Err(unwritable(source)),
    }
}

/// Makes the store's directory `dir` out of the backup `from`: a group of its own, of one member, with everything
/// that the old one held. `dir` is there whole, or not at all.
pub fn restore(from: &Path, dir: &Path, member: &NewMember) -> Result<Info, BackupError> {
    let unwritable = |source| BackupError::Unwritable { path: dir.to_owned(), source };
    let used = fs::read_dir(dir).map(|mut entries| entries.next().is_some());
    if used.unwrap_or_else(|error| error.kind() != io::ErrorKind::NotFound) {
        return Err(BackupError::Used(dir.to_owned()));
    }
    // Before anything is written, so that a bad file costs nothing.
    verify(from)?;
    let fresh = dir.with_extension("restoring");
    restore::clear(&fresh).map_err(unwritable)?;
    let (id, cluster_id) = member.ids;
    let marker = Marker::new(&member.name, id, cluster_id, rand::random_range(1..=u64::MAX));
    marker::found(&fresh, &marker).map_err(unwritable)?;
    let whose = Member { id, name: member.name.clone(), peer_urls: member.peer_urls.clone(), cluster_id };
    let restored = restore::restore(from, &fresh, &whose).and_then(|manifest| {
        fs::rename(&fresh, dir)?;
        crate::raft::sync_dir(dir.parent().unwrap_or(Path::new(".")))?;
        Ok(info(&manifest))
    });
    restored.map_err(|error| {
        if let Err(left) = restore::clear(&fresh) {
            tracing::warn!("{} stays: {left}", fresh.display());
        }
        match error.kind() {
            io::ErrorKind::InvalidData => refuse(from, error),
            _ => unwritable(error),
        }
    })
}

fn refuse(path: &Path, error: io::Error) -> BackupError {
    match error.kind() {
        io::ErrorKind::InvalidData => BackupError::Damaged { path: path.to_owned(), reason: error.to_string() },
        _ => BackupError::Unreadable { path: path.to_owned(), source: error },
    }
}

fn info(manifest: &proto::raftsman_store_v1::SnapshotManifest) -> Info {
    let membership = manifest.membership.as_ref().and_then(|stored| stored.membership.as_ref());
    let members = membership.iter().flat_map(|membership| membership.members.values());
    let mut members: Vec<String> = members.map(|member| member.name.clone()).collect();
    members.sort();
    Info {
        revision: manifest.revision,
        compacted: manifest.compacted,
        cluster_id: manifest.cluster_id,
        applied_index: manifest.applied.as_ref().map_or(0, |id| id.index),
        members,
        bytes: manifest.files.iter().map(|file| file.size).sum(),
    }
}
