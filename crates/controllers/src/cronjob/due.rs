//! Which time of a schedule is due now, if any.
//!
//! ```text
//!   last start         deadline's edge        now
//!   ----|-----x-----x-------|-----x------------|----x---->     x: times of the schedule
//!             missed, too late    due                next
//! ```
//!
//! Of all times that have passed since the last start only the latest is ever started; those before it are skipped. It
//! is started only if it lies within `startingDeadlineSeconds`.

use api::schedule::Schedule;
use chrono::{DateTime, TimeDelta, Utc};

/// Kubernetes warns from here on.
const MISSED_MANY: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The time to start now.
    pub at: Option<DateTime<Utc>>,
    /// The latest time has passed, but longer ago than the deadline allows.
    pub too_late: Option<DateTime<Utc>>,
    /// More than a hundred times have passed within the deadline.
    pub missed_many: bool,
    /// The first time after now.
    pub next: Option<DateTime<Utc>>,
}

/// `since`: the last start, or the creation of the CronJob.
pub fn due(schedule: &Schedule, since: DateTime<Utc>, deadline_seconds: Option<i64>, now: DateTime<Utc>) -> Due {
    let next = schedule.next_after(now);
    let edge = deadline_seconds.and_then(TimeDelta::try_seconds).and_then(|deadline| now.checked_sub_signed(deadline));
    // Times are looked for after `from`, and one at the edge is in time.
    let before = edge.and_then(|edge| edge.checked_sub_signed(TimeDelta::milliseconds(1)));
    let from = before.map_or(since, |before| since.max(before));
    match schedule.missed(from, now) {
        Some(missed) => Due { at: Some(missed.latest), too_late: None, missed_many: missed.count > MISSED_MANY, next },
        None => {
            let too_late = if from > since { schedule.missed(since, from).map(|missed| missed.latest) } else { None };
            Due { at: None, too_late, missed_many: false, next }
        }
    }
}
