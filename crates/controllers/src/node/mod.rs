//! Nodes: who is silent, and what becomes of the Pods of a node that is lost or tainted.
//!
//! ```text
//!  Lease not renewed for 50 s -> Ready Unknown -> taints unreachable:NoSchedule and :NoExecute (since t)
//!     a Pod there tolerates that for S seconds (300 unless it says otherwise; no limit: for ever)
//!     t ------------------ t + S ------------------- t + S + margin
//!                          agent and shim have       the Pod is Failed here, and its Job may replace it:
//!                          ended it by themselves    it can't be alive any more (design D7)
//! ```
//!
//! Silence is measured by when this process saw a renewal, never by the node's clock; and a new leader starts all clocks
//! anew, for it doesn't know what was missed. A node that is reachable but tainted `NoExecute` ends its Pods itself: they
//! are deleted as by a user.

mod decide;
mod eviction;

use std::collections::HashMap;
use std::sync::Arc;

use api::condition;
use api::meta::Object;
use api::proto::coordination_v1::Lease;
use api::proto::core_v1::Node;
use chrono::{DateTime, Utc};
use client::WorkQueue;
use client::informer::Change;
use parking_lot::Mutex;

use crate::driver::Controller;
use crate::informers::{Informers, NODE, NODE_LEASES};
use crate::plan::Plan;
use crate::pod_view::PodView;

pub use decide::{Snapshot, decide};

pub struct Nodes {
    informers: Arc<Informers>,
    clocks: Arc<Mutex<Clocks>>,
}

/// When this process saw what.
#[derive(Default)]
struct Clocks {
    /// The last sign of life of each node.
    heard: HashMap<String, DateTime<Utc>>,
    /// Since when Pods are bound to a node that isn't registered.
    absent: HashMap<String, DateTime<Utc>>,
    /// Since when this process decides.
    leading: DateTime<Utc>,
}

impl Nodes {
    /// A node is looked at when it changes, when it is heard again, and when a Pod comes to a node that is lost.
    pub fn start(informers: &Arc<Informers>, queue: WorkQueue<String>) -> Self {
        let clocks = Arc::new(Mutex::new(Clocks::default()));
        let (wake, heard) = (queue.clone(), clocks.clone());
        informers.nodes.on_change(move |change: &Change<Node>| {
            if heartbeat(change.old.as_deref()) != heartbeat(change.new.as_deref()) {
                heard.lock().heard.insert(change.key.to_string(), Utc::now());
            }
            if change.new.is_none() {
                heard.lock().heard.remove(&*change.key);
            }
            wake.add(change.key.to_string());
        });
        let (wake, heard) = (queue.clone(), clocks.clone());
        informers.leases.on_change(move |change: &Change<Lease>| {
            let Some(lease) = change.new.as_ref().filter(|lease| lease.namespace() == NODE_LEASES) else { return };
            if renewal(change.old.as_deref()) == renewal(Some(lease)) {
                return;
            }
            let now = Utc::now();
            let before = heard.lock().heard.insert(lease.name().to_owned(), now);
            if before.is_some_and(|before| now - before > decide::SILENT_AFTER) {
                wake.add(lease.name().to_owned());
            }
        });
        let known = Arc::downgrade(informers);
        informers.pods.on_change(move |change: &Change<PodView>| {
            let Some(pod) = change.new.as_ref().filter(|pod| !pod.node.is_empty()) else { return };
            let settled = change.old.as_ref().is_some_and(|old| old.node == pod.node && old.phase == pod.phase);
            let lost = |informers: Arc<Informers>| match informers.nodes.get("", &pod.node) {
                None => true,
                Some(node) => eviction::evicts(&node),
            };
            if !settled && known.upgrade().is_some_and(lost) {
                queue.add(pod.node.clone());
            }
        });
        Self { informers: Arc::clone(informers), clocks }
    }
}

impl Controller for Nodes {
    fn name(&self) -> &'static str {
        "node"
    }

    fn plan(&self, key: &str, now: DateTime<Utc>) -> Plan {
        let node = self.informers.nodes.get("", key);
        let evicts = node.as_ref().is_none_or(|node| eviction::evicts(node));
        let pods = if evicts { self.informers.pods.by_index(NODE, key) } else { Vec::new() };
        let mut clocks = self.clocks.lock();
        let absent_since = match &node {
            None if !pods.is_empty() => Some(*clocks.absent.entry(key.to_owned()).or_insert(now)),
            _ => {
                clocks.absent.remove(key);
                None
            }
        };
        let heard = clocks.heard.get(key).copied();
        let snapshot = Snapshot { node, pods, heard, absent_since, leading_since: clocks.leading, now };
        drop(clocks);
        decide(&snapshot)
    }

    fn took_over(&self, now: DateTime<Utc>) {
        let mut clocks = self.clocks.lock();
        clocks.leading = now;
        clocks.absent.clear();
    }
}

/// When the agent wrote the node's status; what this controller wrote is no sign of life.
fn heartbeat(node: Option<&Node>) -> Option<(Option<i64>, Option<i32>)> {
    let ready =
        condition::find(&node?.status.as_ref()?.conditions, "Ready").filter(|ready| ready.status != "Unknown")?;
    ready.last_heartbeat_time.as_ref().map(|time| (time.seconds, time.nanos))
}

fn renewal(lease: Option<&Lease>) -> Option<(Option<i64>, Option<i32>)> {
    lease?.spec.as_ref()?.renew_time.as_ref().map(|time| (time.seconds, time.nanos))
}

#[cfg(test)]
mod decide_tests;
