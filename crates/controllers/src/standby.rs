//! What a controller does while another process leads: it remembers which keys have changed, so that it knows what to look at
//! when it takes over, and keeps that memory small.
//!
//! Keys of objects that were made, handled and deleted under the leader would pile up for ever. So when there are many, the
//! controller decides on each of them, without acting, and forgets those that call for nothing, now or later.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use client::WorkQueue;

use crate::driver::{self, Controller};

/// Keys that are remembered without a second thought.
const KEYS_MIN: usize = 10_000;
/// Keys that are taken from the queue at once.
const BATCH_MAX: usize = 1_000;

pub struct Standby {
    keys: HashSet<String>,
    /// So many keys, and they are gone through.
    review_at: usize,
}

impl Default for Standby {
    fn default() -> Self {
        Self { keys: HashSet::new(), review_at: KEYS_MIN }
    }
}

impl Standby {
    /// Empties the queue into memory until it is closed; the caller drops this when it takes over.
    pub async fn watch(&mut self, controller: &dyn Controller, queue: &WorkQueue<String>) {
        while let Some(keys) = queue.take_ready(BATCH_MAX).await {
            for key in keys {
                queue.forget(&key);
                queue.done(&key);
                self.keys.insert(key);
            }
            if self.keys.len() >= self.review_at {
                self.review(controller, Utc::now());
            }
        }
    }

    /// Gives everything back to the queue: this process leads now.
    pub fn take_over(&mut self, queue: &WorkQueue<String>) {
        self.keys.drain().for_each(|key| queue.add(key));
        self.review_at = KEYS_MIN;
    }

    fn review(&mut self, controller: &dyn Controller, now: DateTime<Utc>) {
        self.keys.retain(|key| {
            // One that can't be decided on is kept.
            let plan = driver::decide_on(controller, key, now);
            plan.is_none_or(|plan| !plan.writes.is_empty() || plan.requeue_after.is_some())
        });
        self.review_at = (self.keys.len() * 2).max(KEYS_MIN);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::Plan;

    /// Wants to look again at keys that begin with `later`, and nothing else.
    struct Later;

    impl Controller for Later {
        fn name(&self) -> &'static str {
            "later"
        }

        fn plan(&self, key: &str, _now: DateTime<Utc>) -> Plan {
            let requeue_after = key.starts_with("later").then_some(Duration::from_secs(60));
            Plan { requeue_after, ..Plan::nothing("a test") }
        }
    }

    #[tokio::test]
    async fn it_remembers_what_may_matter_and_gives_it_back() {
        let queue = WorkQueue::new();
        for index in 0..KEYS_MIN - 1 {
            queue.add(format!("gone/{index}"));
        }
        queue.add("later/a".to_owned());
        let mut standby = Standby::default();
        let watched = tokio::time::timeout(Duration::from_secs(2), standby.watch(&Later, &queue)).await;
        assert!(watched.is_err(), "it watches for ever");
        assert_eq!(standby.keys, HashSet::from(["later/a".to_owned()]));
        assert!(queue.is_empty());
        standby.take_over(&queue);
        assert_eq!(queue.take_ready(10).await, Some(vec!["later/a".to_owned()]));
    }
}
