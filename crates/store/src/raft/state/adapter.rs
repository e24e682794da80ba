//! The machine as openraft sees it.

use std::io;

use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::alias::SnapshotOf;
use openraft::storage::{EntryResponder, RaftStateMachine};

use super::snapshot::{Builder, SnapshotDir, SnapshotFolder};
use super::worker::Handle;
use crate::failpoint::failpoint;
use crate::machine;
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
    /// The machine behind `worker`, its snapshots in `snapshots`.
    pub fn new(worker: Handle, snapshots: SnapshotDir) -> Self {
        Self { worker, snapshots }
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
        let from = snapshot.clone();
        // Laid out and read beside the state in use, which serves until the worker exchanges the two.
        let prepare = tokio::task::spawn_blocking(move || {
            failpoint!("snapshot-before-install");
            let fresh = disk.beside(from.path())?;
            let loaded = machine::load(&fresh, fresh.stored().map_err(io::Error::other)?).map_err(io::Error::other)?;
            Ok::<_, io::Error>((fresh, loaded))
        });
        let (fresh, loaded) = prepare.await.map_err(io::Error::other)??;
        self.worker.replace(fresh, loaded).await?;
        failpoint!("snapshot-after-install");
        let keep = tokio::task::spawn_blocking(move || snapshots.keep(&snapshot));
        keep.await.map_err(io::Error::other)?.map(|_| ())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<TypeConfig, SnapshotFolder>>, io::Error> {
        let snapshots = self.snapshots.clone();
        let newest = tokio::task::spawn_blocking(move || snapshots.newest());
        let newest = newest.await.map_err(io::Error::other)??;
        Ok(newest.map(|(meta, snapshot)| openraft::Snapshot { meta, snapshot }))
    }
}
