//! When leases end. Only the leader's clock counts, and even it decides nothing by itself: what it finds expired
//! it proposes to revoke, so that every member ends a lease at the same place of the log.
//!
//! Deadlines are not replicated. A new leader gives every lease its whole TTL anew (or what a checkpoint left of
//! it): a lease may live longer than granted, never shorter.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::etcdserverpb::{AlarmType, LeaseCheckpoint, LeaseCheckpointRequest};
use proto::raftsman_store_v1::LeaseRevoke;
use proto::raftsman_store_v1::command::Change;
use tokio::time::Instant;
use tonic::Status;

use crate::machine::Shared;
use crate::metrics::Metrics;
use crate::raft::{Leadership, Node, ReadError};
use crate::services::status;

/// How often expired leases are looked for; etcd's interval.
const TICK: Duration = Duration::from_millis(500);
/// Leases revoked, or noted, by one proposal; etcd's number.
const BATCH_MAX: usize = 1000;
/// How often it is noted what long leases have left; etcd's interval.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);

/// The clock of all leases.
pub struct LeaseClock {
    shared: Arc<Shared>,
    counting: Mutex<Counting>,
    /// Held alone while checkpoints are on their way into the log, so that no renewal is overtaken by one that was
    /// computed before it.
    checkpoints: tokio::sync::RwLock<()>,
    metrics: Metrics,
}

/// What is counted, in one term of this member as leader.
#[derive(Debug, Default)]
struct Counting {
    /// `None` while another leads.
    term: Option<u64>,
    deadlines: HashMap<i64, Deadline>,
    /// Leases of which a checkpoint may come out of the log yet, for its proposal had no answer.
    doubtful: HashSet<i64>,
    /// When what leases have left was last noted in the log.
    checkpointed: Option<Instant>,
}

/// When a lease ends.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Deadline {
    at: Instant,
    /// Which lease it is: an id can be granted anew once its lease is gone.
    granted: u64,
}

