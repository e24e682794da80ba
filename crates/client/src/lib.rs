//! The typed client of the API: what controllers, the scheduler, agents and the CLI see of the system.
//!
//! [`Client`] has one method a verb, generic over the kinds; [`informer`] keeps a local copy, [`queue`] the keys that wait for
//! reconcile, [`election`] wins and holds a claim, [`recorder`] writes events, [`commit`] is the one atomic write path.

pub mod client;
pub mod commit;
pub mod config;
pub mod election;
pub mod error;
pub mod informer;
pub mod kubeconfig;
mod object;
pub mod output;
pub mod queue;
pub mod recorder;
pub mod resource;
pub mod servers;
pub mod version;
pub mod watch;
mod wire;

pub use api;
pub use client::{Client, ListOptions, Page, WriteOptions};
pub use commit::{Fence, Group, GroupResult, Precondition, Write};
pub use config::{Config, Identity};
pub use error::Error;
pub use informer::Informer;
pub use object::Storable;
pub use queue::{QueueMetrics, WorkQueue};
pub use recorder::{EventDraft, Recorder};
pub use resource::Resource;

/// Where a process keeps its metrics; what is registered stays until the process ends.
pub type SharedRegistry = std::sync::Arc<parking_lot::Mutex<prometheus_client::registry::Registry>>;
