//! The thread that removes what compactions left: in small steps, beside everything else.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::RocksDisk;
use crate::failpoint::failpoint;
use crate::machine::{DiskError, Revision, Shared, prune_step};

/// Follows compactions; ends when the sender of `compacted` is gone, or where the disk can't be read.
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
    ) -> io::Result<(watch::Receiver<i64>, JoinHandle<()>)> {
        let pruned = disk.pruned().map_err(io::Error::other)?;
        let (done, follow) = watch::channel(pruned);
        let pruner = Self { shared, disk, compacted, done };
        let thread = std::thread::Builder::new().name("prune".into()).spawn(move || pruner.run())?;
        Ok((follow, thread))
    }

    fn run(mut self) {
        loop {
            let target = *self.compacted.borrow_and_update();
            if let Err(error) = self.follow(target) {
                // Whoever follows learns it by the end of this thread.
                tracing::error!("garbage up to revision {target} stays: {error}");
                return;
            }
            // The thread belongs to no runtime, and the wait must end when the store does.
            if futures::executor::block_on(self.compacted.changed()).is_err() {
                return;
            }
        }
    }

    /// Prunes up to `target`, over again if the state is exchanged for another meanwhile. When the store ends, what is
    /// left is removed after its next start.
    fn follow(&self, target: i64) -> Result<(), DiskError> {
        while !self.ends() {
            let exchanges = self.shared.exchanges();
            let from = self.disk.pruned()?;
            if from >= target || self.prune(from, target, exchanges)? {
                self.done.send_replace(from.max(target));
                break;
            }
        }
        Ok(())
    }

    fn ends(&self) -> bool {
        self.compacted.has_changed().is_err()
    }

    /// Answers false where the state was exchanged meanwhile: what was found out about the old one does not hold of
    /// the new one; and where the store ends.
    fn prune(&self, from: i64, to: i64, exchanges: u64) -> Result<bool, DiskError> {
        let mut next = Some(Revision::first(from));
        while let Some(at) = next {
            let _whole = self.shared.hold();
            if self.shared.exchanges() != exchanges || self.ends() {
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
