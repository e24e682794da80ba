//! Giving a snapshot away: its manifest, then its files in pieces.

use std::fs::File;
use std::io::{self, Read};

use bytes::Bytes;
use futures::Stream;
use prost::Message;
use proto::raftsman_store_v1 as pb;
use proto::raftsman_store_v1::snapshot_piece::Piece;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::SnapshotFolder;
use super::manifest::{self, READ_BYTES, damaged};

/// Pieces read ahead of the network.
const AHEAD: usize = 2;

/// The snapshot as encoded `SnapshotPiece`s of about 1 MiB. The stream ends with an error, before the last piece of
/// the file, when a file is not what was written. Files are opened at the first poll of the reader's thread and
/// stay readable when the folder is removed meanwhile.
pub fn send(folder: SnapshotFolder) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (pieces, stream) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut hand_over = |piece: Piece| {
            let encoded = pb::SnapshotPiece { piece: Some(piece) }.encode_to_vec();
            pieces.blocking_send(Ok(encoded.into())).is_ok()
        };
        if let Err(error) = read(&folder, &mut hand_over) {
            // Nobody may listen any more.
            let _unheard = pieces.blocking_send(Err(error)).is_err();
        }
    });
    ReceiverStream::new(stream)
}

/// Reads the snapshot piece by piece, for as long as `hand_over` wants more.
pub fn read(folder: &SnapshotFolder, hand_over: &mut impl FnMut(Piece) -> bool) -> io::Result<()> {
    let manifest = manifest::read(folder.path())?;
    let mut files = Vec::with_capacity(manifest.files.len());
    for file in &manifest.files {
        files.push(File::open(folder.path().join(&file.name))?);
    }
    if !hand_over(Piece::Manifest(manifest.clone())) {
        return Ok(());
    }
    for (number, (file, entry)) in files.into_iter().zip(&manifest.files).enumerate() {
        let is_damaged = || damaged(format!("{} is damaged", folder.path().join(&entry.name).display()));
        if !read_file(file, number as u32, entry, hand_over, is_damaged)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads one file; answers whether more is wanted.
fn read_file(
    mut file: File,
    number: u32,
    entry: &pb::SnapshotFile,
    hand_over: &mut impl FnMut(Piece) -> bool,
    is_damaged: impl Fn() -> io::Error,
) -> io::Result<bool> {
    let mut hash = Sha256::new();
    let mut offset = 0;
    while offset < entry.size {
        let mut data = vec![0; READ_BYTES.min((entry.size - offset) as usize)];
        file.read_exact(&mut data).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => is_damaged(),
            _ => error,
        })?;
        hash.update(&data);
        let next = offset + data.len() as u64;
        if next == entry.size && hash.clone().finalize()[..] != entry.sha256[..] {
            return Err(is_damaged());
        }
        let chunk = pb::SnapshotChunk { file: number, offset, crc32c: crc32c::crc32c(&data), data: data.into() };
        if !hand_over(Piece::Chunk(chunk)) {
            return Ok(false);
        }
        offset = next;
    }
    if file.read(&mut [0])? > 0 {
        return Err(is_damaged());
    }
    Ok(true)
}
