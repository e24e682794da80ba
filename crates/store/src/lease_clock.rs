//! When leases end. Only the leader's clock counts, and even it decides nothing by itself: what it finds expired
//! it proposes to revoke, so that every member ends a lease at the same place of the log.
//!
//! Deadlines are not replicated. A new leader gives every lease its whole TTL anew (or what a checkpoint left of
//! it): a lease may live longer than granted, never shorter.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::raftsman_store_v1::LeaseRevoke;
use proto::raftsman_store_v1::command::Change;
use tokio::time::Instant;

use crate::machine::Shared;
use crate::raft::{Leadership, Node};

/// How often expired leases are looked for; etcd's interval.
const TICK: Duration = Duration::from_millis(500);
/// Leases revoked by one proposal.
const REVOKE_MAX: usize = 1000;

/// The clock of all leases.
pub struct LeaseClock {
    shared: Arc<Shared>,
    deadlines: Mutex<HashMap<i64, Instant>>,
}

impl LeaseClock {
    /// A clock for the leases of `shared`; `run` makes it tick.
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { shared, deadlines: Mutex::default() })
    }

    /// Gives a lease its whole TTL anew and answers that (seconds); `None` if there is no such lease, or it has
    /// run out and is about to be revoked.
    pub fn renew(&self, id: i64) -> Option<i64> {
        let leases = self.shared.leases.read();
        let ttl = leases.terms(id)?.granted_ttl_seconds;
        let now = Instant::now();
        let mut deadlines = self.deadlines.lock();
        if deadlines.get(&id).is_some_and(|deadline| *deadline <= now) {
            return None;
        }
        deadlines.insert(id, now + seconds(ttl));
        Some(ttl)
    }

    /// Seconds that a lease has left, rounded up; `None` where the clock has not seen it yet.
    pub fn remaining(&self, id: i64) -> Option<i64> {
        let deadline = *self.deadlines.lock().get(&id)?;
        let left = deadline.saturating_duration_since(Instant::now());
        Some(left.as_secs_f64().ceil() as i64)
    }

    /// Ticks for as long as it is polled.
    pub async fn run(&self, node: &Node) {
        let mut term = None;
        let mut leadership = node.leadership();
        loop {
            let Leadership { term: now, leader } = *leadership.borrow_and_update();
            let led = (leader == Some(node.id())).then_some(now);
            if led != term {
                // Won or lost: whatever was counted under another term is void.
                self.deadlines.lock().clear();
                term = led;
            }
            if led.is_some() {
                let expired = self.tick(Instant::now());
                for ids in expired.chunks(REVOKE_MAX) {
                    let revoke = LeaseRevoke { ids: ids.to_vec(), expired: true };
                    if let Err(error) = node.propose(Change::LeaseRevoke(revoke)).await {
                        tracing::warn!("{} expired leases stay for now: {error}", ids.len());
                    }
                }
            }
            // A new term begins at once, not at the next tick.
            match tokio::time::timeout(TICK, leadership.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(_)) => std::future::pending().await,
            }
        }
    }

    /// Notes leases that are new to the clock, forgets those that are gone, and answers those that have run out.
    fn tick(&self, now: Instant) -> Vec<i64> {
        let leases = self.shared.leases.read();
        let mut deadlines = self.deadlines.lock();
        deadlines.retain(|id, _| leases.exists(*id));
        let mut expired = Vec::new();
        for (id, terms) in leases.iter() {
            let ttl = match terms.remaining_ttl_seconds {
                0 => terms.granted_ttl_seconds,
                remaining => remaining,
            };
            let deadline = deadlines.entry(id).or_insert_with(|| now + seconds(ttl));
            if *deadline <= now {
                expired.push(id);
            }
        }
        expired
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.max(0) as u64)
}
