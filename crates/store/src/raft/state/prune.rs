//! The thread that removes what compactions left: in small steps, beside everything else.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::RocksDisk;
use crate::failpoint::failpoint;
use crate::machine::{DiskError, Revision, Shared, prune_step};

/// Follows compactions; ends when the sender of `compacted` is gone.
pub struct Pruner {
    shared: Arc<Shared>,
    disk: Arc<RocksDisk>,
    compacted: watch::Receiver<i64>,
    done: watch::Sender<i64>,
}

impl Pruner {
    /// Starts the thread. `compacted` is the compacted revision; the answer follows it when the garbage is gone.
    pub fn start(
        shared: Arc<Shared>,
        disk: Arc<RocksDisk>,
        compacted: watch::Receiver<i64>,
    ) -> io::Result<watch::Receiver<i64>> {
        let pruned = disk.pruned().map_err(io::Error::other)?;
        let (done, follow) = watch::channel(pruned);
        let pruner = Self { shared, disk, compacted, done };
        std::thread::Builder::new().name("prune".into()).spawn(move || pruner.run())?;
        Ok(follow)
    }

    fn run(mut self) {
        loop {
            let target = *self.compacted.borrow_and_update();
            if let Err(error) = self.follow(target) {
                tracing::error!("garbage up to revision {target} stays: {error}");
            }
            // The thread belongs to no runtime, and the wait must end when the store does.
            if futures::executor::block_on(self.compacted.changed()).is_err() {
                return;
            }
        }
    }

    /// Prunes up to `target`, over again if the state is exchanged for another meanwhile.
    fn follow(&self, target: i64) -> Result<(), DiskError> {
        loop {
            let exchanges = self.shared.exchanges();
            let from = self.disk.pruned()?;
            if from >= target || self.prune(from, target, exchanges)? {
                self.done.send_replace(from.max(target));
                return Ok(());
            }
        }
    }

    /// Answers false where the state was exchanged meanwhile: what was found out about the old one does not hold of
    /// the new one.
    fn prune(&self, from: i64, to: i64, exchanges: u64) -> Result<bool, DiskError> {
        let mut next = Some(Revision::first(from));
        while let Some(at) = next {
            let _whole = self.shared.hold();
            if self.shared.exchanges() != exchanges {
                return Ok(false);
            }
            let (dropped, after) = prune_step(&self.shared, &*self.disk, at, to)?;
            failpoint!("compact-before-write");
            self.disk.prune(&dropped, after.is_none().then_some(to))?;
            next = after;
        }
        Ok(true)
    }
}
