//! What is known anyway, read when somebody looks.

use std::fmt;
use std::sync::Weak;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::watches::Of;
use crate::registry::Registry;

/// Reads the registry's caches at each scrape; says nothing once the server has stopped.
pub(crate) struct Gauges(Weak<Registry>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl Gauges {
    /// Of this registry, which is not kept alive.
    pub fn of(registry: Weak<Registry>) -> Self {
        Gauges(registry)
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(registry) = self.0.upgrade() else { return Ok(()) };
        let help = "Objects that are stored, by resource.";
        let mut family = encoder.encode_descriptor("apiserver_resource_objects", help, None, MetricType::Gauge)?;
        // The second name of a kind (events of two groups) shares the objects of the first.
        for resource in registry.resources().iter().filter(|resource| resource.info.group != "events.k8s.io") {
            let count = registry.caches.kind(resource).len() as i64;
            ConstGauge::new(count).encode(family.encode_family(&Of::new(resource))?)?;
        }
        let values = [
            (
                "apiserver_watch_cache_resource_version",
                "The store's revision that all caches have reached.",
                registry.caches.revision(),
            ),
            (
                "raftsman_agent_streams",
                "Nodes whose agent holds its stream to this API server.",
                registry.agents.connected() as i64,
            ),
        ];
        for (name, help, value) in values {
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}
