//! Instants as text, read as Go's `time.Parse` reads RFC 3339, whose complaints clients see:
//!
//! ```text
//! "2024-13-01T00:00:00Z"   parsing time "2024-13-01T00:00:00Z": month out of range
//! "2024-01-01"             parsing time "2024-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"
//! ```

use std::fmt::Write;

use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta, Utc};

/// How an instant is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// To the second; a fraction is read too.
    Seconds,
    /// To the microsecond, with exactly six digits.
    Micros,
}

impl Layout {
    const fn text(self) -> &'static str {
        match self {
            Layout::Seconds => "2006-01-02T15:04:05Z07:00",
            Layout::Micros => "2006-01-02T15:04:05.000000Z07:00",
        }
    }

    const fn digits(self) -> usize {
        match self {
            Layout::Seconds => 0,
            Layout::Micros => 6,
        }
    }
}

/// What stopped the reading.
enum Stop<'a> {
    /// This rest of the text is not this element of the layout.
    Unlike(&'a str, &'static str),
    OutOfRange(&'static str),
    Extra(&'a str),
}

/// The instant.
///
/// # Errors
/// Go's text.
pub(super) fn parse(text: &str, layout: Layout) -> Result<DateTime<Utc>, String> {
    read(text, layout).map_err(|stop| {
        let shown = quote(text);
        match stop {
            Stop::Unlike(rest, element) => {
                format!("parsing time {shown} as {:?}: cannot parse {} as {element:?}", layout.text(), quote(rest))
            }
            Stop::OutOfRange(what) => format!("parsing time {shown}: {what} out of range"),
            Stop::Extra(rest) => format!("parsing time {shown}: extra text: {}", quote(rest)),
        }
    })
}

fn read(text: &str, layout: Layout) -> Result<DateTime<Utc>, Stop<'_>> {
    let (year, rest) = year(text)?;
    let (month, rest) = element(rest, "-", "01", true)?;
    in_range(month, 1, 12, "month")?;
    let (day, rest) = element(rest, "-", "02", true)?;
    let (hour, rest) = element(rest, "T", "15", false)?;
    in_range(hour, 0, 23, "hour")?;
    let (minute, rest) = element(rest, ":", "04", true)?;
    in_range(minute, 0, 59, "minute")?;
    let (second, rest) = element(rest, ":", "05", true)?;
    in_range(second, 0, 59, "second")?;
    let (nanos, rest) = fraction(rest, layout)?;
    let (offset, rest) = zone(rest)?;
    if !rest.is_empty() {
        return Err(Stop::Extra(rest));
    }
    let day = NaiveDate::from_ymd_opt(year, month, day).ok_or(Stop::OutOfRange("day"))?;
    let local = day.and_hms_nano_opt(hour, minute, second, nanos).ok_or(Stop::OutOfRange("second"))?;
    let shift = TimeDelta::seconds(i64::from(offset.local_minus_utc()));
    local.checked_sub_signed(shift).map(|at| at.and_utc()).ok_or(Stop::OutOfRange("year"))
}

fn year(text: &str) -> Result<(i32, &str), Stop<'_>> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()));
    let year = digits.and_then(|digits| digits.parse().ok()).ok_or(Stop::Unlike(text, "2006"))?;
    Ok((year, &text[4..]))
}

/// A number after `before`: two digits, or one where it need not be `fixed`.
fn element<'a>(
    text: &'a str,
    before: &'static str,
    name: &'static str,
    fixed: bool,
) -> Result<(u32, &'a str), Stop<'a>> {
    let rest = text.strip_prefix(before).ok_or(Stop::Unlike(text, before))?;
    number(rest, fixed).ok_or(Stop::Unlike(rest, name))
}

fn number(text: &str, fixed: bool) -> Option<(u32, &str)> {
    let count = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let enough = count == 2 || (count == 1 && !fixed);
    enough.then(|| text[..count].parse().ok()).flatten().map(|number| (number, &text[count..]))
}

fn in_range<'a>(value: u32, min: u32, max: u32, what: &'static str) -> Result<(), Stop<'a>> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Stop::OutOfRange(what)) }
}

