//! The raft log: entries, vote, commit mark and purge mark, in a RocksDB database of their own.
//!
//! ```text
//!  append --> tail in memory (reads see it at once)
//!         \-> queue --> writer thread: everything queued in one batch, one fsync --> callbacks, in order
//!  save_vote -> the same queue, and waits
//! ```
//!
//! One queue and one writer, so that vote, append, truncation and purge reach the disk in the order in which
//! they were asked for. Nothing is acknowledged before the fsync that covers it. The first failure of the disk
//! is final: it fails whatever waits and all that comes later, for after a failed fsync nobody knows what the
//! disk holds. The queue is bounded, so that a member with a stalled disk stops taking entries.

mod backend;
#[cfg(test)]
pub mod memory;
mod open;
mod storage;
mod tail;
mod writer;

pub use open::{OpenError, found, open};
pub use storage::LogStore;
