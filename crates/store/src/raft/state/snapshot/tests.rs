//! Snapshots on their way: whole ones arrive, all others are refused and leave nothing behind.

use std::fs;

use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use proto::raftsman_store_v1::snapshot_piece::Piece;

use super::*;
use crate::machine::Batch;
use crate::raft::state::StateDir;

/// A state of some megabytes, so that its files go in several pieces.
fn disk(dir: &Path) -> RocksDisk {
    let disk = RocksDisk::open(StateDir::open(&dir.join("state")).unwrap()).unwrap();
    fill(&disk, 1, 30);
    disk
}

fn fill(disk: &RocksDisk, index: u64, keys: u32) {
    let mut batch = Batch::default();
    for key in 0..keys {
        let value: Vec<u8> = (0..100_000).map(|_| rand::random()).collect();
        batch.put(&[b"x".as_slice(), &key.to_be_bytes()].concat(), value.into());
    }
    let applied = Some(pb::LogId { term: 1, index });
    let progress = pb::Progress { format: FORMAT, applied, revision: 7, ..Default::default() };
    batch.put(crate::keys::state::PROGRESS, progress.encode_to_vec().into());
    disk.write(&batch).unwrap();
}

async fn pieces(folder: &SnapshotFolder) -> Vec<io::Result<Bytes>> {
    send(folder.clone()).collect().await
}

fn nothing_left(dir: &SnapshotDir) {
    assert_eq!(fs::read_dir(&dir.root).unwrap().count(), 0);
}

async fn refused(dir: &SnapshotDir, pieces: Vec<Bytes>) -> String {
    let error = receive(dir, futures::stream::iter(pieces).map(Ok)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    nothing_left(dir);
    error.to_string()
}

#[tokio::test]
async fn a_snapshot_arrives_whole_or_not_at_all() {
    let source = tempfile::tempdir().unwrap();
    let folder = SnapshotDir::open(&source.path().join("snapshots")).unwrap().take(&disk(source.path())).unwrap();
    let sent: Vec<Bytes> = pieces(&folder).await.into_iter().map(Result::unwrap).collect();
    assert!(sent.len() > 4, "{}", sent.len());
    assert!(sent.iter().all(|piece| piece.len() < READ_BYTES_AND_HEAD));

    let target = tempfile::tempdir().unwrap();
    let dir = SnapshotDir::open(target.path()).unwrap();
    let whole = futures::stream::iter(sent.clone()).map(Ok);
    let (meta, received) = receive(&dir, whole).await.unwrap();
    assert_eq!(meta.last_log_id.map(|id| id.index), Some(1));
    manifest::verify(received.path(), &manifest::read(folder.path()).unwrap()).unwrap();
    drop(received);
    nothing_left(&dir);

    assert!(refused(&dir, Vec::new()).await.contains("does not begin"));
    assert!(refused(&dir, sent[1..].to_vec()).await.contains("does not begin"));
    assert!(refused(&dir, sent[..sent.len() - 1].to_vec()).await.contains("ends within"));
    assert!(refused(&dir, [&sent[..], &sent[1..2]].concat()).await.contains("goes on"));
    let mut swapped = sent.clone();
    swapped.swap(1, 2);
    assert!(refused(&dir, swapped).await.contains("out of order"));
    assert!(refused(&dir, [&sent[..1], &[Bytes::from_static(b"\xff")], &sent[1..]].concat()).await.contains("read"));
}

const READ_BYTES_AND_HEAD: usize = manifest::READ_BYTES + 64;

#[tokio::test]
async fn a_piece_that_was_changed_is_refused() {
    let source = tempfile::tempdir().unwrap();
    let folder = SnapshotDir::open(&source.path().join("snapshots")).unwrap().take(&disk(source.path())).unwrap();
    let sent: Vec<Bytes> = pieces(&folder).await.into_iter().map(Result::unwrap).collect();
    let target = tempfile::tempdir().unwrap();
    let dir = SnapshotDir::open(target.path()).unwrap();
    let change = |at: usize, change: &dyn Fn(&mut Piece)| {
        let mut changed = sent.clone();
        let mut piece = pb::SnapshotPiece::decode(changed[at].clone()).unwrap().piece.unwrap();
        change(&mut piece);
        changed[at] = pb::SnapshotPiece { piece: Some(piece) }.encode_to_vec().into();
        changed
    };
    let flip = |piece: &mut Piece, with_sum: bool| {
        let Piece::Chunk(chunk) = piece else { panic!("a chunk") };
        let mut data = chunk.data.to_vec();
        data[5] ^= 4;
        chunk.data = data.into();
        if with_sum {
            chunk.crc32c = crc32c::crc32c(&chunk.data);
        }
    };
    assert!(refused(&dir, change(2, &|piece| flip(piece, false))).await.contains("on its way"));
    assert!(refused(&dir, change(2, &|piece| flip(piece, true))).await.contains("checksum"));
    for name in ["../out", "", "a/b", "..", "LOCK", "checksums"] {
        let renamed = change(0, &|piece| {
            let Piece::Manifest(manifest) = piece else { panic!("the manifest") };
            manifest.files[0].name = name.into();
        });
        assert!(refused(&dir, renamed).await.contains("impossible entry"), "{name}");
    }
    let other = change(0, &|piece| {
        let Piece::Manifest(manifest) = piece else { panic!("the manifest") };
        manifest.applied = Some(pb::LogId { term: 1, index: 99 });
    });
    assert!(refused(&dir, other).await.contains("not what it says"));
    let later = change(0, &|piece| {
        let Piece::Manifest(manifest) = piece else { panic!("the manifest") };
        manifest.format = FORMAT + 1;
    });
    assert!(refused(&dir, later).await.contains("later version"));
}

#[tokio::test]
async fn a_transfer_that_is_given_up_leaves_nothing() {
    let source = tempfile::tempdir().unwrap();
    let folder = SnapshotDir::open(&source.path().join("snapshots")).unwrap().take(&disk(source.path())).unwrap();
    let target = tempfile::tempdir().unwrap();
    let dir = SnapshotDir::open(target.path()).unwrap();
    let sent = send(folder.clone()).take(2).chain(futures::stream::pending());
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(300), receive(&dir, sent)).await;
    assert!(given_up.is_err());
    // The writer's thread ends by itself.
    for _ in 0..300 {
        if fs::read_dir(&dir.root).unwrap().count() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the folder stays");
}

#[tokio::test]
async fn a_damaged_snapshot_is_not_sent() {
    let source = tempfile::tempdir().unwrap();
    let disk = disk(source.path());
    let dir = SnapshotDir::open(&source.path().join("snapshots")).unwrap();
    let (_, folder) = dir.keep(&dir.take(&disk).unwrap()).unwrap();
    dir.verify().unwrap();
    let table = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let table = table.filter(|path| path.extension().is_some_and(|end| end == "sst")).min().unwrap();
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&table, &bytes).unwrap();
    let sent = pieces(&folder).await;
    let error = sent.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(error.contains(table.file_name().unwrap().to_str().unwrap()), "{error}");
    assert!(dir.verify().unwrap_err().to_string().contains("damaged"));
    bytes.truncate(middle);
    fs::write(&table, &bytes).unwrap();
    assert!(pieces(&folder).await.last().unwrap().is_err());
    assert!(dir.verify().unwrap_err().to_string().contains("bytes instead of"));
}

