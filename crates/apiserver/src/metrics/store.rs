//! What the API server asks of its store, ours or an etcd cluster; names as kube-apiserver has them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    took: Family<Operation, Histogram, fn() -> Histogram>,
    failed: Family<Operation, Counter>,
    groups: Family<Outcome, Counter>,
    commit_groups: Histogram,
}

impl Default for Store {
    fn default() -> Self {
        Store {
            took: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0005, 2.0, 15))),
            failed: Family::default(),
            groups: Family::default(),
            commit_groups: Histogram::new(exponential_buckets(1.0, 2.0, 6)),
        }
    }
}

impl Store {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Duration of calls to the store, each attempt by itself";
        registry.register("etcd_request_duration_seconds", help, self.took.clone());
        let help = "Calls to the store that failed, each attempt by itself";
        registry.register("etcd_request_errors", help, self.failed.clone());
        let help = "Groups of Commits by what became of them; a conflict is a group that found another version";
        registry.register("raftsman_commit_groups", help, self.groups.clone());
        let help = "Groups that went into one Txn of the store";
        registry.register("raftsman_commit_size_groups", help, self.commit_groups.clone());
    }

    /// A call was answered, or failed.
    pub fn called(&self, operation: &'static str, took: Duration, ok: bool) {
        let operation = Operation { operation };
        self.took.get_or_create(&operation).observe(took.as_secs_f64());
        if !ok {
            self.failed.get_or_create(&operation).inc();
        }
    }

    /// A Commit of these many groups was answered.
    pub fn committed(&self, done: usize, conflicts: usize) {
        self.commit_groups.observe((done + conflicts) as f64);
        for (outcome, count) in [("committed", done), ("conflict", conflicts)] {
            self.groups.get_or_create(&Outcome { outcome }).inc_by(count as u64);
        }
    }
}
