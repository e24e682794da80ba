//! The queue's rules as a value: who is due when. No clock, no waiting.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Beyond so many remembered takes, those too old to pace anything are dropped.
const TAKEN_MAX: usize = 10_000;
/// No pacing interval is longer than this.
const PACE_MAX: Duration = Duration::from_secs(10);

pub(super) struct Schedule<K> {
    backoff_min: Duration,
    backoff_max: Duration,
    /// Ordered by due time, then by key, so that equal times are fair and reproducible.
    order: BTreeSet<(Instant, K)>,
    /// The due time of each key of `order`.
    waiting: HashMap<K, Instant>,
    /// Taken and not done.
    running: HashMap<K, Running>,
    failures: HashMap<K, u32>,
    /// When each key was last taken, for pacing.
    taken: HashMap<K, Instant>,
    closed: bool,
}

/// A key that was taken.
struct Running {
    since: Instant,
    /// The due time at which it was added meanwhile.
    again: Option<Instant>,
}

/// A key that was due.
#[derive(Debug)]
pub(super) struct Taken<K> {
    pub key: K,
    pub due: Instant,
}

impl<K: Clone + Eq + Hash + Ord + Debug> Schedule<K> {
    pub(super) fn new(backoff_min: Duration, backoff_max: Duration) -> Self {
        Schedule {
            backoff_min,
            backoff_max,
            order: BTreeSet::new(),
            waiting: HashMap::new(),
            running: HashMap::new(),
            failures: HashMap::new(),
            taken: HashMap::new(),
            closed: false,
        }
    }

    pub(super) fn add(&mut self, key: K, due: Instant) {
        if let Some(running) = self.running.get_mut(&key) {
            running.again = Some(running.again.map_or(due, |earlier| earlier.min(due)));
            return;
        }
        match self.waiting.get(&key) {
            Some(earlier) if *earlier <= due => return,
            Some(later) => {
                self.order.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.waiting.insert(key.clone(), due);
        self.order.insert((due, key));
    }

    pub(super) fn add_paced(&mut self, key: K, now: Instant, interval: Duration) {
        let due = self.taken.get(&key).map_or(now, |last| now.max(*last + interval.min(PACE_MAX)));
        self.add(key, due);
    }

    pub(super) fn add_backoff(&mut self, key: K, now: Instant) {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let delay = self.backoff_min.saturating_mul(1 << (*failures).min(20)).min(self.backoff_max);
        *failures = failures.saturating_add(1);
        self.add(key, now + delay);
    }

    pub(super) fn forget(&mut self, key: &K) {
        self.failures.remove(key);
    }

    pub(super) fn take_ready(&mut self, now: Instant, max: usize) -> Vec<Taken<K>> {
        let mut taken = Vec::new();
        while taken.len() < max {
            match self.order.first() {
                Some((due, _)) if *due <= now => {}
                _ => break,
            }
            let (due, key) = self.order.pop_first().expect("first() was Some");
            self.waiting.remove(&key);
            self.running.insert(key.clone(), Running { since: now, again: None });
            self.taken.insert(key.clone(), now);
            taken.push(Taken { key, due });
        }
        if self.taken.len() > TAKEN_MAX {
            self.taken.retain(|_, at| now.duration_since(*at) < PACE_MAX);
        }
        taken
    }

    /// Answers since when it ran; `None` for a key that does not run.
    pub(super) fn done(&mut self, key: &K) -> Option<Instant> {
        let running = self.running.remove(key)?;
        if let Some(due) = running.again {
            self.add(key.clone(), due);
        }
        Some(running.since)
    }

    /// How many keys are due.
    pub(super) fn due(&self, now: Instant) -> usize {
        self.order.iter().take_while(|(due, _)| *due <= now).count()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.order.first().map(|(due, _)| *due)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> (Schedule<&'static str>, Instant) {
        (Schedule::new(Duration::from_millis(50), Duration::from_secs(60)), Instant::now())
    }

    fn take(schedule: &mut Schedule<&'static str>, now: Instant, max: usize) -> Vec<&'static str> {
        schedule.take_ready(now, max).into_iter().map(|taken| taken.key).collect()
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_earlier_of_two_due_times_wins() {
        let (mut schedule, now) = schedule();
        schedule.add("a", now + seconds(9));
        schedule.add("a", now + seconds(3));
        schedule.add("a", now + seconds(7));
        assert_eq!(schedule.next_due(), Some(now + seconds(3)));
        assert_eq!((schedule.due(now + seconds(2)), schedule.due(now + seconds(3))), (0, 1));
        assert_eq!(take(&mut schedule, now + seconds(3), 5), vec!["a"]);
        assert_eq!(take(&mut schedule, now + seconds(10), 5), Vec::<&str>::new());
    }

    #[test]
    fn what_is_added_to_a_running_key_waits_for_done() {
        let (mut schedule, now) = schedule();
        schedule.add("a", now);
        assert_eq!(take(&mut schedule, now, 1), vec!["a"]);
        schedule.add("a", now + seconds(5));
        schedule.add("a", now + seconds(1));
        assert_eq!(take(&mut schedule, now + seconds(9), 1), Vec::<&str>::new());
        assert_eq!(schedule.done(&"a"), Some(now));
        assert_eq!(schedule.next_due(), Some(now + seconds(1)));
        assert_eq!(schedule.done(&"a"), None);
    }

    #[test]
    fn pacing_delays_only_what_was_taken_lately() {
        let (mut schedule, now) = schedule();
        schedule.add_paced("a", now, seconds(1));
        assert_eq!(take(&mut schedule, now, 1), vec!["a"]);
        schedule.done(&"a");
        schedule.add_paced("a", now, seconds(1));
        assert_eq!(schedule.next_due(), Some(now + seconds(1)));
        schedule.take_ready(now + seconds(1), 1);
        schedule.done(&"a");
        schedule.add_paced("a", now + seconds(30), seconds(1));
        assert_eq!(schedule.next_due(), Some(now + seconds(30)));
    }

    #[test]
    fn backoff_doubles_to_its_limit_and_forgets() {
        let (mut schedule, now) = schedule();
        let mut delays = Vec::new();
        for _ in 0..13 {
            schedule.add_backoff("a", now);
            delays.push(schedule.next_due().unwrap() - now);
            schedule.take_ready(now + seconds(3600), 1);
            schedule.done(&"a");
        }
        assert_eq!(delays[0], Duration::from_millis(50));
        assert_eq!(delays[3], Duration::from_millis(400));
        assert_eq!(delays[12], seconds(60));
        schedule.forget(&"a");
        schedule.add_backoff("a", now);
        assert_eq!(schedule.next_due(), Some(now + Duration::from_millis(50)));
    }

    #[test]
    fn takes_no_more_than_asked_in_due_order() {
        let (mut schedule, now) = schedule();
        for (key, due) in [("c", 3), ("a", 1), ("b", 2)] {
            schedule.add(key, now + seconds(due));
        }
        assert_eq!(take(&mut schedule, now + seconds(9), 2), vec!["a", "b"]);
        assert_eq!(schedule.len(), 3);
    }
}
