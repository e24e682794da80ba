//! A snapshot as one file: what `Maintenance.Snapshot` streams and a backup is.
//!
//! ```text
//!  0   "raftsman backup\n"                 16 bytes
//!  16  length of the next part             4 bytes, big-endian
//!  20  CRC-32C and SnapshotManifest        who, when, and each file's name, size and SHA-256
//!      the files, one after another        in the manifest's order
//!      zeros                               up to a multiple of 512
//!      SHA-256 of all before               32 bytes, as etcd's clients demand
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use proto::raftsman_store_v1 as pb;
use proto::raftsman_store_v1::snapshot_piece::Piece;
use sha2::{Digest, Sha256};

use super::SnapshotFolder;
use super::manifest::{self, READ_BYTES, damaged};

const MAGIC: &[u8; 16] = b"raftsman backup\n";
/// What the content is padded to.
const BLOCK_BYTES: u64 = 512;
const SUM_BYTES: usize = 32;
/// Bytes of the longest manifest that is read.
const MANIFEST_BYTES_MAX: u32 = 64 << 20;

/// Gives away the snapshot in `folder` as a backup, in parts of at most about 1 MiB, each with the bytes that follow
/// it; for as long as `hand_over` wants more.
pub fn write(folder: &SnapshotFolder, mut hand_over: impl FnMut(Bytes, u64) -> bool) -> io::Result<()> {
    let mut hash = Sha256::new();
    let mut left = 0;
    let mut wanted = true;
    super::send::read(folder, &mut |piece| {
        let part = match piece {
            Piece::Manifest(manifest) => {
                let head = head(&manifest);
                left = padded(content_size(head.len(), &manifest)) + SUM_BYTES as u64;
                head
            }
            Piece::Chunk(chunk) => chunk.data,
        };
        hash.update(&part);
        left -= part.len() as u64;
        wanted = hand_over(part, left);
        wanted
    })?;
    if wanted {
        let zeros = Bytes::from(vec![0; left as usize - SUM_BYTES]);
        hash.update(&zeros);
        if zeros.is_empty() || hand_over(zeros, SUM_BYTES as u64) {
            hand_over(hash.finalize().to_vec().into(), 0);
        }
    }
    Ok(())
}

fn head(manifest: &pb::SnapshotManifest) -> Bytes {
    let sealed = manifest::seal(manifest);
    let mut head = BytesMut::from(&MAGIC[..]);
    head.put_u32(sealed.len() as u32);
    head.put_slice(&sealed);
    head.freeze()
}

fn content_size(head: usize, manifest: &pb::SnapshotManifest) -> u64 {
    head as u64 + manifest.files.iter().map(|file| file.size).sum::<u64>()
}

fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

/// Reads the backup `path` whole and compares everything with its checksums; its files go to `sink`: file's number,
/// bytes. An error of kind `InvalidData` says what is wrong.
pub fn read(
    path: &Path,
    mut sink: impl FnMut(&pb::SnapshotManifest, usize, &[u8]) -> io::Result<()>,
) -> io::Result<pb::SnapshotManifest> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut reader = Summed { file, hash: Sha256::new() };
    let magic: [u8; 16] = reader.array()?;
    if &magic != MAGIC {
        return Err(damaged("it does not begin like a snapshot of raftsman"));
    }
    let length = u32::from_be_bytes(reader.array()?);
    if length > MANIFEST_BYTES_MAX {
        return Err(damaged("its list of files is damaged"));
    }
    let sealed = reader.take(length as usize)?;
    let manifest = manifest::unseal(&sealed).ok_or_else(|| damaged("its list of files is damaged"))?;
    let manifest = manifest::check(manifest)?;
    let content = content_size(MAGIC.len() + 4 + sealed.len(), &manifest);
    let whole = padded(content) + SUM_BYTES as u64;
    if size != whole {
        return Err(damaged(format!("it has {size} bytes instead of {whole}: it was cut short or is another file")));
    }
    for (number, entry) in manifest.files.iter().enumerate() {
        let mut hash = Sha256::new();
        let mut left = entry.size;
        while left > 0 {
            let part = reader.take(left.min(READ_BYTES as u64) as usize)?;
            hash.update(&part);
            left -= part.len() as u64;
            sink(&manifest, number, &part)?;
        }
        if hash.finalize()[..] != entry.sha256[..] {
            return Err(damaged(format!("{} in it is damaged: its checksum differs", entry.name)));
        }
    }
    reader.take((padded(content) - content) as usize)?;
    let found = reader.hash.clone().finalize();
    let sum: [u8; SUM_BYTES] = reader.array()?;
    match found[..] == sum {
        true => Ok(manifest),
        false => Err(damaged("its checksum differs")),
    }
}

/// Reads a file and sums what was read.
struct Summed {
    file: File,
    hash: Sha256,
}

impl Summed {
    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self.file).take(length as u64).read_to_end(&mut bytes)?;
        self.hash.update(&bytes);
        if read < length {
            return Err(damaged("it ends too early"));
        }
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| damaged("it ends too early"))
    }
}