#[tokio::test]
async fn the_newest_is_kept_and_a_stream_outlives_its_folder() {
    let source = tempfile::tempdir().unwrap();
    let disk = disk(source.path());
    let root = source.path().join("snapshots");
    let dir = SnapshotDir::open(&root).unwrap();
    let early = dir.take(&disk).unwrap();
    let (_, first) = dir.keep(&dir.take(&disk).unwrap()).unwrap();
    let mut stream = Box::pin(send(first.clone()));
    let head = stream.next().await.unwrap().unwrap();

    fill(&disk, 9, 3);
    let (meta, second) = dir.keep(&dir.take(&disk).unwrap()).unwrap();
    assert_eq!(meta.last_log_id.map(|id| id.index), Some(9));
    assert!(!first.path().exists());
    // One that comes late does not take the newer one's place, but is still there for who built it.
    let (late, still) = dir.keep(&early).unwrap();
    assert_eq!(late.last_log_id.map(|id| id.index), Some(1));
    assert!(still.path().exists());
    assert_eq!(dir.newest().unwrap().unwrap().1.path(), second.path());

    let target = tempfile::tempdir().unwrap();
    let other = SnapshotDir::open(target.path()).unwrap();
    let whole = futures::stream::iter([Ok(head)]).chain(stream);
    assert_eq!(receive(&other, whole).await.unwrap().0.last_log_id.map(|id| id.index), Some(1));
    drop((early, still));

    // The same index again takes the place without a moment in which there is none.
    let (_, third) = dir.keep(&dir.take(&disk).unwrap()).unwrap();
    assert!(third.path().exists() && !second.path().exists());
    fs::create_dir(root.join("building-77")).unwrap();
    let again = SnapshotDir::open(&root).unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    again.verify().unwrap();
    assert_eq!(again.newest().unwrap().unwrap().1.path(), third.path());
}

#[test]
fn a_state_that_lost_what_was_flushed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = disk(dir.path());
    state.flush().unwrap();
    drop(state);
    let (mark, noted) = crate::raft::mark::Mark::open(&dir.path().join("state/flushed")).unwrap();
    assert_eq!(noted, 1);
    // As if what is on disk were an older state.
    mark.note(2).unwrap();
    let refused = RocksDisk::open(StateDir::open(&dir.path().join("state")).unwrap()).err().unwrap().to_string();
    assert!(refused.contains("up to entry 2") && refused.contains("ends at entry 1"), "{refused}");
}
