//! Taking a snapshot from the leader: into a folder of its own, every byte checked and on disk before anybody
//! hears of it.

use std::fs::File;
use std::io::{self, Write};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use prost::Message;
use proto::raftsman_store_v1 as pb;
use proto::raftsman_store_v1::snapshot_piece::Piece;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::manifest::{self, damaged};
use super::{SnapshotDir, SnapshotFolder};
use crate::raft::state::disk::read_meta;
use crate::raft::types::SnapshotMeta;

/// Pieces that wait for the disk.
const AHEAD: usize = 2;

/// Takes the pieces that `send` gave, whatever carried them. An error of kind `InvalidData` says that they are not a
/// whole snapshot; what was written of it is gone then, as when the call is dropped.
pub async fn receive(
    dir: &SnapshotDir,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send,
) -> io::Result<(SnapshotMeta, SnapshotFolder)> {
    let (queue, waiting) = mpsc::channel(AHEAD);
    let dir = dir.clone();
    let writer = tokio::task::spawn_blocking(move || write(&dir, waiting));
    let mut pieces = std::pin::pin!(pieces);
    while let Some(piece) = pieces.next().await {
        // The writer has ended with an error, which it answers below.
        if queue.send(piece).await.is_err() {
            break;
        }
    }
    drop(queue);
    writer.await.map_err(io::Error::other)?
}

fn write(
    dir: &SnapshotDir,
    mut pieces: mpsc::Receiver<io::Result<Bytes>>,
) -> io::Result<(SnapshotMeta, SnapshotFolder)> {
    let mut next = || -> io::Result<Option<Piece>> {
        let Some(bytes) = pieces.blocking_recv().transpose()? else { return Ok(None) };
        let piece = pb::SnapshotPiece::decode(bytes).ok().and_then(|piece| piece.piece);
        piece.map(Some).ok_or_else(|| damaged("a piece of the snapshot can't be read"))
    };
    let Some(Piece::Manifest(manifest)) = next()? else {
        return Err(damaged("the snapshot does not begin with its list of files"));
    };
    let manifest = manifest::check(manifest)?;
    let folder = dir.passing("receiving")?;
    for (number, entry) in manifest.files.iter().enumerate() {
        let mut file = Incoming {
            file: File::create_new(folder.path().join(&entry.name))?,
            number: number as u32,
            offset: 0,
            hash: Sha256::new(),
            entry,
        };
        while file.offset < entry.size {
            match next()? {
                Some(Piece::Chunk(chunk)) => file.take(&chunk)?,
                Some(Piece::Manifest(_)) => return Err(damaged("the snapshot begins twice")),
                None => return Err(damaged(format!("the snapshot ends within {}", entry.name))),
            }
        }
        file.finish()?;
    }
    if next()?.is_some() {
        return Err(damaged("the snapshot goes on after its end"));
    }
    manifest::write(folder.path(), &manifest)?;
    let meta = manifest::meta(&manifest)?;
    // Opens the database, so that one which can't be opened is refused here and not while it is installed.
    let (progress, membership) = read_meta(folder.path())?;
    if progress.applied != manifest.applied || membership != manifest.membership {
        return Err(damaged("the snapshot's content is not what it says"));
    }
    Ok((meta, folder))
}

/// A file that is being written.
struct Incoming<'a> {
    file: File,
    number: u32,
    offset: u64,
    hash: Sha256,
    entry: &'a pb::SnapshotFile,
}

impl Incoming<'_> {
    fn take(&mut self, chunk: &pb::SnapshotChunk) -> io::Result<()> {
        let name = &self.entry.name;
        if (chunk.file, chunk.offset) != (self.number, self.offset) || chunk.data.is_empty() {
            return Err(damaged(format!("a piece of {name} is missing or out of order")));
        }
        if chunk.data.len() as u64 > self.entry.size - self.offset {
            return Err(damaged(format!("{name} is longer than its {} bytes", self.entry.size)));
        }
        if crc32c::crc32c(&chunk.data) != chunk.crc32c {
            return Err(damaged(format!("a piece of {name} was damaged on its way")));
        }
        self.file.write_all(&chunk.data)?;
        self.hash.update(&chunk.data);
        self.offset += chunk.data.len() as u64;
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        if self.hash.finalize()[..] != self.entry.sha256[..] {
            return Err(damaged(format!("{} differs from its checksum", self.entry.name)));
        }
        self.file.sync_all()
    }
}