/// The nanoseconds after the full second.
fn fraction(text: &str, layout: Layout) -> Result<(u32, &str), Stop<'_>> {
    let given = text.strip_prefix(['.', ',']).map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let wanted = layout.digits();
    let count = match layout {
        Layout::Seconds => given,
        Layout::Micros if given >= wanted => wanted,
        Layout::Micros => return Err(Stop::Unlike(text, ".000000")),
    };
    if count == 0 {
        return Ok((0, text));
    }
    // Finer than a nanosecond is cut off.
    let digits = &text[1..=count.min(9)];
    let nanos = format!("{digits:0<9}").parse().map_err(|_| Stop::OutOfRange("fractional second"))?;
    Ok((nanos, &text[count + 1..]))
}

fn zone(text: &str) -> Result<(FixedOffset, &str), Stop<'_>> {
    let unlike = || Stop::Unlike(text, "Z07:00");
    if let Some(rest) = text.strip_prefix('Z') {
        return Ok((FixedOffset::east_opt(0).ok_or_else(unlike)?, rest));
    }
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(unlike()),
    };
    let (hours, rest) = number(&text[1..], true).ok_or_else(unlike)?;
    let (minutes, rest) = rest.strip_prefix(':').and_then(|rest| number(rest, true)).ok_or_else(unlike)?;
    // Go allows the bounds themselves; a whole day is more than chrono's offsets hold.
    in_range(hours, 0, 23, "time zone offset hour")?;
    in_range(minutes, 0, 60, "time zone offset minute")?;
    let seconds = (hours * 60 + minutes) * 60;
    let offset = i32::try_from(seconds).ok().and_then(|seconds| FixedOffset::east_opt(sign * seconds));
    Ok((offset.ok_or(Stop::OutOfRange("time zone offset hour"))?, rest))
}

/// As Go's package `time` quotes: bytes that are not printable ASCII in hexadecimal.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=0x7f => quoted.push(char::from(byte)),
            // Writing to a String does not fail.
            _ => drop(write!(quoted, "\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str, layout: Layout) -> String {
        parse(text, layout).expect_err(text)
    }

    #[test]
    fn instants_are_read_with_and_without_fraction_and_offset() {
        let seconds = |text: &str| parse(text, Layout::Seconds).expect(text).to_rfc3339();
        assert_eq!(seconds("2024-01-02T03:04:05Z"), "2024-01-02T03:04:05+00:00");
        assert_eq!(seconds("2024-01-02T3:04:05+02:00"), "2024-01-02T01:04:05+00:00");
        assert_eq!(seconds("2024-02-29T03:04:05.25-00:30"), "2024-02-29T03:34:05.250+00:00");
        let micros = parse("2024-01-02T03:04:05.000123Z", Layout::Micros).expect("micros");
        assert_eq!(micros.timestamp_subsec_micros(), 123);
    }

    /// Each as Go 1.26 words it.
    #[test]
    fn complaints_are_gos() {
        let as_seconds = r#"as "2006-01-02T15:04:05Z07:00": cannot parse"#;
        for (text, end) in [
            ("bad", r#"as "2006""#),
            ("2024/01/02", r#"as "-""#),
            ("2024-01-02", r#"as "T""#),
            ("2024-01-02T03:04:05", r#"as "Z07:00""#),
            ("2024-01-02T03:04:05z", r#"as "Z07:00""#),
        ] {
            let rest = match end {
                r#"as "2006""# => "bad",
                r#"as "-""# => "/01/02",
                r#"as "T""# => "",
                _ => &text[19..],
            };
            assert_eq!(problem(text, Layout::Seconds), format!("parsing time {text:?} {as_seconds} {rest:?} {end}"));
        }
        assert_eq!(
            problem("2024-13-02T03:04:05Z", Layout::Seconds),
            r#"parsing time "2024-13-02T03:04:05Z": month out of range"#
        );
        assert_eq!(
            problem("2023-02-29T03:04:05Z", Layout::Seconds),
            r#"parsing time "2023-02-29T03:04:05Z": day out of range"#
        );
        assert_eq!(
            problem("2024-01-02T03:04:05Zé", Layout::Seconds),
            r#"parsing time "2024-01-02T03:04:05Z\xc3\xa9": extra text: "\xc3\xa9""#
        );
        assert_eq!(
            problem("2024-01-02T03:04:05Z", Layout::Micros),
            r#"parsing time "2024-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#
        );
    }
}
