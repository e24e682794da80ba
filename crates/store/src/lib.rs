//! The replicated key-value store: MVCC over a raft log, served as etcd v3. It knows bytes, never a Job.
//!
//! [`run`] is the whole of it for a caller: a directory, a listener, and a future that stops it. Everything else
//! is reached by etcd's gRPC services on that listener.

mod error;
mod keys;
mod lease_clock;
mod listener;
mod machine;
mod marker;
mod peers;
mod quota;
mod raft;
mod server;
mod services;
mod tls;
mod watch;

pub use error::Error;
pub use peers::{Join, PeerTls, Peers};
pub use server::{Config, Ready, run};
pub use tls::Tls;
