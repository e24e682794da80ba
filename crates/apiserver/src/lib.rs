//! The API server: Kubernetes' API, in REST and gRPC on one port, over any etcd v3 store.
//!
//! ```text
//!  server (TLS, identity) --> rest | grpc --> registry --> strategy (one file a kind)
//!                                               |   \--> commit --> storage --> etcd v3
//!                                               +--> cache <--watch-- storage
//! ```

pub mod agents;
pub mod auth;
mod bootstrap;
pub mod cache;
pub mod commit;
mod compactor;
mod connection;
pub mod context;
mod election;
pub mod grpc;
mod keys;
mod metrics;
pub mod object;
pub mod registry;
pub mod rest;
mod server;
pub mod storage;
mod strategy;
mod tls;

pub use metrics::SharedRegistry;
pub use server::{Config, Error, Ready, TlsFiles, run};
pub use storage::StoreEndpoint;
