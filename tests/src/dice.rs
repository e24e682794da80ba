//! A sequence that looks random and can be had again from its seed.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub struct Dice(u64);

impl Dice {
    /// A seed of this moment, or that of RAFTSMAN_SEED; it is printed, so that a run can be had again.
    pub fn thrown() -> Dice {
        let given = std::env::var("RAFTSMAN_SEED").ok().and_then(|seed| seed.parse().ok());
        let moment = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
        let seed = given.unwrap_or_else(moment);
        println!("RAFTSMAN_SEED={seed}");
        Dice(seed)
    }

    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below.max(1)
    }

    pub fn millis(&mut self, between: Range<u64>) -> Duration {
        Duration::from_millis(between.start + self.roll(between.end - between.start))
    }
}

/// How many rounds a test shall have: the number in an environment variable, else the one that `make test` can afford.
pub fn rounds(variable: &str, otherwise: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => otherwise,
    }
}
