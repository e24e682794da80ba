//! What a snapshot is of, and the checksums of its files: written when it is built, checked whenever it is used.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use prost::Message;
use proto::raftsman_store_v1 as pb;
use sha2::{Digest, Sha256};

use crate::keys::FORMAT;
use crate::raft::codec;
use crate::raft::database::sync_dir;
use crate::raft::types::SnapshotMeta;

/// Its name in a snapshot's folder.
const FILE: &str = "checksums";
/// Bytes read at a time.
pub const READ_BYTES: usize = 1 << 20;
/// Most files of one snapshot; each holds some megabytes.
const FILES_MAX: usize = 100_000;

/// A snapshot that can't be what was written.
pub fn damaged(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

/// Describes the files of `folder`: `of` with their checksums. Those that `known`, a kept snapshot, shares (hard
/// links) are not read again; what it says of them stays true or is found to be damage.
pub fn describe(
    folder: &Path,
    of: pb::SnapshotManifest,
    known: Option<(&Path, &pb::SnapshotManifest)>,
) -> io::Result<pb::SnapshotManifest> {
    let mut shared = HashMap::new();
    if let Some((path, manifest)) = known {
        for file in &manifest.files {
            // Gone when a newer snapshot took the kept one's place meanwhile; then the file is read.
            if let Ok(place) = fs::metadata(path.join(&file.name)) {
                shared.insert((file.name.as_str(), place.dev(), place.ino()), file);
            }
        }
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if is_incidental(&name) {
            fs::remove_file(entry.path())?;
            continue;
        }
        let place = entry.metadata()?;
        files.push(match shared.get(&(name.as_str(), place.dev(), place.ino())) {
            Some(file) => (*file).clone(),
            None => {
                let (size, sha256) = sum(&entry.path())?;
                pb::SnapshotFile { name, size, sha256: sha256.to_vec().into() }
            }
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pb::SnapshotManifest { files, ..of })
}

/// Files of RocksDB that are not part of the data.
fn is_incidental(name: &str) -> bool {
    name == FILE || name == "LOCK" || name == "LOG" || name.starts_with("LOG.")
}

fn sum(path: &Path) -> io::Result<(u64, [u8; 32])> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, hash.finalize().into())),
            read => {
                hash.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

/// Writes the manifest into its folder; durable with all entries of the folder when it returns.
pub fn write(folder: &Path, manifest: &pb::SnapshotManifest) -> io::Result<()> {
    let mut file = File::create(folder.join(FILE))?;
    file.write_all(&seal(manifest))?;
    file.sync_all()?;
    sync_dir(folder)
}

/// Reads the manifest of a folder.
pub fn read(folder: &Path) -> io::Result<pb::SnapshotManifest> {
    let path = folder.join(FILE);
    let bytes = fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => damaged(format!("{} is missing", path.display())),
        _ => error,
    })?;
    unseal(&bytes).ok_or_else(|| damaged(format!("{} is damaged", path.display()))).and_then(check)
}

/// The manifest's bytes with their CRC-32C in front.
pub fn seal(manifest: &pb::SnapshotManifest) -> Vec<u8> {
    let body = manifest.encode_to_vec();
    let mut sealed = crc32c::crc32c(&body).to_be_bytes().to_vec();
    sealed.extend(body);
    sealed
}

/// What was sealed; `None` where it can't be.
pub fn unseal(sealed: &[u8]) -> Option<pb::SnapshotManifest> {
    let (sum, body) = sealed.split_at_checked(4)?;
    if crc32c::crc32c(body).to_be_bytes() != sum {
        return None;
    }
    pb::SnapshotManifest::decode(body).ok()
}

/// Refuses a manifest that this version can't follow, or whose names would lead out of the folder.
pub fn check(manifest: pb::SnapshotManifest) -> io::Result<pb::SnapshotManifest> {
    if manifest.format > FORMAT {
        return Err(damaged(format!("format {} of a later version, this one knows {FORMAT}", manifest.format)));
    }
    let mut names = HashSet::new();
    for file in &manifest.files {
        let name = file.name.as_str();
        let plain = !name.is_empty() && name.len() < 256 && !name.contains(['/', '\0']) && name != "." && name != "..";
        if !plain || is_incidental(name) || file.sha256.len() != 32 || !names.insert(name) {
            return Err(damaged(format!("the list of files has the impossible entry {name:?}")));
        }
    }
    if manifest.files.len() > FILES_MAX {
        return Err(damaged(format!("{} files, at most {FILES_MAX} are taken", manifest.files.len())));
    }
    Ok(manifest)
}

/// What openraft wants to know of a snapshot.
pub fn meta(manifest: &pb::SnapshotManifest) -> io::Result<SnapshotMeta> {
    let membership = manifest.membership.clone().unwrap_or_default();
    Ok(SnapshotMeta {
        last_log_id: manifest.applied.as_ref().map(codec::read_log_id),
        last_membership: codec::read_stored_membership(&membership)
            .ok_or_else(|| damaged("the snapshot's membership is impossible"))?,
    })
}

/// Reads every file of a snapshot and compares it with its checksum; the error names the file.
pub fn verify(folder: &Path, manifest: &pb::SnapshotManifest) -> io::Result<()> {
    for file in &manifest.files {
        let path = folder.join(&file.name);
        let found = match sum(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(format!("{} is missing", path.display())));
            }
            found => found?,
        };
        if found.0 != file.size {
            return Err(damaged(format!("{} has {} bytes instead of {}", path.display(), found.0, file.size)));
        }
        if found.1[..] != file.sha256[..] {
            return Err(damaged(format!("{} is damaged: its checksum differs", path.display())));
        }
    }
    Ok(())
}
