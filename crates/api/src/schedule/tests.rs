use std::str::FromStr;

use chrono::{Datelike, Utc};
use proptest::prelude::*;

use super::*;
use crate::time::{parse_rfc3339, rfc3339};

fn at(text: &str) -> Instant {
    parse_rfc3339(text).expect("a time")
}

/// The next times after `from`, as local wall-clock time with its offset.
fn times(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text, Some(zone)).expect("a schedule");
    let local = |time: Instant| time.with_timezone(&schedule.zone()).format("%m-%d %H:%M%:z").to_string();
    schedule.next_times(at(from), count).into_iter().map(local).collect()
}

#[test]
fn the_fields_mean_what_crontab_means() {
    for (text, from, expected) in [
        ("*/1 * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"),
        ("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("0 0 * * sun", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("0 0 * * 5-7", "2026-01-03T12:00:00Z", "2026-01-04T00:00:00Z"),
        ("0 0 13 * 5", "2026-01-05T00:00:00Z", "2026-01-09T00:00:00Z"), // a Friday, or the 13th
        ("0 0 13 * 5", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"),
        ("0 0 */2 * 1", "2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z"), // an odd day and a Monday
        ("0 0 1 feb-MAR *", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("50/5 * * * *", "2026-01-01T00:51:00Z", "2026-01-01T00:55:00Z"),
        ("@hourly", "2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"),
        ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("@every 1h30m", "2026-01-01T00:00:00.5Z", "2026-01-01T01:30:00Z"),
    ] {
        let schedule = Schedule::parse(text, None).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(schedule.next_after(at(from)).map(rfc3339).as_deref(), Some(expected), "{text} after {from}");
    }
    assert_eq!(Schedule::parse("0 0 31 2 *", None).expect("valid").next_after(at("2026-01-01T00:00:00Z")), None);
}

#[test]
fn wrong_texts_get_the_words_of_kubernetes() {
    for (text, expected) in [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * * * 8", "end of range (8) above maximum (6): 8"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-2 * * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/2/3 * * * *", "too many slashes: */2/3"),
        ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("@reboot", "unrecognized descriptor: @reboot"),
    ] {
        let error = Schedule::parse(text, None).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text:?}");
    }
    let error = Schedule::parse("* * * * *", Some("Mars/Base")).expect_err("a zone");
    assert_eq!(error.to_string(), "unknown time zone Mars/Base");
}

const BERLIN: &str = "Europe/Berlin";

#[test]
fn a_skipped_fixed_time_runs_right_after_the_jump() {
    assert_eq!(times("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", 2), ["03-29 03:00+02:00", "03-30 02:30+02:00"]);
    assert_eq!(times("0 3 * * *", BERLIN, "2026-03-28T12:00:00Z", 2), ["03-29 03:00+02:00", "03-30 03:00+02:00"]);
    // Two times that the same jump skips are one run.
    assert_eq!(times("15,45 2 * * *", BERLIN, "2026-03-28T12:00:00Z", 2), ["03-29 03:00+02:00", "03-30 02:15+02:00"]);
}

#[test]
fn a_fixed_time_that_comes_twice_runs_at_the_first() {
    assert_eq!(times("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2), ["10-25 02:30+02:00", "10-26 02:30+01:00"]);
    // Asked in the second pass, the first is gone.
    assert_eq!(times("30 2 * * *", BERLIN, "2026-10-25T01:10:00Z", 1), ["10-26 02:30+01:00"]);
}

#[test]
fn a_schedule_with_a_star_follows_real_time() {
    assert_eq!(
        times("*/30 * * * *", BERLIN, "2026-03-29T00:15:00Z", 3),
        ["03-29 01:30+01:00", "03-29 03:00+02:00", "03-29 03:30+02:00"]
    );
    assert_eq!(
        times("*/30 * * * *", BERLIN, "2026-10-24T23:45:00Z", 5),
        ["10-25 02:00+02:00", "10-25 02:30+02:00", "10-25 02:00+01:00", "10-25 02:30+01:00", "10-25 03:00+01:00"]
    );
    assert_eq!(times("15 * * * *", BERLIN, "2026-10-25T00:15:00Z", 2), ["10-25 02:15+01:00", "10-25 03:15+01:00"]);
    // Minutes of an hour that the jump skips have no real time.
    assert_eq!(times("* 2 * * *", BERLIN, "2026-03-29T00:15:00Z", 1), ["03-30 02:00+02:00"]);
}

#[test]
fn zones_with_odd_changes_work() {
    // Lord Howe puts its clock back by half an hour: 2026-04-05 02:00+11:00 -> 01:30+10:30.
    assert_eq!(
        times("*/15 * * * *", "Australia/Lord_Howe", "2026-04-04T14:40:00Z", 4),
        ["04-05 01:45+11:00", "04-05 01:30+10:30", "04-05 01:45+10:30", "04-05 02:00+10:30"]
    );
    // Samoa skipped 2011-12-30 altogether.
    assert_eq!(times("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", 1), ["12-31 00:00+14:00"]);
}

#[test]
fn missed_times_are_counted_and_the_last_is_found() {
    let every_minute = Schedule::parse("* * * * *", None).expect("a schedule");
    let now = at("2026-06-01T00:00:30Z");
    assert_eq!(every_minute.missed(now, now), None);
    let missed = every_minute.missed(at("2026-05-31T23:57:00Z"), now).expect("some");
    assert_eq!((rfc3339(missed.latest).as_str(), missed.count), ("2026-06-01T00:00:00Z", 3));
    let years = every_minute.missed(at("1990-01-01T00:00:00Z"), now).expect("some");
    assert_eq!((rfc3339(years.latest).as_str(), years.count), ("2026-06-01T00:00:00Z", MISSED_CAP));
    let nightly = Schedule::parse("* 0 * * *", Some(BERLIN)).expect("a schedule");
    let missed = nightly.missed(at("2025-01-01T00:00:00Z"), at("2026-06-01T20:00:00Z")).expect("some");
    assert_eq!(rfc3339(missed.latest), "2026-05-31T22:59:00Z");
    let period = Schedule::parse("@every 10m", None).expect("a schedule");
    let missed = period.missed(at("2026-01-01T00:05:00Z"), now).expect("some");
    assert_eq!(rfc3339(missed.latest), "2026-05-31T23:55:00Z");
}

fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => (min..=max).prop_map(|a| a.to_string()),
        2 => (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (min..=max, min..=max, 1..=7u32).prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
    ];
    prop_oneof![
        3 => Just("*".to_string()),
        1 => (2..=9u32).prop_map(|step| format!("*/{step}")),
        4 => proptest::collection::vec(part, 1..3).prop_map(|parts| parts.join(",")),
    ]
}

proptest! {
    /// In UTC `croner` reads the same language, but for a stepped star beside a day field, where it means OR.
    #[test]
    fn in_utc_croner_agrees(
        (minute, hour, day, month, weekday) in (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)),
        seconds in 1_700_000_000i64..2_000_000_000,
    ) {
        let stepped_star = |field: &str| field.contains("*/");
        let differs = |star: &str, other: &str| stepped_star(star) && other != "*";
        prop_assume!(!differs(&day, &weekday));
        prop_assume!(!differs(&weekday, &day));
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        let ours = Schedule::parse(&text, None).expect("a schedule");
        let oracle = croner::Cron::from_str(&text).expect("croner reads it");
        let start = Instant::from_timestamp(seconds, 0).expect("in range");
        let mut time = start;
        for _ in 0..3 {
            let expected = oracle.find_next_occurrence(&time, false).ok();
            let next = ours.next_after(time);
            // The two give up at different horizons.
            if next.is_none() || expected.is_none() || next.is_some_and(|next| next.year() > start.year() + 50) {
                break;
            }
            prop_assert_eq!(next, expected.map(|at| at.with_timezone(&Utc)), "{} after {}", text, time);
            time = next.expect("some");
        }
    }

    #[test]
    fn times_always_grow(
        (minute, hour) in (field(0, 59), field(0, 23)),
        zone in prop_oneof![Just(BERLIN), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Pacific/Apia")],
        seconds in 1_000_000_000i64..2_000_000_000,
    ) {
        let schedule = Schedule::parse(&format!("{minute} {hour} * * *"), Some(zone)).expect("a schedule");
        let mut time = Instant::from_timestamp(seconds, 0).expect("in range");
        for _ in 0..20 {
            let next = schedule.next_after(time).expect("it always fires again");
            prop_assert!(next > time);
            prop_assert!(next - time <= TimeDelta::hours(50));
            time = next;
        }
    }

    #[test]
    fn any_text_is_refused_or_read_without_panic(text in "[0-9*/,@a-zA-Z? -]{0,30}", any in "\\PC{0,20}") {
        for text in [text, any] {
            if let Ok(schedule) = Schedule::parse(&text, Some(BERLIN)) {
                let _ = schedule.next_after(Instant::UNIX_EPOCH);
            }
        }
    }
}
