//! What the store counts and measures, under etcd's names where etcd has them, so that dashboards and alerts made for
//! etcd work.
//!
//! [`Metrics`] are the handles that the rooms write to; [`Gauges`] reads, at each scrape, what is known anyway. Both lie
//! in the registry that the caller of the store hands in: there is nothing global.

mod gauges;
mod rpc;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub use gauges::Gauges;
use rpc::Rpc;
pub use rpc::count as count_rpc;

/// Where a process keeps its metrics; what is registered stays until the process ends.
pub type SharedRegistry = Arc<Mutex<Registry>>;

/// From here on applying a batch counts as slow; etcd's limit.
const SLOW_APPLY: Duration = Duration::from_millis(100);

/// Handles of everything that is counted while it happens; clones write to the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Seconds of one write of the log with its fsync.
    pub wal_fsync: Histogram,
    /// Entries that were written to the log.
    pub wal_entries: Counter,
    /// Seconds of writing one batch to the state database.
    pub backend_commit: Histogram,
    /// Seconds of applying one batch of entries.
    apply: Histogram,
    slow_apply: Counter,
    /// Changes of leader that this member has seen.
    pub leader_changes: Counter,
    proposals_pending: Gauge,
    proposals_failed: Counter,
    /// Reads that found no leader to confirm them.
    pub read_indexes_failed: Counter,
    /// Operations of clients, by kind.
    pub ranges: Counter,
    pub puts: Counter,
    pub deletes: Counter,
    pub txns: Counter,
    /// Leases, by what happened to them.
    pub leases_granted: Counter,
    pub leases_revoked: Counter,
    pub leases_renewed: Counter,
    pub leases_expired: Counter,
    rpcs: Family<Rpc, Counter>,
}

/// Doubling from 1 ms to 8 s, as etcd's for its disks.
fn disk() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 14))
}

impl Default for Metrics {
    /// Handles that no registry knows: for a store whose metrics nobody asks for.
    fn default() -> Self {
        Self {
            wal_fsync: disk(),
            wal_entries: Counter::default(),
            backend_commit: disk(),
            apply: Histogram::new(exponential_buckets(0.0001, 2.0, 20)),
            slow_apply: Counter::default(),
            leader_changes: Counter::default(),
            proposals_pending: Gauge::default(),
            proposals_failed: Counter::default(),
            read_indexes_failed: Counter::default(),
            ranges: Counter::default(),
            puts: Counter::default(),
            deletes: Counter::default(),
            txns: Counter::default(),
            leases_granted: Counter::default(),
            leases_revoked: Counter::default(),
            leases_renewed: Counter::default(),
            leases_expired: Counter::default(),
            rpcs: Family::default(),
        }
    }
}

impl Metrics {
    /// Handles that `registry` knows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.register_disks(registry);
        metrics.register_raft(registry);
        metrics.register_clients(registry);
        metrics
    }

    fn register_disks(&self, registry: &mut Registry) {
        registry.register(
            "etcd_disk_wal_fsync_duration_seconds",
            "Duration of writing to the raft log, with the fsync that makes it durable",
            self.wal_fsync.clone(),
        );
        registry.register(
            "raftsman_store_log_entries",
            "Entries that were written to the raft log",
            self.wal_entries.clone(),
        );
        registry.register(
            "etcd_disk_backend_commit_duration_seconds",
            "Duration of writing one batch to the state database",
            self.backend_commit.clone(),
        );
    }

    fn register_raft(&self, registry: &mut Registry) {
        registry.register(
            "etcd_server_leader_changes_seen",
            "Changes of leader that this member has seen",
            self.leader_changes.clone(),
        );
        registry.register(
            "etcd_server_apply_duration_seconds",
            "Duration of applying one batch of committed entries",
            self.apply.clone(),
        );
        registry.register(
            "etcd_server_slow_apply",
            "Batches that took longer than 100 ms to apply",
            self.slow_apply.clone(),
        );
        registry.register(
            "etcd_server_proposals_pending",
            "Proposals that wait for their outcome",
            self.proposals_pending.clone(),
        );
        registry.register(
            "etcd_server_proposals_failed",
            "Proposals without an outcome: no leader, a change of leader, or no answer in time",
            self.proposals_failed.clone(),
        );
        registry.register(
            "etcd_server_read_indexes_failed",
            "Linearizable reads that were not confirmed in time",
            self.read_indexes_failed.clone(),
        );
    }

    fn register_clients(&self, registry: &mut Registry) {
        registry.register("etcd_mvcc_range", "Range requests that clients sent to this member", self.ranges.clone());
        registry.register("etcd_mvcc_put", "Put requests that clients sent to this member", self.puts.clone());
        registry.register("etcd_mvcc_delete", "Delete requests that clients sent to this member", self.deletes.clone());
        registry.register("etcd_mvcc_txn", "Transactions that clients sent to this member", self.txns.clone());
        registry.register(
            "etcd_debugging_lease_granted",
            "Leases that were granted through this member",
            self.leases_granted.clone(),
        );
        registry.register(
            "etcd_debugging_lease_revoked",
            "Leases that were revoked through this member",
            self.leases_revoked.clone(),
        );
        registry.register(
            "etcd_debugging_lease_renewed",
            "Renewals of leases that this member granted as the leader",
            self.leases_renewed.clone(),
        );
        registry.register(
            "etcd_server_lease_expired",
            "Leases that this member, as the leader, found expired",
            self.leases_expired.clone(),
        );
        registry.register(
            "grpc_server_handled",
            "RPCs that were answered, by code; a stream counts once, when it is opened or refused",
            self.rpcs.clone(),
        );
    }

    /// A batch has been applied within `took`.
    pub fn applied(&self, took: Duration) {
        self.apply.observe(took.as_secs_f64());
        if took > SLOW_APPLY {
            self.slow_apply.inc();
        }
    }

    /// A proposal waits until the guard is dropped; it counts as failed unless [`Pending::settled`].
    pub fn proposed(&self) -> Pending<'_> {
        self.proposals_pending.inc();
        Pending { metrics: self, settled: false }
    }
}

/// A proposal that waits.
pub struct Pending<'a> {
    metrics: &'a Metrics,
    settled: bool,
}

impl Pending<'_> {
    /// The machine has answered, whatever it said.
    pub fn settled(mut self) {
        self.settled = true;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.metrics.proposals_pending.dec();
        if !self.settled {
            self.metrics.proposals_failed.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_without_outcome_has_failed() {
        let metrics = Metrics::default();
        let (kept, lost) = (metrics.proposed(), metrics.proposed());
        assert_eq!(metrics.proposals_pending.get(), 2);
        kept.settled();
        assert_eq!((metrics.proposals_pending.get(), metrics.proposals_failed.get()), (1, 0));
        drop(lost);
        assert_eq!((metrics.proposals_pending.get(), metrics.proposals_failed.get()), (0, 1));
    }

    #[test]
    fn a_slow_batch_is_counted_as_such() {
        let metrics = Metrics::default();
        metrics.applied(Duration::from_millis(100));
        metrics.applied(Duration::from_millis(101));
        assert_eq!(metrics.slow_apply.get(), 1);
    }
}
