//! Durations as people read them.

use chrono::TimeDelta;

/// An age in two or three significant figures, as kubectl's tables show it: `5s`, `3m20s`, `2h`, `4d3h`, `2y10d`.
/// Slightly negative ones (clocks differ) are `0s`, others `<invalid>`.
pub fn human(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds();
    let (minutes, hours, days) = (duration.num_minutes(), duration.num_hours(), duration.num_hours() / 24);
    match seconds {
        i64::MIN..-1 => "<invalid>".to_string(),
        -1 => "0s".to_string(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => pair(days, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{days}d"),
        _ if hours < 24 * 365 * 8 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

fn pair(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit}{small}{small_unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_has_its_form() {
        let day = 86_400;
        for (seconds, expected) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (3 * 3600 + 90, "3h1m"),
            (8 * 3600 + 600, "8h"),
            (2 * day, "2d"),
            (4 * day + 3 * 3600, "4d3h"),
            (8 * day + 5 * 3600, "8d"),
            (730 * day, "2y"),
            (740 * day, "2y10d"),
            (8 * 365 * day, "8y"),
        ] {
            assert_eq!(human(TimeDelta::seconds(seconds)), expected, "{seconds}");
        }
    }
}
