//! The replicated key-value store: MVCC over a raft log, served as etcd v3. It knows bytes, never a Job.
//!
//! [`run`] is the whole of it for a caller: a directory, a listener, and a future that stops it. Everything else
//! is reached by etcd's gRPC services on that listener.

mod auto_compaction;
pub mod backup;
mod duration;
mod error;
mod failpoint;
mod integrity;
mod keys;
mod lease_clock;
mod listener;
mod machine;
mod marker;
mod members;
mod metrics;
mod peers;
mod quota;
mod raft;
mod renewals;
mod server;
mod services;
mod tls;
mod watch;

pub use auto_compaction::AutoCompaction;
pub use duration::parse_duration;
pub use error::Error;
pub use metrics::SharedRegistry;
pub use peers::{Join, PeerTls, Peers};
pub use server::{Config, Ready, run};
pub use tls::Tls;
