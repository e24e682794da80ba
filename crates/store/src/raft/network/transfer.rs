//! A snapshot on its way to a member.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use proto::raftsman_store_v1 as pb;
use tonic::Status;

use crate::raft::codec;
use crate::raft::state::{self, SnapshotFolder};
use crate::raft::types::Vote;

/// How far a snapshot has come.
#[derive(Clone, Default)]
pub struct Transfer {
    frames: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<Status>>>,
}

/// The frames of a snapshot of the leader with that vote. A file that can't be read ends them early, which the
/// receiver takes for what it is: a snapshot that is not whole.
pub fn frames(
    vote: &Vote,
    folder: SnapshotFolder,
) -> (impl Stream<Item = pb::SnapshotFrame> + Send + 'static, Transfer) {
    let transfer = Transfer::default();
    let counted = transfer.clone();
    let first = pb::SnapshotFrame { vote: Some(codec::vote(vote)), data: Bytes::new() };
    let pieces = state::send(folder).scan(counted, |transfer, piece| std::future::ready(transfer.frame(piece)));
    (futures::stream::iter([first]).chain(pieces), transfer)
}

impl Transfer {
    fn frame(&self, piece: io::Result<Bytes>) -> Option<pb::SnapshotFrame> {
        self.frames.fetch_add(1, Ordering::Relaxed);
        match piece {
            Ok(data) => Some(pb::SnapshotFrame { vote: None, data }),
            Err(error) => {
                *self.failure.lock() = Some(Status::internal(format!("the snapshot can't be read here: {error}")));
                None
            }
        }
    }

    /// Why the snapshot could not be sent as a whole, if it is this member's fault.
    pub fn failure(&self) -> Option<Status> {
        self.failure.lock().take()
    }

    /// Returns when nothing was taken for as long as `limit`, nor answered after the last frame.
    pub async fn stalled<T>(&self, limit: Duration) -> Result<T, Status> {
        let mut taken = self.frames.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(limit).await;
            let now = self.frames.load(Ordering::Relaxed);
            if now == taken {
                return Err(Status::deadline_exceeded("it does not take the snapshot"));
            }
            taken = now;
        }
    }
}