impl LeaseClock {
    /// A clock for the leases of `shared`; `run` makes it tick.
    pub fn new(shared: Arc<Shared>, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { shared, counting: Mutex::default(), checkpoints: Default::default(), metrics })
    }

    /// Gives leases their whole TTL anew and answers it for each (seconds); 0 if there is no such lease, or it has
    /// run out and is about to be revoked. Only the leader can: that it leads is confirmed after the renewal, so
    /// that a later leader, which gives every lease its whole TTL, began later.
    pub async fn renew(&self, node: &Node, ids: &[i64]) -> Result<Vec<i64>, Status> {
        // As etcd's leader: who was told of a grant or a revocation, maybe by another member, must find it here.
        node.read_barrier().await.map_err(status::read)?;
        let no_leader = || status::read(ReadError::NoLeader);
        let term = self.counting.lock().term.ok_or_else(no_leader)?;
        let renewed = {
            let _checkpoints = self.checkpoints.read().await;
            let void = self.checkpointed(ids);
            if !void.is_empty() {
                // What a lease had left must not count for a later leader.
                let request = LeaseCheckpointRequest { checkpoints: void };
                node.propose_in(term, Change::LeaseCheckpoint(request)).await.map_err(status::propose)?;
                let mut counting = self.counting.lock();
                counting.doubtful.retain(|id| !ids.contains(id));
            }
            self.renew_all(ids, Instant::now).ok_or_else(no_leader)?
        };
        node.confirm_leadership().await.map_err(status::read)?;
        Ok(renewed)
    }

    /// The checkpoints that void those of `ids`.
    fn checkpointed(&self, ids: &[i64]) -> Vec<LeaseCheckpoint> {
        let leases = self.shared.leases.read();
        let counting = self.counting.lock();
        let noted = |id: &&i64| {
            let terms = leases.terms(**id);
            terms.is_some_and(|terms| terms.remaining_ttl_seconds != 0 || counting.doubtful.contains(*id))
        };
        ids.iter().filter(noted).map(|id| LeaseCheckpoint { id: *id, remaining_ttl: 0 }).collect()
    }

    /// The clock is read once nothing has to be waited for: what a tick found over stays over.
    fn renew_all(&self, ids: &[i64], clock: impl FnOnce() -> Instant) -> Option<Vec<i64>> {
        let leases = self.shared.leases.read();
        let mut counting = self.counting.lock();
        let now = clock();
        counting.term?;
        let renewed = ids.iter().map(|id| {
            let Some(terms) = leases.terms(*id) else { return 0 };
            let granted = terms.granted_index;
            let over = |deadline: &Deadline| deadline.granted == granted && deadline.at <= now;
            if counting.deadlines.get(id).is_some_and(over) {
                return 0;
            }
            counting.deadlines.insert(*id, Deadline { at: now + seconds(terms.granted_ttl_seconds), granted });
            self.metrics.leases_renewed.inc();
            terms.granted_ttl_seconds
        });
        Some(renewed.collect())
    }

    /// Whole seconds that a lease has left; `None` where the clock has not seen it yet.
    pub fn remaining(&self, id: i64) -> Option<i64> {
        let granted = self.shared.leases.read().terms(id)?.granted_index;
        // That of an earlier lease of the id is forgotten with the next tick only.
        let deadline =
            self.counting.lock().deadlines.get(&id).copied().filter(|deadline| deadline.granted == granted)?;
        let left = deadline.at.saturating_duration_since(Instant::now());
        Some(left.as_secs() as i64)
    }

    /// All leases, those that end first before the others, as far as this member's clock can tell.
    pub fn by_end(&self) -> Vec<i64> {
        let leases = self.shared.leases.read();
        let counting = self.counting.lock();
        let now = Instant::now();
        let end = |id: i64, granted: u64, ttl: i64| {
            let counted = counting.deadlines.get(&id).filter(|deadline| deadline.granted == granted);
            counted.map_or(now + seconds(ttl), |deadline| deadline.at)
        };
        let mut ends: Vec<_> = leases
            .iter()
            .map(|(id, terms)| (end(id, terms.granted_index, terms.granted_ttl_seconds), terms.granted_index, id))
            .collect();
        drop((counting, leases));
        ends.sort_unstable();
        ends.into_iter().map(|(_, _, id)| id).collect()
    }

    /// Ticks for as long as it is polled.
    pub async fn run(&self, node: &Node) {
        let mut leadership = node.leadership();
        loop {
            let Leadership { term: now, leader } = *leadership.borrow_and_update();
            let led = (leader == Some(node.id())).then_some(now);
            if self.count_in(node, led).await
                && let Some(term) = led
                && !self.shared.group.read().alarmed(AlarmType::Corrupt)
            {
                self.propose(node, term, self.tick(Instant::now)).await;
            }
            // A new term begins at once, not at the next tick.
            match tokio::time::timeout(TICK, leadership.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(_)) => std::future::pending().await,
            }
        }
    }

    /// Won or lost: whatever was counted in another term is void. Answers whether there is a term to count in.
    async fn count_in(&self, node: &Node, term: Option<u64>) -> bool {
        if self.counting.lock().term == term {
            return term.is_some();
        }
        *self.counting.lock() = Counting::default();
        // What earlier leaders said of the leases must be applied first: a checkpoint that is void by now would end
        // a lease too early.
        if term.is_none() || node.read_barrier().await.is_err() {
            return false;
        }
        self.counting.lock().term = term;
        true
    }

    /// Proposes what is due, in this term only: a leader that was deposed without knowing must not have its say in
    /// the next one's.
    async fn propose(&self, node: &Node, term: u64, due: Due) {
        for ids in due.expired.chunks(BATCH_MAX) {
            let (ids, granted): (Vec<_>, Vec<_>) = ids.iter().copied().unzip();
            let expired = ids.len();
            let revoke = LeaseRevoke { ids, expired: true, granted };
            match node.propose_in(term, Change::LeaseRevoke(revoke)).await {
                Ok(_) => {
                    self.metrics.leases_expired.inc_by(expired as u64);
                }
                Err(error) => tracing::warn!("{expired} expired leases stay for now: {error}"),
            }
        }
        for checkpoints in due.checkpoints.chunks(BATCH_MAX) {
            let _alone = self.checkpoints.write().await;
            let checkpoints = self.still_due(checkpoints);
            if checkpoints.is_empty() {
                continue;
            }
            let request = LeaseCheckpointRequest { checkpoints: checkpoints.clone() };
            if let Err(error) = node.propose_in(term, Change::LeaseCheckpoint(request)).await {
                tracing::warn!("what {} leases have left is not noted for now: {error}", checkpoints.len());
                self.counting.lock().doubtful.extend(checkpoints.iter().map(|checkpoint| checkpoint.id));
            }
        }
    }

    /// Without those of leases that were renewed meanwhile.
    fn still_due(&self, checkpoints: &[(LeaseCheckpoint, Deadline)]) -> Vec<LeaseCheckpoint> {
        let counting = self.counting.lock();
        let due = checkpoints.iter().filter(|(noted, deadline)| counting.deadlines.get(&noted.id) == Some(deadline));
        due.map(|(checkpoint, _)| *checkpoint).collect()
    }

    /// Notes leases that are new to the clock, forgets those that are gone, and answers what is due.
    fn tick(&self, clock: impl FnOnce() -> Instant) -> Due {
        let leases = self.shared.leases.read();
        let mut counting = self.counting.lock();
        let now = clock();
        let checkpointed = counting.checkpointed.get_or_insert(now);
        let checkpoint = now.saturating_duration_since(*checkpointed) >= CHECKPOINT_INTERVAL;
        if checkpoint {
            *checkpointed = now;
        }
        let deadlines = &mut counting.deadlines;
        deadlines.retain(|id, deadline| leases.terms(*id).is_some_and(|terms| terms.granted_index == deadline.granted));
        let mut due = Due::default();
        for (id, terms) in leases.iter() {
            let ttl = match terms.remaining_ttl_seconds {
                0 => terms.granted_ttl_seconds,
                remaining => remaining,
            };
            let granted = terms.granted_index;
            let deadline = *deadlines.entry(id).or_insert_with(|| Deadline { at: now + seconds(ttl), granted });
            let left = deadline.at.saturating_duration_since(now);
            if left.is_zero() {
                due.expired.push((id, granted));
            } else if checkpoint && seconds(terms.granted_ttl_seconds) > CHECKPOINT_INTERVAL {
                // Rounded up: rather too long than too short, and never 0, which means the whole TTL.
                due.checkpoints.push((LeaseCheckpoint { id, remaining_ttl: left.as_secs() as i64 + 1 }, deadline));
            }
        }
        due
    }
}

