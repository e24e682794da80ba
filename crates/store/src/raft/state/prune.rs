//! The thread that removes what compactions left: in small steps, beside everything else.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::RocksDisk;
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
            let from = *self.done.borrow();
            if target > from
                && let Err(error) = self.prune(from, target)
            {
                tracing::error!("garbage up to revision {target} stays: {error}");
            }
            // The thread belongs to no runtime, and the wait must end when the store does.
            if futures::executor::block_on(self.compacted.changed()).is_err() {
                return;
            }
        }
    }

    fn prune(&self, from: i64, to: i64) -> Result<(), DiskError> {
        let mut next = Some(Revision::first(from));
        while let Some(at) = next {
            let (dropped, after) = prune_step(&self.shared, &*self.disk, at, to)?;
            self.disk.prune(&dropped, after.is_none().then_some(to))?;
            next = after;
        }
        self.done.send_replace(to);
        Ok(())
    }
}
