//! Threads that end by themselves once whatever feeds them is gone, and are then waited for.

use std::thread::JoinHandle;

/// Threads to wait for. Declared after what they end with, so that it is dropped first.
///
/// A thread that outlives its owner may close a database while the process exits, in the midst of RocksDB's own
/// destructors, and the process then aborts instead of exiting.
#[derive(Debug, Default)]
pub struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    /// One more to wait for.
    pub fn add(&mut self, thread: JoinHandle<()>) {
        self.0.retain(|thread| !thread.is_finished());
        self.0.push(thread);
    }
}

impl<const N: usize> From<[JoinHandle<()>; N]> for Threads {
    fn from(threads: [JoinHandle<()>; N]) -> Self {
        Self(threads.into())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            // One that panicked has said so.
            drop(thread.join());
        }
    }
}
