//! The machine's database and the worker that owns the machine.
//!
//! The database writes no log of its own (R5): after a crash it stands where its last flush left it, with the
//! log position in the same batch, and openraft applies the rest of the raft log again.

mod adapter;
mod cached;
mod directory;
mod disk;
mod prune;
mod snapshot;
mod worker;

pub use adapter::StateMachine;
pub use cached::Cached;
pub use directory::StateDir;
pub use disk::{RocksDisk, link_or_copy};
pub use prune::Pruner;
pub use snapshot::{SnapshotDir, SnapshotFolder, archive, receive, send};
pub use worker::{Feed, Handle, Unwatched};

#[cfg(test)]
mod install_tests;
