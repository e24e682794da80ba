//! When this process saw what: the only times that the fate of a silent node's Pods hangs on.
//!
//! All on this process's monotonic clock, none from a node's, another leader's or the wall's: those may be wrong, and may jump.
//! They start anew when it could not have heard: it has begun to decide, or it did not run for a while.

use std::collections::HashMap;
use std::time::Duration;

use api::proto::meta_v1::ObjectMeta;

/// A time, since this process began.
pub type Moment = Duration;

/// A process that did not run for so long (stopped, starved, paused with its machine) may have missed signs of life.
const STALL: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct Clocks {
    /// The last sign of life of each node.
    heard: HashMap<String, Moment>,
    /// Each node's Lease as it was when its clock was set: a later one would be a sign of life that the clock misses.
    leases: HashMap<String, ObjectMeta>,
    /// Since when Pods are bound to a node that isn't registered.
    absent: HashMap<String, Moment>,
    /// Since when this process could have heard of every node.
    since: Moment,
    /// When it was last known to run.
    awake: Moment,
    /// When most nodes were last seen silent.
    frozen: Moment,
}

impl Clocks {
    /// This process runs. Called every second, and before anything is concluded.
    pub fn wake(&mut self, now: Moment) {
        if now.saturating_sub(self.awake) > STALL {
            self.begin(now);
        }
        self.awake = now;
    }

    /// Nobody knows what was missed before.
    pub fn begin(&mut self, now: Moment) {
        self.since = now;
        self.absent.clear();
    }

    /// A sign of life; how long the node had been silent before.
    pub fn hear(&mut self, node: &str, now: Moment) -> Duration {
        let before = self.heard.insert(node.to_owned(), now);
        before.map_or(Duration::ZERO, |before| now.saturating_sub(before))
    }

    /// The node's Lease is this now; `None`: there is none.
    pub fn lease(&mut self, node: &str, seen: Option<ObjectMeta>) {
        match seen {
            Some(seen) => drop(self.leases.insert(node.to_owned(), seen)),
            None => drop(self.leases.remove(node)),
        }
    }

    pub fn lease_of(&self, node: &str) -> Option<ObjectMeta> {
        self.leases.get(node).cloned()
    }

    pub fn forget(&mut self, node: &str) {
        self.heard.remove(node);
    }

    /// How long a registered node has given no sign of life, as far as this process can tell.
    pub fn silent_for(&self, node: &str, now: Moment) -> Duration {
        let heard = self.heard.get(node).copied().unwrap_or_default();
        now.saturating_sub(heard.max(self.since))
    }

    /// How long Pods have been seen on a node that isn't registered.
    pub fn absent_for(&mut self, node: &str, now: Moment) -> Duration {
        let since = *self.absent.entry(node.to_owned()).or_insert(now);
        now.saturating_sub(since)
    }

    /// It is registered, or no Pod is on it.
    pub fn not_absent(&mut self, node: &str) {
        self.absent.remove(node);
    }

    /// Most nodes are silent: whose fault that is nobody knows.
    pub fn freeze(&mut self, now: Moment) {
        self.frozen = now;
    }

    /// How long it was not so.
    pub fn trusted_for(&self, now: Moment) -> Duration {
        now.saturating_sub(self.frozen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    #[test]
    fn silence_is_counted_from_what_could_have_been_heard() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.hear("n", at(5)), at(0));
        assert_eq!(clocks.hear("n", at(15)), at(10));
        assert_eq!(clocks.silent_for("n", at(75)), at(60));
        clocks.begin(at(70));
        assert_eq!(clocks.silent_for("n", at(75)), at(5), "a new leader");
        assert_eq!(clocks.silent_for("never heard", at(75)), at(5));
    }

    #[test]
    fn a_process_that_was_stopped_starts_its_clocks_anew() {
        let mut clocks = Clocks::default();
        for second in 0..=20 {
            clocks.wake(at(second));
        }
        clocks.hear("n", at(12));
        assert_eq!(clocks.absent_for("gone", at(12)), at(0));
        assert_eq!(clocks.absent_for("gone", at(20)), at(8));
        clocks.wake(at(30));
        assert_eq!(clocks.silent_for("n", at(30)), at(18), "late by no more than a busy machine is");
        clocks.wake(at(90));
        assert_eq!(clocks.silent_for("n", at(91)), at(1));
        assert_eq!(clocks.absent_for("gone", at(91)), at(0));
    }
}
