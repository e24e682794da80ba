//! Three real stores in one process: replication, snapshots between them, and what differs.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod group;
mod replication;
mod snapshots;
