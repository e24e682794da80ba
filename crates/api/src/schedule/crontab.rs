//! The five fields of crontab(5), and their translation for the `cron` crate, which matches wall-clock times.
//!
//! ```text
//! crontab    0 9 1 * mon            minute hour day-of-month month day-of-week (0-7, 0 and 7 are Sunday)
//! cron       0 0 9 1 * *            a second in front, days of week 1-7 from Sunday, and both day fields must match:
//!            0 0 9 * * 2            so where crontab means either, two schedules are asked and the earlier time counts
//! ```
//!
//! Fields are expanded to sets here, so nothing of the other dialect's grammar matters. Errors are worded as the parser
//! of Kubernetes words them; it refuses 7 for Sunday, crontab does not.

use std::str::FromStr;

use chrono::{NaiveDateTime, TimeDelta};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A field's bounds and the names of its values.
struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTE: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOUR: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAY_OF_MONTH: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTH: Bounds = Bounds { min: 1, max: 12, names: &MONTHS };
const DAY_OF_WEEK: Bounds = Bounds { min: 0, max: 7, names: &DAYS };

/// Wall-clock times, as crontab(5) names them.
#[derive(Clone, Debug)]
pub(super) struct Crontab {
    /// One schedule, or two where a day of month or a day of week is enough.
    schedules: Vec<cron::Schedule>,
    real_time: bool,
}

impl Crontab {
    /// Reads five fields or a macro.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".to_string());
        }
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other if other.starts_with('@') => return Err(format!("unrecognized descriptor: {other}")),
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let shown = fields.join(" ");
            return Err(format!("expected exactly 5 fields, found {}: [{shown}]", fields.len()));
        };
        let minutes = set(minute, &MINUTE)?;
        let hours = set(hour, &HOUR)?;
        let days = set(day, &DAY_OF_MONTH)?;
        let months = set(month, &MONTH)?;
        // The crate counts from Sunday = 1.
        let mut weekdays: Vec<u32> = set(weekday, &DAY_OF_WEEK)?.into_iter().map(|day| day % 7 + 1).collect();
        weekdays.sort_unstable();
        weekdays.dedup();

        let head = format!("0 {} {}", list(&minutes, 60), list(&hours, 24));
        let (days, months, weekdays) = (list(&days, 31), list(&months, 12), list(&weekdays, 7));
        let star = |field: &str| field.contains(['*', '?']);
        let texts = if star(day) || star(weekday) {
            vec![format!("{head} {days} {months} {weekdays}")]
        } else {
            vec![format!("{head} {days} {months} *"), format!("{head} * {months} {weekdays}")]
        };
        let schedules = texts.iter().map(|text| cron::Schedule::from_str(text).map_err(|error| error.to_string()));
        Ok(Crontab {
            schedules: schedules.collect::<Result<_, _>>()?,
            real_time: minute.starts_with(['*', '?']) || hour.starts_with(['*', '?']),
        })
    }

    /// Whether it runs by real time through clock changes, rather than at fixed times of the day.
    pub(super) fn follows_real_time(&self) -> bool {
        self.real_time
    }

    /// The first wall-clock time after `wall`.
    pub(super) fn next_after(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let next = |schedule: &cron::Schedule| schedule.after(&wall.and_utc()).next();
        self.schedules.iter().filter_map(next).min().map(|at| at.naive_utc())
    }
}

/// `text` without the `TZ=` or `CRON_TZ=` that Kubernetes once allowed in front; validation refuses it.
pub(super) fn without_zone(text: &str) -> &str {
    let text = text.trim();
    if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
        text.split_once(' ').map_or("", |(_, rest)| rest.trim())
    } else {
        text
    }
}

/// Go's form of a duration for `@every`: `1h30m`, `90s`, `1.5h`. At least a second, whole seconds.
pub(super) fn period(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("failed to parse duration @every {text}: time: invalid duration {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0f64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, scale) = *units.iter().find(|(unit, _)| rest.starts_with(unit)).ok_or_else(wrong)?;
        seconds += number * scale;
        rest = &rest[unit.len()..];
    }
    // The longest that Go's duration holds is about 292 years.
    if seconds > 9.2e9 {
        return Err(wrong());
    }
    Ok(TimeDelta::seconds((seconds as i64).max(1)))
}

/// The values that a field names.
fn set(field: &str, bounds: &Bounds) -> Result<Vec<u32>, String> {
    let mut values = Vec::new();
    for part in field.split(',') {
        values.extend(range(part, bounds)?);
    }
    values.sort_unstable();
    values.dedup();
    Ok(values)
}

/// The values that one part of a field names: `*`, `7`, `1-5`, `*/2`, `10-20/3`, `5/10` (from 5 to the end).
fn range(part: &str, bounds: &Bounds) -> Result<impl Iterator<Item = u32> + use<>, String> {
    let (span, step) = match part.split('/').collect::<Vec<_>>()[..] {
        [span] => (span, None),
        [span, step] => (span, Some(number(step)?)),
        _ => return Err(format!("too many slashes: {part}")),
    };
    // Sunday is written 7 only alone or at the end of a range: a star or an open range ends at 6.
    let open_end = if bounds.max == 7 { 6 } else { bounds.max };
    let (start, end) = match span.split('-').collect::<Vec<_>>()[..] {
        ["*" | "?"] => (bounds.min, open_end),
        [single] => {
            let start = value(single, bounds)?;
            (start, if step.is_some() { open_end.max(start) } else { start })
        }
        [start, end] => (value(start, bounds)?, value(end, bounds)?),
        _ => return Err(format!("too many hyphens: {part}")),
    };
    let step = step.unwrap_or(1);
    if start < bounds.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {part}", bounds.min));
    }
    if end > bounds.max {
        return Err(format!("end of range ({end}) above maximum ({}): {part}", open_end));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    Ok((start..=end).step_by(step as usize))
}

fn value(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let named = bounds.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    named.map_or_else(|| number(text), |at| Ok(at as u32 + bounds.min))
}

fn number(text: &str) -> Result<u32, String> {
    let go = || {
        format!("failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax", crate::field::quote(text))
    };
    let number: i64 = text.parse().map_err(|_| go())?;
    if number < 0 {
        return Err(format!("negative number ({number}) not allowed: {text}"));
    }
    // Anything so large is above every maximum, and says so.
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A set in the crate's dialect.
fn list(values: &[u32], all: usize) -> String {
    if values.len() == all {
        return "*".to_string();
    }
    values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
