//! How long a Job waits before it replaces a failed Pod.
//!
//! 10 s after the first failure, doubled by each further one since the last success, at most 10 minutes; counted from the end of
//! the last Pod that failed. Unlike Kubernetes, which keeps this in its memory, it is read from the Pods: a new leader goes on
//! with it.

use std::time::Duration;

use api::time::Instant;

const FIRST: Duration = Duration::from_secs(10);
const MAX: Duration = Duration::from_secs(600);

/// What is left of the wait; None: replace now.
pub(super) fn remaining(failures: usize, last_failure: Option<Instant>, now: Instant) -> Option<Duration> {
    let end = last_failure.filter(|_| failures > 0)?;
    let doublings = u32::try_from(failures - 1).unwrap_or(u32::MAX).min(16);
    let delay = FIRST.saturating_mul(1 << doublings).min(MAX);
    let waited = (now - end).to_std().unwrap_or_default();
    delay.checked_sub(waited).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta};

    #[test]
    fn doubles_from_ten_seconds_to_ten_minutes() {
        let end = DateTime::UNIX_EPOCH;
        let seconds = |failures| remaining(failures, Some(end), end).map(|left| left.as_secs());
        assert_eq!(seconds(0), None);
        assert_eq!([1, 2, 3, 4].map(seconds), [Some(10), Some(20), Some(40), Some(80)]);
        assert_eq!([7, 8, usize::MAX].map(seconds), [Some(600), Some(600), Some(600)]);
    }

    #[test]
    fn counts_from_the_end_of_the_last_failure() {
        let end = DateTime::UNIX_EPOCH;
        assert_eq!(remaining(1, Some(end), end + TimeDelta::seconds(4)), Some(Duration::from_secs(6)));
        assert_eq!(remaining(1, Some(end), end + TimeDelta::seconds(10)), None);
        assert_eq!(remaining(3, None, end), None);
    }
}
