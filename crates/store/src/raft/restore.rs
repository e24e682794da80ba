//! Making a member's directory out of a backup: the content of the old group, and a new group of this one member.
//!
//! The directory looks as if the member had founded a group alone, written everything as its first entry, and purged
//! that from the log: members that are added later can only get it as a snapshot, which is what must happen.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use prost::Message;
use proto::raftsman_store_v1 as pb;

use super::codec;
use super::database::sync_dir;
use super::log::{self, OpenError};
use super::state::{RocksDisk, StateDir, archive};
use super::types::{LogId, Members, Peer, StoredMembership, Vote};
use crate::keys::state as keys;
use crate::machine::{self, Batch};

/// Term and index of the entry that stands for everything restored.
const BEGIN: (u64, u64) = (1, 1);

/// Whose the restored directory is.
#[derive(Debug, Clone)]
pub struct Member {
    /// Drawn anew.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where its peers will reach it; may be empty while it is alone.
    pub peer_urls: Vec<String>,
    /// The new group.
    pub cluster_id: u64,
}

/// Lays log and state of the backup `from` into the empty directory `dir`, all checked and durable when it returns.
pub fn restore(from: &Path, dir: &Path, member: &Member) -> io::Result<pb::SnapshotManifest> {
    let state = StateDir::open(&dir.join("state"))?;
    let manifest = unpack(from, &state.current()?)?;
    let disk = RocksDisk::adopt(state).map_err(refused)?;
    renew(&disk, member)?;
    // As a start does: a backup that was damaged before it was made must not be restored either.
    machine::load(&disk, disk.stored().map_err(io::Error::other)?).map_err(io::Error::other)?;
    disk.flush()?;
    let id = LogId::new_term_index(BEGIN.0, BEGIN.1);
    log::found(&dir.join("log"), Vote::new(BEGIN.0, member.id), id).map_err(refused)?;
    sync_dir(dir)?;
    Ok(manifest)
}

fn refused(error: OpenError) -> io::Error {
    match error {
        OpenError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

fn unpack(from: &Path, folder: &Path) -> io::Result<pb::SnapshotManifest> {
    let mut open: Option<(usize, File)> = None;
    let manifest = archive::read(from, |manifest, number, part| {
        if open.as_ref().is_none_or(|(current, _)| *current != number) {
            let file = File::create_new(folder.join(&manifest.files[number].name))?;
            if let Some((_, done)) = open.replace((number, file)) {
                done.sync_all()?;
            }
        }
        open.as_mut().map_or(Ok(()), |(_, file)| file.write_all(part))
    })?;
    if let Some((_, done)) = open {
        done.sync_all()?;
    }
    for entry in manifest.files.iter().filter(|entry| entry.size == 0) {
        File::create_new(folder.join(&entry.name))?;
    }
    sync_dir(folder)?;
    Ok(manifest)
}

/// Writes the new group over the old one. Keys, revisions and leases stay; members and alarms go.
fn renew(disk: &RocksDisk, member: &Member) -> io::Result<()> {
    let stored = disk.stored().map_err(io::Error::other)?;
    let mut progress = stored.progress.unwrap_or_default();
    progress.applied = Some(pb::LogId { term: BEGIN.0, index: BEGIN.1 });
    progress.cluster_id = member.cluster_id;
    let peer = Peer { name: member.name.clone(), peer_urls: member.peer_urls.clone(), ..Default::default() };
    let members = Members::new(vec![[member.id].into()], std::collections::BTreeMap::from([(member.id, peer)]))
        .map_err(io::Error::other)?;
    let membership = StoredMembership::new(Some(LogId::new_term_index(BEGIN.0, BEGIN.1)), members);
    let mut batch = Batch::default();
    for gone in &stored.published {
        batch.delete(&keys::member(gone.member_id));
    }
    for gone in &stored.reports {
        batch.delete(&keys::report(gone.member_id));
    }
    for (id, kind) in &stored.alarms {
        batch.delete(&keys::alarm(*id, *kind));
    }
    batch.put(keys::MEMBERSHIP, codec::stored_membership(&membership).encode_to_vec().into());
    batch.put(keys::PROGRESS, progress.encode_to_vec().into());
    disk.write(&batch).map_err(io::Error::other)
}

/// Removes what an interrupted or failed restore left.
pub fn clear(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
