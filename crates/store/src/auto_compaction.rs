//! Automatic compaction, as etcd's: history is forgotten after a while (periodic) or beyond a length (revision). Off
//! by default; the API server compacts by itself. Only the leader compacts.

use std::collections::VecDeque;
use std::time::Duration;

use proto::etcdserverpb::CompactionRequest;
use proto::raftsman_store_v1::command::Change;
use tokio::time::Instant;

use crate::duration::parse_duration;
use crate::services::Context;

/// How often the length of the history is looked at; etcd's interval.
const REVISION_INTERVAL: Duration = Duration::from_secs(300);
/// Longest time between two compactions by age; etcd's.
const PERIOD_MAX: Duration = Duration::from_secs(3600);
/// Looks at the revision between two compactions by age.
const SAMPLES: u32 = 10;

/// What is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCompaction {
    /// What is older than this.
    Periodic(Duration),
    /// All but so many revisions.
    Revision(i64),
}

impl AutoCompaction {
    /// Reads etcd's two flags. `retention` is a duration (`1h`, `90m`, `1h30m`) or hours in periodic mode, a number of
    /// revisions in revision mode, and `0` is off. The error says what is allowed.
    pub fn parse(mode: &str, retention: &str) -> Result<Option<Self>, String> {
        match mode {
            "periodic" => {
                let hours = retention.parse().ok().and_then(|hours: u64| hours.checked_mul(3600));
                let period = hours.map(Duration::from_secs).or_else(|| parse_duration(retention)).ok_or_else(|| {
                    format!("{retention:?} is neither a number of hours nor a duration such as 30m or 1h30m")
                })?;
                Ok((!period.is_zero()).then_some(Self::Periodic(period)))
            }
            "revision" => match retention.parse::<i64>() {
                Ok(0) => Ok(None),
                Ok(revisions) if revisions > 0 => Ok(Some(Self::Revision(revisions))),
                _ => Err(format!("{retention:?} is no number of revisions")),
            },
            _ => Err(format!("{mode:?} is no mode; there are periodic and revision")),
        }
    }

    /// Time between two looks.
    fn interval(self) -> Duration {
        match self {
            Self::Periodic(period) => period.min(PERIOD_MAX) / SAMPLES,
            Self::Revision(_) => REVISION_INTERVAL,
        }
    }
}

/// When to compact, and where.
#[derive(Debug)]
struct Schedule {
    rule: AutoCompaction,
    /// Revisions seen so far, oldest first, back to the age that is kept.
    seen: VecDeque<(Instant, i64)>,
    /// When the last compaction was; of the periodic rule.
    last: Option<Instant>,
}

impl Schedule {
    fn new(rule: AutoCompaction) -> Self {
        Self { rule, seen: VecDeque::new(), last: None }
    }

    /// Notes the revision of `now` and answers the revision to compact at, if it is time.
    fn look(&mut self, now: Instant, revision: i64, compacted: i64) -> Option<i64> {
        let target = match self.rule {
            AutoCompaction::Revision(keep) => revision - keep,
            AutoCompaction::Periodic(period) => {
                self.seen.push_back((now, revision));
                let (old, at) = *self.seen.front()?;
                if now - old < period {
                    return None;
                }
                self.seen.pop_front();
                if self.last.is_some_and(|last| now - last < period.min(PERIOD_MAX)) {
                    return None;
                }
                self.last = Some(now);
                at
            }
        };
        (target > compacted && target > 0).then_some(target)
    }
}

/// Compacts by `rule` for as long as it is polled and this member leads.
pub async fn run(context: &Context, rule: Option<AutoCompaction>) {
    let Some(rule) = rule else { return std::future::pending().await };
    let mut schedule = Schedule::new(rule);
    loop {
        tokio::time::sleep(rule.interval()).await;
        let shared = context.view.shared();
        let target = schedule.look(Instant::now(), shared.visible(), shared.compacted());
        let leads = context.node.status().leadership.leader == Some(context.node.id());
        let Some(revision) = target.filter(|_| leads) else { continue };
        match context.node.propose(Change::Compact(CompactionRequest { revision, physical: false })).await {
            Ok(_) => tracing::info!("history before revision {revision} is forgotten"),
            Err(error) => tracing::warn!("history before revision {revision} stays for now: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn flags_are_etcds() {
        let parse = AutoCompaction::parse;
        assert_eq!(parse("periodic", "0"), Ok(None));
        assert_eq!(parse("periodic", "2"), Ok(Some(AutoCompaction::Periodic(120 * MINUTE))));
        assert_eq!(parse("periodic", "1h30m"), Ok(Some(AutoCompaction::Periodic(90 * MINUTE))));
        assert_eq!(parse("periodic", "500ms"), Ok(Some(AutoCompaction::Periodic(Duration::from_millis(500)))));
        assert_eq!(parse("revision", "1000"), Ok(Some(AutoCompaction::Revision(1000))));
        assert_eq!(parse("revision", "0"), Ok(None));
        for (mode, retention) in [
            ("periodic", ""),
            ("periodic", "1d"),
            ("periodic", "h"),
            ("revision", "-1"),
            ("revision", "1h"),
            ("x", "1"),
        ] {
            assert!(parse(mode, retention).is_err(), "{mode} {retention}");
        }
        assert!(parse("periodic", "99999999999999999999h").is_err());
    }

    #[test]
    fn what_is_older_than_the_period_goes() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(AutoCompaction::Periodic(10 * MINUTE));
        let targets: Vec<_> = (0..=25)
            .map(|minute| (minute, schedule.look(begin + minute * MINUTE, 100 + i64::from(minute), 0)))
            .collect();
        let done: Vec<_> = targets.into_iter().filter_map(|(minute, target)| target.map(|at| (minute, at))).collect();
        assert_eq!(done, [(10, 100), (20, 110)]);
    }

    #[test]
    fn history_longer_than_the_number_goes() {
        let now = Instant::now();
        let mut schedule = Schedule::new(AutoCompaction::Revision(100));
        assert_eq!(schedule.look(now, 50, 0), None);
        assert_eq!(schedule.look(now, 150, 0), Some(50));
        assert_eq!(schedule.look(now, 150, 50), None);
    }
}
