//! What the API server counts and measures, under Kubernetes' names where it has them.
//!
//! [`Metrics`] are the handles that the rooms write to; [`Gauges`] reads the caches at each scrape. Both lie in the
//! registry that the caller of the API server hands in: the controllers of the same process may put theirs beside it.

mod gauges;
mod requests;
mod rpc;
mod store;
mod watches;

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;

pub(crate) use gauges::Gauges;
pub(crate) use requests::{Call, Requests};
pub(crate) use rpc::{Rpcs, count as count_rpc};
pub(crate) use store::Store;
pub(crate) use watches::{Watch, Watches};

/// Where a process keeps its metrics; what is registered stays until the process ends.
pub type SharedRegistry = Arc<Mutex<Registry>>;

/// The media type of [`text`].
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Handles of everything that is counted while it happens; clones write to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub requests: Requests,
    pub rpcs: Rpcs,
    pub watches: Watches,
    pub store: Store,
}

impl Metrics {
    /// Handles that `registry` knows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        metrics.requests.register(registry);
        metrics.rpcs.register(registry);
        metrics.watches.register(registry);
        metrics.store.register(registry);
        metrics
    }
}

/// Everything of `registry` in Prometheus' text format; `None` if a family can't be written.
pub(crate) fn text(registry: &SharedRegistry) -> Option<String> {
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry.lock()).ok()?;
    Some(text)
}
