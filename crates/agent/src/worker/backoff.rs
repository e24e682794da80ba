//! The delay before a container starts again, as a kubelet's: none before the first restart, then 10 s, 20 s, ... up to five
//! minutes, forgotten after a run of ten minutes.

use chrono::{DateTime, TimeDelta, Utc};

use super::life::{Exit, Life};

const FIRST_S: i64 = 10;
const LONGEST_S: i64 = 300;
/// A run this long shows that the container is well.
const FORGOTTEN_AFTER_S: i64 = 600;

/// The count for the back-off once a container is started again after `exit`.
pub fn crashes_after(crashes: u32, exit: &Exit) -> u32 {
    if (exit.finished_at - exit.started_at).num_seconds() >= FORGOTTEN_AFTER_S { 1 } else { crashes + 1 }
}

/// The delay after a container's end that has been restarted `crashes` times already.
pub fn delay(crashes: u32) -> TimeDelta {
    match crashes {
        0 => TimeDelta::zero(),
        // 10 s doubled five times is past the longest.
        n => TimeDelta::seconds((FIRST_S << (n - 1).min(5)).min(LONGEST_S)),
    }
}

/// When a container that has ended may start again.
pub fn restart_at(life: &Life, exit: &Exit) -> DateTime<Utc> {
    let long = (exit.finished_at - exit.started_at).num_seconds() >= FORGOTTEN_AFTER_S;
    exit.finished_at + delay(if long { 0 } else { life.crashes })
}

/// As `CrashLoopBackOff` tells it: `back-off 5m0s restarting failed container=...`.
pub fn shown(delay: TimeDelta) -> String {
    let seconds = delay.num_seconds();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_five_minutes() {
        let seconds: Vec<i64> = (0..9).map(|crashes| delay(crashes).num_seconds()).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(delay(u32::MAX).num_seconds(), 300);
        assert_eq!((shown(delay(1)), shown(delay(4)), shown(delay(9))), ("10s".into(), "1m20s".into(), "5m0s".into()));
    }

    #[test]
    fn a_long_run_forgets_it() {
        let at = |s| DateTime::from_timestamp(s, 0).unwrap();
        let exit = |s| Exit {
            code: 1,
            signal: 0,
            reason: "Error".into(),
            message: String::new(),
            started_at: at(0),
            finished_at: at(s),
        };
        let life = Life { crashes: 4, ..Life::default() };
        assert_eq!(restart_at(&life, &exit(599)), at(599 + 80));
        assert_eq!(restart_at(&life, &exit(600)), at(600));
        assert_eq!((crashes_after(4, &exit(599)), crashes_after(4, &exit(600))), (5, 1));
    }
}
