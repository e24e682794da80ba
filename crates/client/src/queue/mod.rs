//! The work queue: keys that wait for reconcile.
//!
//! ```text
//!   add, add_after, add_paced, add_backoff          take_ready(max)            done(key)
//!              |                                          |                       |
//!              v                                          v                       v
//!        +-----------+   due time reached   +-----------------------+   added meanwhile: waits again
//!        |  waiting  | -------------------> |  running (exclusive)  | --------------------------+
//!        +-----------+                      +-----------------------+                           |
//!              ^                                                                                |
//!              +--------------------------------------------------------------------------------+
//! ```
//!
//! A key is in the queue at most once: of two due times the earlier wins. A key that runs is never handed out a second
//! time before [`WorkQueue::done`]; what is added meanwhile waits for that. A wake-up carries no information but the key:
//! whoever takes it looks at the state of the world, never at an event.
//!
//! The rules are in [`schedule`], which is pure (the time is an argument); this file adds the clock and the waiting.

mod metrics;
mod schedule;

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use metrics::Measured;
pub use metrics::QueueMetrics;
use schedule::Schedule;

/// First delay of [`WorkQueue::add_backoff`]; doubles with each failure.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest delay of [`WorkQueue::add_backoff`].
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// No key waits longer than this, whatever is asked for: it is looked at then, and waits anew. Users may ask for times that no
/// clock can hold.
pub const DELAY_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A cloneable handle; all clones are the same queue.
pub struct WorkQueue<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    // A plain mutex: every hold is a few map operations and never crosses an await.
    schedule: Mutex<Schedule<K>>,
    // Told when the earliest due time may have moved forward, and at shutdown.
    changed: Notify,
    measured: Option<Measured>,
}

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        WorkQueue { shared: self.shared.clone() }
    }
}

impl<K: Clone + Eq + Hash + Ord + Debug> Default for WorkQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash + Ord + Debug> WorkQueue<K> {
    pub fn new() -> Self {
        let schedule = Mutex::new(Schedule::new(BACKOFF_MIN, BACKOFF_MAX));
        WorkQueue { shared: Arc::new(Shared { schedule, changed: Notify::new(), measured: None }) }
    }

    /// A queue whose metrics carry this name.
    pub fn measured(name: &'static str, metrics: &QueueMetrics) -> Self
    where
        K: Send + 'static,
    {
        let shared = Arc::new_cyclic(|queue: &Weak<Shared<K>>| {
            let queue = queue.clone();
            let due = move || queue.upgrade().map(|queue| queue.schedule.lock().due(Instant::now()));
            let schedule = Mutex::new(Schedule::new(BACKOFF_MIN, BACKOFF_MAX));
            Shared { schedule, changed: Notify::new(), measured: Some(metrics.of(name, Box::new(due))) }
        });
        WorkQueue { shared }
    }

    /// Due now.
    pub fn add(&self, key: K) {
        self.measure(Measured::added);
        self.change(|schedule, now| schedule.add(key, now));
    }

    /// Due after `delay` (and not later than [`DELAY_MAX`]), unless it is already due earlier.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.measure(Measured::added);
        self.change(|schedule, now| schedule.add(key, now + delay.min(DELAY_MAX)));
    }

    /// Due now, but at least `interval` after it was last taken: what happens often (the Pods of a big Job) is looked at in
    /// batches, what happens once is looked at at once.
    pub fn add_paced(&self, key: K, interval: Duration) {
        self.measure(Measured::added);
        self.change(|schedule, now| schedule.add_paced(key, now, interval));
    }

    /// Due after a delay that doubles with each call until [`WorkQueue::forget`].
    pub fn add_backoff(&self, key: K) {
        self.measure(Measured::retried);
        self.change(|schedule, now| schedule.add_backoff(key, now));
    }

    /// The key succeeded: its next back-off starts small again.
    pub fn forget(&self, key: &K) {
        self.shared.schedule.lock().forget(key);
    }

