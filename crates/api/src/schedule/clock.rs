//! From wall-clock times to instants, through clock changes, by crontab's rules.

use chrono::{MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::crontab::Crontab;
use crate::time::Instant;

/// No zone has set its clock by more than this at once.
const LARGEST_CHANGE: TimeDelta = TimeDelta::hours(26);

/// The first fixed time after `at`. Wall-clock times map to instants in order (the first where there are two, the end of the
/// jump where there is none), so the first wall-clock time whose instant lies after `at` is it.
pub(super) fn next_fixed(crontab: &Crontab, zone: Tz, at: Instant) -> Option<Instant> {
    let mut wall = wall_of(zone, at);
    loop {
        wall = crontab.next_after(wall)?;
        let instant = match zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => at.with_timezone(&Utc),
            MappedLocalTime::None => end_of_jump(zone, wall)?,
        };
        if instant > at {
            return Some(instant);
        }
    }
}

/// The first instant after `at` whose wall-clock time matches.
///
/// The next wall-clock time is the answer, unless the clock is put back before it comes: then times that already passed
/// come again, and the search goes on from the change.
pub(super) fn next_real(crontab: &Crontab, zone: Tz, at: Instant) -> Option<Instant> {
    let mut wall = crontab.next_after(wall_of(zone, at))?;
    let mut not_before = at + TimeDelta::nanoseconds(1);
    let unchanged = wall - offset(zone, at);
    if let Some(change) = change_within(zone, at, at + LARGEST_CHANGE).filter(|change| unchanged.and_utc() >= *change) {
        wall = crontab.next_after(wall_of(zone, change) - TimeDelta::nanoseconds(1))?;
        not_before = change;
    }
    loop {
        let (first, second) = match zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(at) => (Some(at), None),
            MappedLocalTime::Ambiguous(first, second) => (Some(first), Some(second)),
            MappedLocalTime::None => (None, None),
        };
        let instants = first.into_iter().chain(second).map(|at| at.with_timezone(&Utc));
        if let Some(instant) = instants.filter(|instant| *instant >= not_before).min() {
            return Some(instant);
        }
        wall = crontab.next_after(wall)?;
    }
}

fn offset(zone: Tz, at: Instant) -> TimeDelta {
    TimeDelta::seconds(i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()))
}

fn wall_of(zone: Tz, at: Instant) -> NaiveDateTime {
    at.naive_utc() + offset(zone, at)
}

/// The instant in `(from, to]` from which the clock's offset is another than at `from`, to the second.
fn change_within(zone: Tz, from: Instant, to: Instant) -> Option<Instant> {
    let before = offset(zone, from);
    if offset(zone, to) == before {
        return None;
    }
    let (mut low, mut high) = (from.timestamp(), to.timestamp());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let at = Instant::from_timestamp(middle, 0)?;
        if offset(zone, at) == before { low = middle } else { high = middle }
    }
    Instant::from_timestamp(high, 0)
}

/// The instant at which the clock jumped over `wall`.
fn end_of_jump(zone: Tz, wall: NaiveDateTime) -> Option<Instant> {
    change_within(zone, wall.and_utc() - LARGEST_CHANGE, wall.and_utc() + LARGEST_CHANGE)
}
