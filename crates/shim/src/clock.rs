//! The clocks and identities of processes that the records are written in.

use std::fs;
use std::io;

/// Nanoseconds since the Unix epoch, by the wall clock.
pub fn wall_ns() -> i128 {
    let ts = gettime(libc::CLOCK_REALTIME);
    i128::from(ts.tv_sec) * 1_000_000_000 + i128::from(ts.tv_nsec)
}

/// Nanoseconds since the machine booted, suspended time included: the only clock that a deadline
/// may be held on, since neither an administrator nor a sleeping laptop stretches it.
pub fn boot_ns() -> u64 {
    let ts = gettime(libc::CLOCK_BOOTTIME);
    u64::try_from(ts.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(ts.tv_nsec).unwrap_or(0)
}

fn gettime(clock: libc::clockid_t) -> libc::timespec {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec; both clocks exist on every kernel since 2.6.39.
    unsafe { libc::clock_gettime(clock, &mut ts) };
    ts
}

/// Names this boot of the machine: a pid and start time mean a process only together with it.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// When a process started, in clock ticks since boot (field 22 of its stat): tells a process from
/// a later one that got the same pid.
pub fn process_start(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    stat_field(&stat, 22).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc stat"))
}

/// Field `number` (from 1) of a stat line. The name in field 2 may itself hold blanks and
/// brackets, so fields are counted from its last bracket.
pub fn stat_field(stat: &str, number: usize) -> Option<u64> {
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// `2026-11-24T20:33:16.123456789Z` into `out`; output lines carry nine digits always, so that
/// they sort as text.
pub fn write_rfc3339(out: &mut Vec<u8>, wall_ns: i128) {
    use std::io::Write;
    let seconds = wall_ns.div_euclid(1_000_000_000);
    let nanos = wall_ns.rem_euclid(1_000_000_000);
    let days = seconds.div_euclid(86_400);
    let second_of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = civil_from_days(i64::try_from(days).unwrap_or(0));
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
        .expect("a Vec takes every write");
}

/// The date of a day counted from 1970-01-01, in the proleptic Gregorian calendar: years are
/// shifted to begin in March, so that the leap day is a year's last.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399_000_000_001, "2000-02-28T23:59:59.000000001Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_795_552_396_123_456_789, "2026-11-24T20:33:16.123456789Z"),
            (-1_000_000_000, "1969-12-31T23:59:59.000000000Z"),
        ];
        for (ns, text) in cases {
            let mut out = Vec::new();
            write_rfc3339(&mut out, ns);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn a_process_name_with_brackets_does_not_shift_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 9 10 11 0 4242 1000";
        assert_eq!(stat_field(stat, 4), Some(1));
        assert_eq!(stat_field(stat, 22), Some(4242));
        assert_eq!(stat_field("garbage", 22), None);
    }
}
