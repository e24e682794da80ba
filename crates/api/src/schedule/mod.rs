//! When a CronJob fires: crontab(5) text, a time zone, and the instants that they name (design D11).
//!
//! ```text
//! "30 2 * * 1-5" --crontab.rs--> sets of minutes, hours, ... --cron crate, UTC--> next wall-clock time
//!                                                            --clock.rs, zone--> the instant of that wall-clock time
//!
//! Europe/Berlin, 2026-03-29: 02:00 -> 03:00                2026-10-25: 03:00 -> 02:00
//!   30 2 * * *    once, right after the jump (03:00)         once, the first 02:30
//!   */30 * * * *  01:30, 03:00: real time                    02:00, 02:30, 02:00, 02:30: real time
//! ```
//!
//! The rule for clock changes is crontab's: a schedule whose minute or hour begins with `*` follows real time, any other
//! names fixed times, each of which is run once: not lost where the clock skips it, not doubled where it comes twice.

mod clock;
mod crontab;

use chrono::TimeDelta;
use chrono_tz::Tz;

use crate::time::Instant;
use crontab::Crontab;

/// Missed times are counted up to this; beyond, it is "too many".
pub const MISSED_CAP: usize = 101;

/// A parsed schedule in its time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    rule: Rule,
    zone: Tz,
}

#[derive(Clone, Debug)]
enum Rule {
    Crontab(Crontab),
    /// `@every`: so long after the time before.
    Every(TimeDelta),
}

/// Why there is no schedule; the text says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The crontab text.
    #[error("{0}")]
    Text(String),
    /// The zone's name.
    #[error("unknown time zone {0}")]
    Zone(String),
}

/// The times that passed without a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The last of them.
    pub latest: Instant,
    /// How many, up to [`MISSED_CAP`].
    pub count: usize,
}

/// The zone that `name` means: `Europe/Berlin`; UTC when there is no name.
///
/// # Errors
/// When no such zone is known. `Local` is none: it would mean another on each machine.
pub fn zone(name: Option<&str>) -> Result<Tz, ScheduleError> {
    name.map_or(Ok(Tz::UTC), |name| name.parse().map_err(|_| ScheduleError::Zone(name.to_string())))
}

impl Schedule {
    /// Reads five fields of crontab(5), one of its macros (`@hourly`), or `@every 90m`.
    ///
    /// # Errors
    /// For text that is no schedule, and for unknown zones. A schedule that never fires (`0 0 31 2 *`) is valid.
    pub fn parse(text: &str, zone_name: Option<&str>) -> Result<Self, ScheduleError> {
        let text = crontab::without_zone(text);
        let rule = match text.strip_prefix("@every ") {
            Some(period) => Rule::Every(crontab::period(period.trim()).map_err(ScheduleError::Text)?),
            None => Rule::Crontab(Crontab::parse(text).map_err(ScheduleError::Text)?),
        };
        Ok(Schedule { rule, zone: zone(zone_name)? })
    }

    /// The zone in which it is read.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first time after `at`, or `None` when there is none any more (within what calendars hold).
    pub fn next_after(&self, at: Instant) -> Option<Instant> {
        match &self.rule {
            Rule::Every(period) => at.checked_add_signed(*period).map(|next| {
                // Whole seconds, so that a fraction in `at` does not creep along.
                next - TimeDelta::nanoseconds(i64::from(next.timestamp_subsec_nanos()))
            }),
            Rule::Crontab(crontab) if crontab.follows_real_time() => clock::next_real(crontab, self.zone, at),
            Rule::Crontab(crontab) => clock::next_fixed(crontab, self.zone, at),
        }
    }

    /// The next `count` times after `at`.
    pub fn next_times(&self, at: Instant, count: usize) -> Vec<Instant> {
        std::iter::successors(self.next_after(at), |time| self.next_after(*time)).take(count).collect()
    }

    /// The times in `(since, now]`, or `None` when there is none. Costs little however far `since` lies back.
    pub fn missed(&self, since: Instant, now: Instant) -> Option<Missed> {
        let times = std::iter::successors(self.next_after(since), |time| self.next_after(*time));
        let first: Vec<Instant> = times.take_while(|time| *time <= now).take(MISSED_CAP).collect();
        let latest = *first.last()?;
        if first.len() < MISSED_CAP {
            return Some(Missed { latest, count: first.len() });
        }
        Some(Missed { latest: self.latest(latest, now), count: MISSED_CAP })
    }

    /// The last time in `[known, now]`, where `known` is a time of this schedule: looks back in steps that double, so that
    /// it walks only the times of the step in which the last one lies.
    fn latest(&self, known: Instant, now: Instant) -> Instant {
        if let Rule::Every(period) = &self.rule {
            let periods = (now - known).num_seconds() / period.num_seconds().max(1);
            return i32::try_from(periods).map_or(known, |periods| known + *period * periods);
        }
        let mut back = TimeDelta::minutes(2);
        loop {
            let from = known.max(now - back);
            let mut latest = (from == known).then_some(known);
            let mut next = self.next_after(from);
            while let Some(time) = next.filter(|time| *time <= now) {
                latest = Some(time);
                next = self.next_after(time);
            }
            if let Some(latest) = latest {
                return latest;
            }
            back = back * 2;
        }
    }
}

#[cfg(test)]
mod tests;
