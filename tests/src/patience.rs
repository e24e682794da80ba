//! Waiting for what must become true, with a limit and a last word about what was seen.

use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks until `look` answers Ok, and returns that. After `limit`, panics with what was last seen.
#[track_caller]
pub fn eventually<T>(limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if begun.elapsed() > limit => panic!("after {limit:?} still: {seen}"),
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
