//! What is measured of work queues, under the names that Kubernetes' client library gives it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    name: &'static str,
}

/// Families of all queues of a process, one series a queue.
#[derive(Clone, Debug)]
pub struct QueueMetrics {
    adds: Family<Queue, Counter>,
    retries: Family<Queue, Counter>,
    waited: Family<Queue, Histogram, fn() -> Histogram>,
    worked: Family<Queue, Histogram, fn() -> Histogram>,
    depths: Depths,
}

/// How many keys of a queue are due now; None once the queue is gone.
type Look = Box<dyn Fn() -> Option<usize> + Send + Sync>;

/// The queues to look at, at each scrape.
#[derive(Clone, Default)]
struct Depths(Arc<Mutex<Vec<(Queue, Look)>>>);

impl fmt::Debug for Depths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Depths")
    }
}

impl Collector for Depths {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let help = "Keys that are due and wait to be looked at.";
        let mut family = encoder.encode_descriptor("workqueue_depth", help, None, MetricType::Gauge)?;
        for (queue, look) in self.0.lock().iter() {
            if let Some(due) = look() {
                ConstGauge::new(due as i64).encode(family.encode_family(queue)?)?;
            }
        }
        Ok(())
    }
}

/// Seconds, from a tenth of a millisecond to some minutes.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 4.0, 12))
}

impl Default for QueueMetrics {
    /// Families that no registry knows.
    fn default() -> Self {
        QueueMetrics {
            adds: Family::default(),
            retries: Family::default(),
            waited: Family::new_with_constructor(seconds),
            worked: Family::new_with_constructor(seconds),
            depths: Depths::default(),
        }
    }
}

impl QueueMetrics {
    /// Families that `registry` knows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = QueueMetrics::default();
        registry.register("workqueue_adds", "Keys that were added to the queue", metrics.adds.clone());
        registry.register("workqueue_retries", "Keys that were added again after a failure", metrics.retries.clone());
        let help = "How long keys waited after they were due";
        registry.register("workqueue_queue_duration_seconds", help, metrics.waited.clone());
        let help = "How long keys were worked on, until the effects were known here";
        registry.register("workqueue_work_duration_seconds", help, metrics.worked.clone());
        registry.register_collector(Box::new(metrics.depths.clone()));
        metrics
    }

    /// The series of the queue `name`, whose depth `look` tells.
    pub(super) fn of(&self, name: &'static str, look: Look) -> Measured {
        let queue = Queue { name };
        self.depths.0.lock().push((queue.clone(), look));
        Measured {
            adds: self.adds.get_or_create_owned(&queue),
            retries: self.retries.get_or_create_owned(&queue),
            waited: self.waited.get_or_create_owned(&queue),
            worked: self.worked.get_or_create_owned(&queue),
        }
    }
}

/// The series of one queue.
pub(super) struct Measured {
    adds: Counter,
    retries: Counter,
    waited: Histogram,
    worked: Histogram,
}

impl Measured {
    pub fn added(&self) {
        self.adds.inc();
    }

    pub fn retried(&self) {
        self.retries.inc();
    }

    /// A key was taken so long after it was due.
    pub fn taken(&self, overdue: Duration) {
        self.waited.observe(overdue.as_secs_f64());
    }

    /// A key is done, so long after it was taken.
    pub fn done(&self, took: Duration) {
        self.worked.observe(took.as_secs_f64());
    }
}
