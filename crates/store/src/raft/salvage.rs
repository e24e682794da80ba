//! A backup of a member that does not run: what is left to do where the majority of a group is lost for good.
//!
//! The state on disk is older than what was acknowledged, and only the log knows the rest. So a copy of the state takes
//! every entry that the log has, also those of which this member did not learn that they were committed: what was
//! acknowledged is among them. The directory itself stays as it is, for its group may come back after all.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;

use super::log::{self, OpenError};
use super::pending::Pending;
use super::restore;
use super::state::{Handle, RocksDisk, SnapshotDir, StateDir, Unwatched, archive, link_or_copy};
use crate::machine::{DiskError, Machine};
use crate::metrics::Metrics;

/// Where the copy lies while it is needed.
const FOLDER: &str = "salvage";

/// Gives away all that the store directory `dir` holds, as a backup in parts; `hand_over` says whether it wants more.
pub async fn salvage(dir: &Path, hand_over: impl FnMut(Bytes, u64) -> bool) -> Result<(), OpenError> {
    // Held to the end: nobody else may use the directory meanwhile.
    let mut log = log::open(&dir.join("log"), &Metrics::default())?;
    let work = dir.join(FOLDER);
    restore::clear(&work)?;
    let copied = copy(dir, &work);
    let salvaged = match copied {
        Ok(disk) => complete(&mut log, disk, &work, hand_over).await,
        Err(error) => Err(error),
    };
    restore::clear(&work)?;
    salvaged
}

/// A copy of the state, which shares the files that never change.
fn copy(dir: &Path, work: &Path) -> Result<Arc<RocksDisk>, OpenError> {
    let from = StateDir::open(&dir.join("state"))?.current()?;
    fs::create_dir_all(work)?;
    let state = StateDir::open(&work.join("state"))?;
    link_or_copy(&from, &state.current()?)?;
    Ok(Arc::new(RocksDisk::adopt(state)?))
}

async fn complete(
    log: &mut log::LogStore,
    disk: Arc<RocksDisk>,
    work: &Path,
    hand_over: impl FnMut(Bytes, u64) -> bool,
) -> Result<(), OpenError> {
    let damaged = |error: DiskError| OpenError::Damaged(error.to_string());
    let machine = Machine::open(disk.clone(), disk.stored().map_err(damaged)?).map_err(damaged)?;
    let applied = machine.progress().applied.as_ref().map_or(0, |id| id.index);
    if log.purged() > applied {
        let purged = log.purged();
        return Err(OpenError::Damaged(format!("the state ends at entry {applied}, the log begins after {purged}")));
    }
    let worker = Handle::new(machine, disk.clone(), Unwatched, Pending::new(0, 0), Metrics::default());
    let mut reader = log.get_log_reader().await;
    let mut next = applied + 1;
    loop {
        let entries = reader.limited_get_log_entries(next, u64::MAX).await?;
        let Some(last) = entries.last() else { break };
        next = last.log_id.index + 1;
        worker.apply(entries.into_iter().map(|entry| (entry, None)).collect()).await?;
    }
    let snapshot = SnapshotDir::open(&work.join("snapshots"))?.take(&disk)?;
    Ok(archive::write(&snapshot, hand_over)?)
}
