//! Space: before the database outgrows its quota, or its disk is full, growth is refused by a replicated alarm, so
//! that every member refuses at the same place of the log. Deletions and compactions go on; an operator disarms the
//! alarm.
//!
//! A member keeps a ballast file. When the disk is all but full although nothing grows any more (others fill it), the
//! ballast goes, and the log can still take the deletions and compactions that make room.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, AlarmType};
use proto::raftsman_store_v1::command::Change;

use crate::services::Context;

/// Bytes that the state may take where nothing else is said; etcd's default.
pub const QUOTA_BYTES: i64 = 2 << 30;
/// How often the sizes are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of the ballast: a log's worth of deletions, and a flush.
const BALLAST_BYTES: u64 = 64 << 20;
/// The disk is short of space below this share of it (R16) ...
const SHORT_PERCENT: u64 = 5;
/// ... but not while this many quotas are free, more than the store can ever take.
const ENOUGH_QUOTAS: u64 = 4;

/// A disk and what the store takes of it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Space {
    total: u64,
    free: u64,
    ballast: u64,
}

/// What is to be done about space.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Decision {
    /// Why growth must end, if it must.
    alarm: Option<String>,
    /// Whether the ballast is to be there; `None`: as it is.
    ballast: Option<bool>,
}

fn decide(state_bytes: u64, quota: u64, space: Space) -> Decision {
    let short = (space.total / 100 * SHORT_PERCENT).min(quota.saturating_mul(ENOUGH_QUOTAS));
    let alarm = if state_bytes >= quota {
        Some(format!("the state has {state_bytes} bytes, its quota is {quota}"))
    } else if space.free < short {
        Some(format!("{} bytes of its disk are free, less than {short}", space.free))
    } else {
        None
    };
    let ballast = match space.ballast {
        0 => (space.free > short.saturating_add(2 * BALLAST_BYTES)).then_some(true),
        // What is left is not even another ballast: give this one up while it still helps.
        _ => (space.free < BALLAST_BYTES.min(short / 2)).then_some(false),
    };
    Decision { alarm, ballast }
}

/// Looks after the space of a member for as long as it is polled.
pub struct Quota {
    bytes: u64,
    ballast: PathBuf,
    dir: PathBuf,
}

impl Quota {
    /// A quota of `bytes` (0 or less: the default) for the store in `dir`.
    pub fn new(bytes: i64, dir: &Path) -> Self {
        let bytes = if bytes > 0 { bytes } else { QUOTA_BYTES } as u64;
        Self { bytes, ballast: dir.join("ballast"), dir: dir.to_owned() }
    }

    /// The quota in bytes.
    pub fn bytes(&self) -> i64 {
        self.bytes as i64
    }

    fn space(&self) -> io::Result<Space> {
        let disk = statvfs(&self.dir)?;
        let ballast = fs::metadata(&self.ballast).map_or(0, |file| file.len());
        let unit = disk.fragment_size();
        Ok(Space { total: disk.blocks() * unit, free: disk.blocks_available() * unit, ballast })
    }

    fn weigh(&self, wanted: bool) -> io::Result<()> {
        if !wanted {
            tracing::error!(
                "{} is all but full; the ballast is given up, so that data can be deleted",
                self.dir.display()
            );
            return fs::remove_file(&self.ballast);
        }
        let file = File::create(&self.ballast)?;
        let filled = fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES as i64);
        if filled.is_err() {
            // A file system without reservations: then there is no ballast.
            fs::remove_file(&self.ballast)?;
        }
        Ok(())
    }

    fn look(&self, state_bytes: u64) -> io::Result<Option<String>> {
        let decision = decide(state_bytes, self.bytes, self.space()?);
        if let Some(wanted) = decision.ballast {
            self.weigh(wanted)?;
        }
        Ok(decision.alarm)
    }

    /// Raises the alarm whenever it must be; ends only with the store.
    pub async fn watch(&self, context: &Context) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let view = context.view.clone();
            let Ok((total, _)) = tokio::task::spawn_blocking(move || view.disk().sizes()).await else { return };
            let reason = match self.look(total.max(0) as u64) {
                Ok(reason) => reason,
                Err(error) => {
                    tracing::warn!("the space of {} can't be told: {error}", self.dir.display());
                    continue;
                }
            };
            let member_id = context.node.id();
            let raised = context.view.shared().group.read().alarms.contains(&(member_id, AlarmType::Nospace as i32));
            let Some(reason) = reason.filter(|_| !raised) else { continue };
            let alarm =
                AlarmRequest { action: AlarmAction::Activate as i32, member_id, alarm: AlarmType::Nospace as i32 };
            match context.node.propose(Change::Alarm(alarm)).await {
                Ok(_) => tracing::error!("{reason}: the store refuses to grow until the alarm is disarmed"),
                Err(error) => tracing::warn!("the space alarm can't be raised: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn space(total: u64, free: u64, ballast: u64) -> Space {
        Space { total, free, ballast }
    }

    #[test]
    fn the_quota_and_a_twentieth_of_the_disk_are_kept() {
        let roomy = space(100 * GIB, 50 * GIB, BALLAST_BYTES);
        assert_eq!(decide(GIB, 2 * GIB, roomy), Decision::default());
        assert!(decide(2 * GIB, 2 * GIB, roomy).alarm.unwrap().contains("quota"));
        assert!(decide(0, 2 * GIB, space(100 * GIB, 5 * GIB, 1)).alarm.is_none());
        assert!(decide(0, 2 * GIB, space(100 * GIB, 4 * GIB, 1)).alarm.unwrap().contains("free"));
        // A twentieth of a large disk is more than the store could ever take.
        assert_eq!(decide(0, 2 * GIB, space(4000 * GIB, 9 * GIB, 1)).alarm, None);
        assert!(decide(0, 2 * GIB, space(4000 * GIB, 7 * GIB, 1)).alarm.is_some());
    }

    #[test]
    fn the_ballast_goes_last_and_comes_back_when_there_is_room() {
        let disk = 100 * GIB;
        assert_eq!(decide(0, 2 * GIB, space(disk, 50 * GIB, 0)).ballast, Some(true));
        assert_eq!(decide(0, 2 * GIB, space(disk, 50 * GIB, BALLAST_BYTES)).ballast, None);
        assert_eq!(decide(0, 2 * GIB, space(disk, 4 * GIB, 0)).ballast, None);
        assert_eq!(decide(0, 2 * GIB, space(disk, GIB, BALLAST_BYTES)).ballast, None);
        assert_eq!(decide(0, 2 * GIB, space(disk, BALLAST_BYTES - 1, BALLAST_BYTES)).ballast, Some(false));
        assert_eq!(decide(0, 2 * GIB, space(GIB / 4, GIB / 8, 0)).ballast, None);
    }

    #[test]
    fn the_ballast_takes_real_space() {
        let dir = tempfile::tempdir().unwrap();
        let quota = Quota::new(0, dir.path());
        quota.weigh(true).unwrap();
        assert_eq!(quota.space().unwrap().ballast, BALLAST_BYTES);
        quota.weigh(false).unwrap();
        assert_eq!(quota.space().unwrap().ballast, 0);
    }
}