/// What the leader has to propose.
#[derive(Debug, Default, PartialEq)]
struct Due {
    /// Leases that have run out, and the index at which each was granted.
    expired: Vec<(i64, u64)>,
    /// What long leases have left, so that a change of leader does not give them all of it anew; as long as they have
    /// the same deadline.
    checkpoints: Vec<(LeaseCheckpoint, Deadline)>,
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::raftsman_store_v1 as pb;

    fn clock(leases: &[(i64, i64, i64)]) -> Arc<LeaseClock> {
        let shared = Arc::new(Shared::default());
        for (id, granted, remaining) in leases {
            let terms =
                pb::Lease { granted_ttl_seconds: *granted, remaining_ttl_seconds: *remaining, granted_index: 5 };
            shared.leases.write().set(*id, terms);
        }
        let clock = LeaseClock::new(shared, Metrics::default());
        clock.counting.lock().term = Some(1);
        clock
    }

    #[test]
    fn a_lease_ends_after_its_ttl_and_renewals_put_that_off() {
        let clock = clock(&[(1, 10, 0), (2, 10, 0)]);
        let start = Instant::now();
        assert_eq!(clock.tick(|| start), Due::default());
        let later = start + Duration::from_secs(9);
        assert_eq!(clock.renew_all(&[2, 3], || later), Some(vec![10, 0]));
        let after = start + Duration::from_secs(10);
        assert_eq!(clock.tick(|| after).expired, vec![(1, 5)]);
        // What is about to be revoked is not renewed any more.
        assert_eq!(clock.renew_all(&[1, 2], || after), Some(vec![0, 10]));
        assert_eq!(clock.tick(|| later + Duration::from_secs(10)).expired, vec![(1, 5)]);
    }