    /// Waits until a key is due, and takes up to `max` that are. They run until [`WorkQueue::done`]. None after shutdown.
    pub async fn take_ready(&self, max: usize) -> Option<Vec<K>> {
        loop {
            let changed = self.shared.changed.notified();
            let next = {
                let mut schedule = self.shared.schedule.lock();
                if schedule.closed() {
                    return None;
                }
                let now = Instant::now();
                let taken = schedule.take_ready(now, max);
                if !taken.is_empty() {
                    drop(schedule);
                    taken.iter().for_each(|taken| self.measure(|measured| measured.taken(now - taken.due)));
                    // Another taker may find more.
                    self.shared.changed.notify_one();
                    return Some(taken.into_iter().map(|taken| taken.key).collect());
                }
                schedule.next_due()
            };
            match next {
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(due) => {}
                },
                None => changed.await,
            }
        }
    }

    /// Ends the run of a taken key; if it was added meanwhile, it waits again.
    pub fn done(&self, key: &K) {
        let mut ran = None;
        self.change(|schedule, now| ran = schedule.done(key).map(|since| now - since));
        if let Some(ran) = ran {
            self.measure(|measured| measured.done(ran));
        }
    }

    /// Ends every [`WorkQueue::take_ready`], now and later.
    pub fn close(&self) {
        self.shared.schedule.lock().close();
        self.shared.changed.notify_waiters();
        self.shared.changed.notify_one();
    }

    /// Keys that wait or run.
    pub fn len(&self) -> usize {
        self.shared.schedule.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn measure(&self, note: impl FnOnce(&Measured)) {
        if let Some(measured) = &self.shared.measured {
            note(measured);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Schedule<K>, Instant)) {
        let earlier = {
            let mut schedule = self.shared.schedule.lock();
            let before = schedule.next_due();
            change(&mut schedule, Instant::now());
            let after = schedule.next_due();
            after.is_some() && (before.is_none() || after < before)
        };
        // Takers sleep until the earliest due time, so only an earlier one concerns them.
        if earlier {
            self.shared.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn takes_in_due_order_and_excludes_a_running_key() {
        let queue = WorkQueue::new();
        // So late that no busy machine comes here only then.
        queue.add_after("late", Duration::from_secs(1));
        queue.add("now");
        assert_eq!(queue.take_ready(10).await, Some(vec!["now"]));
        queue.add("now");
        assert_eq!(queue.take_ready(10).await, Some(vec!["late"]));
        queue.done(&"now");
        assert_eq!(queue.take_ready(10).await, Some(vec!["now"]));
    }

    #[tokio::test]
    async fn an_add_wakes_a_sleeping_taker() {
        let queue = WorkQueue::new();
        let taker = tokio::spawn({
            let queue = queue.clone();
            async move { queue.take_ready(1).await }
        });
        tokio::task::yield_now().await;
        queue.add(1);
        assert_eq!(taker.await.unwrap(), Some(vec![1]));
    }

    #[tokio::test]
    async fn a_delay_that_no_clock_can_hold_is_a_month() {
        let queue = WorkQueue::new();
        queue.add_after("never", Duration::MAX);
        let due = queue.shared.schedule.lock().next_due().unwrap();
        assert!(due <= Instant::now() + DELAY_MAX);
        queue.add("now");
        assert_eq!(queue.take_ready(2).await, Some(vec!["now"]));
    }

    #[tokio::test]
    async fn what_happens_in_it_is_measured() {
        let mut registry = prometheus_client::registry::Registry::default();
        let queue = WorkQueue::measured("jobs", &QueueMetrics::register(&mut registry));
        queue.add("a");
        queue.add("b");
        queue.add_after("later", Duration::from_secs(60));
        queue.add_backoff("later");
        assert_eq!(queue.take_ready(1).await, Some(vec!["a"]));
        queue.done(&"a");
        let mut text = String::new();
        prometheus_client::encoding::prometheus_text::encode(&mut text, &registry).unwrap();
        for line in [
            "workqueue_depth{name=\"jobs\"} 1",
            "workqueue_adds_total{name=\"jobs\"} 3",
            "workqueue_retries_total{name=\"jobs\"} 1",
            "workqueue_queue_duration_seconds_count{name=\"jobs\"} 1",
            "workqueue_work_duration_seconds_count{name=\"jobs\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[tokio::test]
    async fn close_ends_takers() {
        let queue = WorkQueue::<u8>::new();
        let taker = tokio::spawn({
            let queue = queue.clone();
            async move { queue.take_ready(1).await }
        });
        tokio::task::yield_now().await;
        queue.close();
        assert_eq!(taker.await.unwrap(), None);
    }
}
