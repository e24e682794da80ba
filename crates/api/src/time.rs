//! Kubernetes' times: seconds (Time) or microseconds (MicroTime) of UTC. Nothing here reads a clock.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use proto::meta_v1::{MicroTime, Time};

/// An instant; callers pass the present one in.
pub type Instant = DateTime<Utc>;

/// `at` as a stored Time: whole seconds, for that is all that its JSON carries.
pub fn to_time(at: Instant) -> Time {
    Time { seconds: Some(at.timestamp()), nanos: Some(0) }
}

/// `at` as a stored MicroTime: whole microseconds.
pub fn to_micro_time(at: Instant) -> MicroTime {
    MicroTime { seconds: Some(at.timestamp()), nanos: Some((at.timestamp_subsec_micros() * 1_000) as i32) }
}

/// The instant of a Time; `None` for "no time" and for what no calendar holds.
pub fn from_time(time: &Time) -> Option<Instant> {
    instant(time.seconds?, time.nanos)
}

/// The instant of a MicroTime; `None` for "no time" and for what no calendar holds.
pub fn from_micro_time(time: &MicroTime) -> Option<Instant> {
    instant(time.seconds?, time.nanos)
}

/// The instant of an optional field.
pub fn opt(time: &Option<Time>) -> Option<Instant> {
    time.as_ref().and_then(from_time)
}

fn instant(seconds: i64, nanos: Option<i32>) -> Option<Instant> {
    DateTime::from_timestamp(seconds, u32::try_from(nanos.unwrap_or(0)).ok()?)
}

/// `at` and so many seconds more; the last second of the year 9999, the latest that a stored time can name, where that is past it.
pub fn later(at: Instant, seconds: i64) -> Instant {
    const LATEST: Instant = match DateTime::from_timestamp(253_402_300_799, 0) {
        Some(latest) => latest,
        None => DateTime::<Utc>::MAX_UTC,
    };
    let later = TimeDelta::try_seconds(seconds).and_then(|seconds| at.checked_add_signed(seconds));
    later.unwrap_or(LATEST).min(LATEST)
}

/// `2026-11-24T20:40:00Z`.
pub fn rfc3339(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `Tue, 24 Nov 2026 20:40:00 +0000`, as events about schedules show a time.
pub fn rfc1123z(at: Instant) -> String {
    at.format("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// The instant that an RFC 3339 text names, in any offset.
pub fn parse_rfc3339(text: &str) -> Option<Instant> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_seconds_and_micro_times_microseconds() {
        let at = DateTime::from_timestamp(1_700_000_000, 123_456_789).expect("in range");
        assert_eq!(from_time(&to_time(at)).expect("a time").timestamp_subsec_nanos(), 0);
        assert_eq!(from_micro_time(&to_micro_time(at)).expect("a time").timestamp_subsec_nanos(), 123_456_000);
        assert_eq!(from_time(&Time::default()), None);
        assert_eq!(from_time(&Time { seconds: Some(i64::MAX), nanos: Some(-1) }), None);
    }

    #[test]
    fn no_number_of_seconds_is_too_large() {
        let at = DateTime::from_timestamp(1_700_000_000, 0).expect("in range");
        assert_eq!(later(at, 30).timestamp(), 1_700_000_030);
        for seconds in [300_000_000_000, 8_000_000_000_000, i64::MAX] {
            assert_eq!(rfc3339(later(at, seconds)), "9999-12-31T23:59:59Z", "{seconds}");
        }
    }

    #[test]
    fn texts_are_those_of_the_wire() {
        let at = parse_rfc3339("2026-11-24T21:40:00+01:00").expect("a time");
        assert_eq!(rfc3339(at), "2026-11-24T20:40:00Z");
        assert_eq!(rfc1123z(at), "Tue, 24 Nov 2026 20:40:00 +0000");
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
