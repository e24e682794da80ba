//! What the scheduler counts and measures, under the names that Kubernetes' scheduler gives it.

use std::fmt;
use std::time::Duration;

use client::{Fence, SharedRegistry};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tokio::sync::watch;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    result: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    attempts: Family<Attempt, Counter>,
    pass: Histogram,
    pending: Gauge,
}

impl Metrics {
    pub fn register(registry: &SharedRegistry, fence: watch::Receiver<Option<Fence>>) -> Self {
        let mut registry = registry.lock();
        let metrics = Metrics {
            attempts: Family::default(),
            pass: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            pending: Gauge::default(),
        };
        let help = "Attempts to give a Pod a node: scheduled, unschedulable (none fits), error (the bind failed)";
        registry.register("scheduler_schedule_attempts", help, metrics.attempts.clone());
        let help = "Duration of deciding about all Pods that wait, up to 256 at a time";
        registry.register("scheduler_scheduling_algorithm_duration_seconds", help, metrics.pass.clone());
        registry.register("scheduler_pending_pods", "Pods that wait for a node", metrics.pending.clone());
        registry.register_collector(Box::new(Leading(fence)));
        metrics
    }

    /// A pass has decided: so many Pods got a node, so many are told that none fits.
    pub fn passed(&self, placed: usize, refused: usize, took: Duration) {
        self.pass.observe(took.as_secs_f64());
        self.attempts.get_or_create(&Attempt { result: "scheduled" }).inc_by(placed as u64);
        self.attempts.get_or_create(&Attempt { result: "unschedulable" }).inc_by(refused as u64);
    }

    /// These many binds were refused.
    pub fn failed(&self, binds: usize) {
        self.attempts.get_or_create(&Attempt { result: "error" }).inc_by(binds as u64);
    }

    pub fn pending(&self, pods: usize) {
        self.pending.set(pods as i64);
    }
}

/// Tells at each scrape whether this scheduler decides.
struct Leading(watch::Receiver<Option<Fence>>);

impl fmt::Debug for Leading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leading")
    }
}

impl Collector for Leading {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let leads = ConstGauge::new(i64::from(self.0.borrow().is_some()));
        let help = "Whether the scheduler of this process holds the claim and decides.";
        leads.encode(encoder.encode_descriptor("raftsman_scheduler_leading", help, None, MetricType::Gauge)?)
    }
}
