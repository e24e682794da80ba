//! The machine as openraft sees it.

use std::io;
use std::path::Path;

use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::alias::SnapshotOf;
use openraft::storage::{EntryResponder, RaftStateMachine};

use super::snapshot::{Builder, SnapshotDir, SnapshotFolder};
use super::worker::Handle;
use crate::raft::codec;
use crate::raft::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};

/// Most entries of one batch: readers and watchers see what it holds only when it is written.
const APPLY_BATCH_MAX: usize = 1024;

/// The machine's side of openraft.
pub struct StateMachine {
    worker: Handle,
    snapshots: SnapshotDir,
}

impl StateMachine {
    /// The machine behind `worker`, its snapshots under `snapshots`.
    pub fn new(worker: Handle, snapshots: &Path) -> io::Result<Self> {
        Ok(Self { worker, snapshots: SnapshotDir::open(snapshots)? })
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFolder;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let progress = self.worker.progress().await?;
        let membership = self.worker.disk().membership().map_err(io::Error::other)?.unwrap_or_default();
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the stored membership is damaged");
        let membership = codec::read_stored_membership(&membership).ok_or_else(damaged)?;
        Ok((progress.applied.as_ref().map(codec::read_log_id), membership))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(APPLY_BATCH_MAX);
        while let Some(chunk) = chunks.next().await {
            self.worker.apply(chunk.into_iter().collect::<Result<_, _>>()?).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        Builder { dir: self.snapshots.clone(), disk: self.worker.disk().clone() }
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, snapshot: SnapshotFolder) -> Result<(), io::Error> {
        let disk = self.worker.disk().clone();
        let snapshots = self.snapshots.clone();
        let install = tokio::task::spawn_blocking(move || {
            disk.replace(&snapshot.0)?;
            if snapshots.newest()?.is_none_or(|(_, newest)| newest.0 != snapshot.0) {
                snapshots.keep(&snapshot.0)?;
            }
            disk.stored().map_err(io::Error::other)
        });
        let stored = install.await.map_err(io::Error::other)??;
        self.worker.replace(stored).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<TypeConfig, SnapshotFolder>>, io::Error> {
        let snapshots = self.snapshots.clone();
        let newest = tokio::task::spawn_blocking(move || snapshots.newest());
        let newest = newest.await.map_err(io::Error::other)??;
        Ok(newest.map(|(meta, snapshot)| openraft::Snapshot { meta, snapshot }))
    }
}
