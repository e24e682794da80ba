//! Nodes: who is silent, and what becomes of the Pods of a node that is lost or tainted.
//!
//! ```text
//!  Lease not renewed for `grace` -> Ready Unknown -> taints unreachable:NoSchedule and :NoExecute
//!     a Pod there tolerates that for S seconds (300 unless it says otherwise; no limit: for ever)
//!     last renewal ---- + S ------------------------ + grace + S + margin
//!                       agent and shim have          the Pod is Failed here, and its Job may replace it:
//!                       ended it by themselves       it can't be alive any more (design D7, api::fence)
//! ```
//!
//! Silence is measured by when this process saw a renewal, never by the node's clock, and anew whenever it could have missed
//! one. What it concludes is committed only if the store knows of no later renewal either. While most nodes look lost, nothing is
//! concluded at all. A node that is reachable but tainted `NoExecute` ends its Pods itself: they are deleted as by a user.

mod clocks;
mod decide;
mod eviction;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use api::condition;
use api::meta::Object;
use api::proto::coordination_v1::Lease;
use api::proto::core_v1::Node;
use api::proto::meta_v1::ObjectMeta;
use chrono::{DateTime, Utc};
use client::WorkQueue;
use client::informer::Change;
use parking_lot::Mutex;

use crate::driver::Controller;
use crate::informers::{Informers, NODE, NODE_LEASES};
use crate::plan::Plan;
use crate::pod_view::PodView;

use clocks::{Clocks, Moment};
pub use decide::{Snapshot, decide};

/// How long a node may be silent before it counts as unreachable, unless the user says otherwise; an agent renews its Lease
/// every 10 s.
pub const GRACE: Duration = Duration::from_secs(50);

pub struct Nodes {
    informers: Arc<Informers>,
    clocks: Arc<Mutex<Clocks>>,
    grace: Duration,
}

impl Nodes {
    /// A node is looked at when it changes, when it is heard again, and when a Pod comes to a node that is lost. After `grace`
    /// without a sign of life it counts as unreachable.
    pub fn start(informers: &Arc<Informers>, queue: WorkQueue<String>, grace: Duration) -> Self {
        let clocks = Arc::new(Mutex::new(Clocks::default()));
        stay_awake(&clocks);
        let (wake, heard) = (queue.clone(), clocks.clone());
        informers.nodes.on_change(move |change: &Change<Node>| {
            let mut clocks = heard.lock();
            match &change.new {
                None => clocks.forget(&change.key),
                Some(_) => clocks.not_absent(&change.key),
            }
            if is_sign_of_life(change.old.as_deref(), change.new.as_deref()) {
                clocks.hear(&change.key, moment());
            }
            drop(clocks);
            wake.add(change.key.to_string());
        });
        let (wake, heard) = (queue.clone(), clocks.clone());
        informers.leases.on_change(move |change: &Change<Lease>| {
            let Some(lease) = change.new.as_ref().or(change.old.as_ref()) else { return };
            if lease.namespace() != NODE_LEASES {
                return;
            }
            let mut clocks = heard.lock();
            clocks.lease(lease.name(), change.new.as_ref().map(|lease| seen(lease)));
            if change.new.is_none() || renewal(change.old.as_deref()) == renewal(change.new.as_deref()) {
                return;
            }
            if clocks.hear(lease.name(), moment()) > grace {
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
        Self { informers: Arc::clone(informers), clocks, grace }
    }

    /// Whether most nodes are silent; asked only where one is.
    fn is_frozen(&self, clocks: &Clocks, now: Moment) -> bool {
        let nodes = self.informers.nodes.keys();
        let silent = nodes.iter().filter(|node| clocks.silent_for(node, now) >= self.grace).count();
        decide::most_are_silent(silent, nodes.len())
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
        let at = moment();
        let mut clocks = self.clocks.lock();
        clocks.wake(at);
        let silent_for = match &node {
            None if !pods.is_empty() => clocks.absent_for(key, at),
            None => Duration::ZERO,
            Some(_) => clocks.silent_for(key, at),
        };
        if node.is_some() || pods.is_empty() {
            clocks.not_absent(key);
        }
        let frozen = node.is_some() && !pods.is_empty() && silent_for >= self.grace && self.is_frozen(&clocks, at);
        if frozen {
            clocks.freeze(at);
        }
        // Not the informer's: that may hold a renewal already which the clock is about to hear of.
        let (lease, trusted_for) = (clocks.lease_of(key), clocks.trusted_for(at));
        drop(clocks);
        let (name, grace) = (key.to_owned(), self.grace);
        decide(&Snapshot { name, node, pods, lease, silent_for, grace, frozen, trusted_for, now })
    }

    fn took_over(&self, _now: DateTime<Utc>) {
        self.clocks.lock().begin(moment());
    }
}

/// Now, by this process's monotonic clock.
fn moment() -> Moment {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGAN.elapsed()
}

/// Lets the clocks notice when this process does not run.
fn stay_awake(clocks: &Arc<Mutex<Clocks>>) {
    let clocks = Arc::downgrade(clocks);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while let Some(clocks) = clocks.upgrade() {
            clocks.lock().wake(moment());
            drop(clocks);
            ticks.tick().await;
        }
    });
}

/// The node is new here, or its agent has reported. That this controller doubts it is none.
fn is_sign_of_life(old: Option<&Node>, new: Option<&Node>) -> bool {
    let reported = heartbeat(new);
    new.is_some() && (old.is_none() || (reported.is_some() && reported != heartbeat(old)))
}

/// When the agent wrote the node's status; what this controller wrote is no sign of life.
fn heartbeat(node: Option<&Node>) -> Option<(Option<i64>, Option<i32>)> {
    let ready =
        condition::find(&node?.status.as_ref()?.conditions, "Ready").filter(|ready| ready.status != "Unknown")?;
    ready.last_heartbeat_time.as_ref().map(|time| (time.seconds, time.nanos))
}

/// What a precondition refers to it by.
fn seen(lease: &Lease) -> ObjectMeta {
    let metadata = lease.metadata.clone().unwrap_or_default();
    ObjectMeta {
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        ..Default::default()
    }
}

fn renewal(lease: Option<&Lease>) -> Option<(Option<i64>, Option<i32>)> {
    lease?.spec.as_ref()?.renew_time.as_ref().map(|time| (time.seconds, time.nanos))
}

#[cfg(test)]
mod decide_tests;
