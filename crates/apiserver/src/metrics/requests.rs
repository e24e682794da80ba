//! REST requests: how many were answered how, how long that took, and how many are under way.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What a request asks for; verbs as Kubernetes' metrics have them (`LIST`, `WATCH`, `POST` ...).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Call {
    pub verb: &'static str,
    /// Empty for the core group, and for paths that are no resources.
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    #[prometheus(flatten)]
    call: Call,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    request_kind: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Requests {
    answered: Family<Answered, Counter>,
    took: Family<Call, Histogram, fn() -> Histogram>,
    inflight: Family<Kind, Gauge>,
}

/// Seconds; from a cached read to a write that waits for an election.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

impl Default for Requests {
    fn default() -> Self {
        Requests {
            answered: Family::default(),
            took: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            inflight: Family::default(),
        }
    }
}

/// A request that is under way until this is dropped.
pub(crate) struct Inflight(Gauge);

impl Drop for Inflight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Requests {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "REST requests that were answered; a watch counts when it is opened or refused";
        registry.register("apiserver_request", help, self.answered.clone());
        let help = "Duration of REST requests until the head of their answer, watches left out";
        registry.register("apiserver_request_duration_seconds", help, self.took.clone());
        let help = "REST requests under way, watches left out once they are opened";
        registry.register("apiserver_current_inflight_requests", help, self.inflight.clone());
    }

    /// A request begins.
    pub fn begin(&self, verb: &str) -> Inflight {
        let request_kind = if matches!(verb, "GET" | "LIST" | "WATCH") { "readOnly" } else { "mutating" };
        let gauge = self.inflight.get_or_create_owned(&Kind { request_kind });
        gauge.inc();
        Inflight(gauge)
    }

    /// It has been answered. A resource that does not exist is not worth a series: its name is of the caller's invention.
    pub fn answered(&self, call: Call, code: StatusCode, took: Duration) {
        let call = if code == StatusCode::NOT_FOUND { Call { verb: call.verb, ..Call::default() } } else { call };
        if call.verb != "WATCH" {
            self.took.get_or_create(&call).observe(took.as_secs_f64());
        }
        self.answered.get_or_create(&Answered { call, code: code.as_u16() }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_what_was_asked_and_answered() {
        let mut registry = Registry::default();
        let requests = Requests::default();
        requests.register(&mut registry);
        let call = |resource: &str| Call { verb: "LIST", resource: resource.into(), ..Call::default() };
        let under_way = requests.begin("LIST");
        requests.answered(call("pods"), StatusCode::OK, Duration::from_millis(2));
        requests.answered(call("nonsense-1"), StatusCode::NOT_FOUND, Duration::ZERO);
        requests.answered(call("nonsense-2"), StatusCode::NOT_FOUND, Duration::ZERO);
        let text = super::super::text(&std::sync::Arc::new(parking_lot::Mutex::new(registry))).expect("text");
        assert!(text.contains("resource=\"pods\",subresource=\"\",code=\"200\"} 1\n"), "{text}");
        assert!(text.contains("resource=\"\",subresource=\"\",code=\"404\"} 2\n"), "{text}");
        assert!(!text.contains("nonsense"), "{text}");
        assert!(text.contains("apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n"), "{text}");
        drop(under_way);
        assert_eq!(requests.inflight.get_or_create(&Kind { request_kind: "readOnly" }).get(), 0);
    }
}