    /// Else a renewal that waited for a lock could revive what a tick found over meanwhile.
    #[test]
    fn the_time_is_taken_when_nothing_else_can_come_between() {
        let clock = clock(&[(1, 10, 0)]);
        let alone = || {
            assert!(clock.counting.try_lock().is_none() && clock.shared.leases.try_write().is_none());
            Instant::now()
        };
        clock.tick(alone);
        assert_eq!(clock.renew_all(&[1], alone), Some(vec![10]));
    }

    #[test]
    fn a_new_leader_gives_what_a_checkpoint_left_else_the_whole_ttl() {
        let clock = clock(&[(1, 1000, 100), (2, 1000, 0)]);
        let start = Instant::now();
        clock.tick(|| start);
        assert_eq!(clock.tick(|| start + Duration::from_secs(100)).expired, vec![(1, 5)]);
        assert_eq!(clock.tick(|| start + Duration::from_secs(1000)).expired, vec![(1, 5), (2, 5)]);
    }

    #[test]
    fn long_leases_are_checkpointed_now_and_then() {
        let clock = clock(&[(1, 10_000, 0), (2, 60, 0)]);
        let start = Instant::now();
        clock.tick(|| start);
        assert_eq!(clock.tick(|| start + CHECKPOINT_INTERVAL / 2).checkpoints, vec![]);
        clock.renew_all(&[2], || start + CHECKPOINT_INTERVAL - Duration::from_secs(1));
        let due = clock.tick(|| start + CHECKPOINT_INTERVAL);
        let left = 10_000 - CHECKPOINT_INTERVAL.as_secs() as i64 + 1;
        assert_eq!(clock.still_due(&due.checkpoints), vec![LeaseCheckpoint { id: 1, remaining_ttl: left }]);
        // A renewal makes what was found out void.
        clock.renew_all(&[1], || start + CHECKPOINT_INTERVAL);
        assert_eq!(clock.still_due(&due.checkpoints), vec![]);
        assert_eq!(clock.tick(|| start + CHECKPOINT_INTERVAL + TICK).checkpoints, vec![]);
    }

    #[test]
    fn a_lease_granted_anew_has_a_deadline_of_its_own() {
        let clock = clock(&[(1, 10, 0)]);
        let start = Instant::now();
        clock.tick(|| start);
        let over = start + Duration::from_secs(10);
        assert_eq!(clock.tick(|| over).expired, vec![(1, 5)]);
        let anew = pb::Lease { granted_ttl_seconds: 60, remaining_ttl_seconds: 0, granted_index: 9 };
        clock.shared.leases.write().set(1, anew);
        assert_eq!(clock.remaining(1), None, "what the earlier one had left is not the new one's");
        assert_eq!(clock.renew_all(&[1], || over), Some(vec![60]));
        clock.counting.lock().deadlines.insert(1, Deadline { at: over, granted: 5 });
        assert_eq!(clock.tick(|| over).expired, vec![]);
        assert_eq!(clock.tick(|| over + Duration::from_secs(60)).expired, vec![(1, 9)]);
    }

    #[test]
    fn leases_are_listed_by_their_ends() {
        let clock = clock(&[(1, 30, 0), (2, 10, 0), (3, 12, 0)]);
        assert_eq!(clock.by_end(), vec![2, 3, 1]);
        clock.tick(Instant::now);
        clock.renew_all(&[2], || Instant::now() + Duration::from_secs(5));
        assert_eq!(clock.by_end(), vec![3, 2, 1]);
    }

    #[test]
    fn a_checkpoint_whose_outcome_is_unknown_is_voided_by_a_renewal() {
        let clock = clock(&[(1, 1000, 0)]);
        assert_eq!(clock.checkpointed(&[1]), vec![]);
        clock.counting.lock().doubtful.insert(1);
        assert_eq!(clock.checkpointed(&[1]), vec![LeaseCheckpoint { id: 1, remaining_ttl: 0 }]);
    }

    #[test]
    fn only_the_leader_renews() {
        let clock = clock(&[(1, 10, 0)]);
        *clock.counting.lock() = Counting::default();
        assert_eq!(clock.renew_all(&[1], Instant::now), None);
    }
}
