//! The replicated key-value store: MVCC over a raft log, served as etcd v3.
pub mod keys;
pub mod machine;
pub mod raft;
pub mod watch;
