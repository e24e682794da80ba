//! What is known anyway, read when somebody looks.

use std::fmt;
use std::sync::Weak;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::services::{CLUSTER_VERSION, Context, ETCD_VERSION};

/// Reads a store's state at each scrape; says nothing once the store has stopped.
pub struct Gauges(Weak<Context>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl Gauges {
    /// Of this store; the registry that holds it must not keep the store alive.
    pub fn of(context: Weak<Context>) -> Self {
        Self(context)
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(context) = self.0.upgrade() else { return Ok(()) };
        raft(&context, &mut encoder)?;
        state(&context, &mut encoder)?;
        watches(&context, &mut encoder)?;
        let versions = [
            ("etcd_server_version", "server_version", ETCD_VERSION),
            ("etcd_cluster_version", "cluster_version", CLUSTER_VERSION),
        ];
        for (name, label, version) in versions {
            let help = "Version of etcd whose behaviour this is; the value is always 1.";
            labelled(&mut encoder, name, help, (label, version))?;
        }
        Ok(())
    }
}

fn raft(context: &Context, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let status = context.node.status();
    let leader = status.leadership.leader;
    let leads = leader == Some(context.node.id());
    gauge(encoder, "etcd_server_has_leader", "Whether this member knows a leader.", i64::from(leader.is_some()))?;
    gauge(encoder, "etcd_server_is_leader", "Whether this member leads.", i64::from(leads))?;
    gauge(encoder, "etcd_server_is_learner", "Whether this member only learns.", i64::from(status.learner))?;
    // etcd has these two as gauges, whatever their names say.
    let help = "Index of the last entry of this member's log.";
    gauge(encoder, "etcd_server_proposals_committed_total", help, whole(status.last_index))?;
    let help = "Index of the last entry that this member has applied.";
    gauge(encoder, "etcd_server_proposals_applied_total", help, whole(status.applied_index))?;
    gauge(encoder, "raftsman_store_raft_term", "Term of the group.", whole(status.leadership.term))?;
    let members = context.node.members().len() as i64;
    gauge(encoder, "raftsman_store_members", "Members of the group, learners among them.", members)?;
    let id = format!("{:x}", context.node.id());
    labelled(encoder, "etcd_server_id", "The id of this member; the value is always 1.", ("server_id", &id))
}

fn state(context: &Context, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let shared = context.view.shared();
    let (total, in_use) = context.view.disk().sizes();
    let alarms = shared.group.read().alarms.len() as i64;
    let keys = shared.index.read().alive() as i64;
    let leases = shared.leases.read().iter().count() as i64;
    gauge(encoder, "etcd_mvcc_db_total_size_in_bytes", "Bytes of the state database.", total)?;
    let help = "Bytes of what is alive in the state database.";
    gauge(encoder, "etcd_mvcc_db_total_size_in_use_in_bytes", help, in_use)?;
    let help = "Bytes that the state may take before growth is refused.";
    gauge(encoder, "etcd_server_quota_backend_bytes", help, context.quota.bytes())?;
    gauge(encoder, "etcd_debugging_mvcc_keys_total", "Keys that exist.", keys)?;
    gauge(encoder, "etcd_debugging_mvcc_current_revision", "The newest revision.", shared.visible())?;
    let help = "The revision up to which history is forgotten.";
    gauge(encoder, "etcd_debugging_mvcc_compact_revision", help, shared.compacted())?;
    gauge(encoder, "raftsman_store_leases", "Leases that have not ended.", leases)?;
    gauge(encoder, "raftsman_store_alarms", "Alarms that are raised.", alarms)
}

fn watches(context: &Context, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let counts = context.hub.counts();
    gauge(encoder, "etcd_debugging_mvcc_watch_stream_total", "Open streams of watches.", counts.streams)?;
    gauge(encoder, "etcd_debugging_mvcc_watcher_total", "Watches.", counts.watchers)?;
    let help = "Watches that are behind and read what they missed from disk.";
    gauge(encoder, "etcd_debugging_mvcc_slow_watcher_total", help, counts.behind)?;
    let events = ConstCounter::new(counts.events);
    let help = "Events that were handed to watches.";
    let metric = encoder.encode_descriptor("etcd_debugging_mvcc_events", help, None, events.metric_type())?;
    events.encode(metric)
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: i64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

/// A gauge of 1 whose label tells.
fn labelled(encoder: &mut DescriptorEncoder, name: &str, help: &str, label: (&str, &str)) -> fmt::Result {
    let gauge = ConstGauge::new(1_i64);
    let labels = [label];
    let mut metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric.encode_family(&labels)?)
}

/// Gauges are signed.
fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
