//! The watch cache: what comes in from the store, and who watches.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::registry::Resource;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Of {
    group: &'static str,
    resource: &'static str,
}

impl Of {
    pub(super) fn new(resource: &Resource) -> Self {
        Of { group: resource.info.group, resource: resource.info.resource }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LongRunning {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Watches {
    received: Family<Of, Counter>,
    sent: Family<Of, Counter>,
    expired: Family<Of, Counter>,
    open: Family<LongRunning, Gauge>,
}

/// A watch that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    open: Gauge,
    sent: Counter,
    expired: Counter,
}

impl Watch {
    /// Events, initial objects among them, were handed to the client's stream.
    pub fn sent(&self, events: usize) {
        self.sent.inc_by(events as u64);
    }

    /// The watch ends because the cache has forgotten what comes next.
    pub fn expired(&self) {
        self.expired.inc();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl Watches {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Changes that the watch cache has received from the store";
        registry.register("apiserver_watch_cache_events_received", help, self.received.clone());
        let help = "Events that were handed to watches, REST and gRPC alike";
        registry.register("apiserver_watch_events", help, self.sent.clone());
        let help = "Watches that were ended because they were too slow or asked for a forgotten past";
        registry.register("apiserver_terminated_watchers", help, self.expired.clone());
        let help = "Open watches, REST and gRPC alike";
        registry.register("apiserver_longrunning_requests", help, self.open.clone());
    }

    /// The cache of this kind has taken changes in.
    pub fn received(&self, resource: &Resource, changes: usize) {
        self.received.get_or_create(&Of::new(resource)).inc_by(changes as u64);
    }

    /// A watch begins.
    pub fn begin(&self, resource: &Resource) -> Watch {
        let of = Of::new(resource);
        let labels = LongRunning { verb: "WATCH", group: of.group, resource: of.resource };
        let open = self.open.get_or_create_owned(&labels);
        open.inc();
        Watch { open, sent: self.sent.get_or_create_owned(&of), expired: self.expired.get_or_create_owned(&of) }
    }
}
