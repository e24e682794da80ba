//! The fence of design D7 on the agent's side: what the committed renewals of the node's Lease allow.
//!
//! ```text
//!  renewals, each as of when it was sent:   o----o----o----o                        o----o----o
//!                                           '-- a tenure --'  LAPSE: 40 s or more   '-- another ...
//!  containers may begin                     ================~~~~~~~~~              ...
//!                                                           until ends_after        only when the Pods were asked for anew
//! ```
//!
//! While renewals follow each other closely the control plane can't have given up a Pod of this node in between. After a lapse
//! it may have, so what the agent knows is worth nothing until it has listed its Pods anew. Shims hold the same deadline by
//! themselves, from the file that [`tell_shims`] writes: they need no agent for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::fence::{LAPSE, ends_after};
use proto::core_v1::PodSpec;
use tokio::sync::watch;

use crate::runtime::shim_files;

/// How often a node's lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// The same while a Pod is here that would not outlive two missed renewals.
const RENEW_OFTEN: Duration = Duration::from_secs(5);
/// Pods that end so soon after a renewal make it more frequent.
const SHORT: Duration = Duration::from_secs(40);

/// How long after the last renewal of the node's lease a Pod's containers end; `None`: never.
pub fn after(spec: &PodSpec) -> Option<Duration> {
    ends_after(&spec.tolerations)
}

/// Nanoseconds since the machine booted, suspended time included.
pub fn boot_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec; the clock exists on every kernel since 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut ts) };
    u64::try_from(ts.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(ts.tv_nsec).unwrap_or(0)
}

/// What is known of the renewals; times in nanoseconds of the boot clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// When the last committed renewal was sent.
    sent: Option<u64>,
    /// The unbroken row of renewals that it belongs to, by when its first was sent; 0: there was none.
    pub tenure: u64,
    /// The tenure in which the node's Pods were last listed.
    listed: u64,
}

impl Standing {
    /// After a renewal that was sent at `sent` and known as committed at `answered`.
    fn renewed(self, sent: u64, answered: u64) -> Standing {
        let unbroken = self.sent.is_some_and(|before| answered.saturating_sub(before) < nanos(LAPSE));
        Standing { sent: Some(sent), tenure: if unbroken { self.tenure } else { sent }, ..self }
    }

    /// Whether a container may begin that ends `after` a renewal.
    pub fn may_begin(&self, after: Option<Duration>, now: u64) -> bool {
        let Some(after) = after else { return true };
        self.listed == self.tenure && self.left(after, now).is_some_and(|left| left > Duration::ZERO)
    }

    /// How long a container may still live that ends `after` a renewal; `None`: this process knows of no renewal, and the shims
    /// know better.
    pub fn left(&self, after: Duration, now: u64) -> Option<Duration> {
        let ends_at = self.sent?.saturating_add(nanos(after));
        Some(Duration::from_nanos(ends_at.saturating_sub(now)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The standing of this process's nodes, shared by who renews, who lists and who begins containers.
#[derive(Default)]
pub struct Fence {
    standing: watch::Sender<Standing>,
    /// Pods here that end soon after a renewal.
    short: Arc<AtomicUsize>,
}

impl Fence {
    pub fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// A renewal of all leases is committed. The shims hear of it first: a container that begins by it must find it.
    pub fn renewed(&self, lease: &Path, sent: u64) -> io::Result<()> {
        let standing = self.standing().renewed(sent, boot_ns());
        tell_shims(lease, sent, standing.tenure)?;
        // Who renews is one task, but a list may have ended meanwhile.
        self.standing.send_modify(|now| *now = Standing { listed: now.listed, ..standing });
        Ok(())
    }

    /// All Pods are known as they were after the renewal that began `tenure`.
    pub fn listed(&self, tenure: u64) {
        self.standing.send_modify(|standing| standing.listed = tenure);
    }

    /// Waits for another tenure than this.
    pub async fn another_tenure(&self, than: u64) {
        let mut standing = self.standing.subscribe();
        // The sender lives in `self`.
        standing.wait_for(|standing| standing.tenure != than).await.expect("the sender is alive");
    }

    /// Waits until a container may begin that ends `after` a renewal.
    pub async fn opens(&self, after: Option<Duration>) {
        let mut standing = self.standing.subscribe();
        standing.wait_for(|standing| standing.may_begin(after, boot_ns())).await.expect("the sender is alive");
    }

    /// Keeps the renewals frequent enough for a Pod while it is here.
    pub fn take_in(&self, after: Option<Duration>) -> Option<Short> {
        after.filter(|after| *after < SHORT).map(|_| {
            self.short.fetch_add(1, Ordering::Relaxed);
            Short(self.short.clone())
        })
    }

    pub fn renew_every(&self) -> Duration {
        if self.short.load(Ordering::Relaxed) > 0 { RENEW_OFTEN } else { RENEW_EVERY }
    }
}

/// A Pod that ends soon after a renewal.
pub struct Short(Arc<AtomicUsize>);

impl Drop for Short {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes the last renewal for the shims: when it was sent, the boot that this clock belongs to, its tenure. The record is
/// overwritten in place, so that a full disk ends no container of a healthy node; the numbers stand in it twice, so that a shim
/// that reads it half-written knows. Not synced: the clock does not survive a reboot either.
fn tell_shims(lease: &Path, sent: u64, tenure: u64) -> io::Result<()> {
    let record = record(sent, &shim_files::boot_id()?, tenure);
    match OpenOptions::new().write(true).open(lease) {
        Ok(file) if file.metadata()?.len() == record.len() as u64 => file.write_all_at(record.as_bytes(), 0),
        // The first since the boot, or one of an agent of before.
        Ok(_) => begin_record(lease, &record),
        Err(error) if error.kind() == io::ErrorKind::NotFound => begin_record(lease, &record),
        Err(error) => Err(error),
    }
}

/// Of the same length always.
fn record(sent: u64, boot: &str, tenure: u64) -> String {
    format!("{sent:020} {boot:36} {tenure:020} {sent:020} {tenure:020}\n")
}

fn begin_record(lease: &Path, record: &str) -> io::Result<()> {
    let unfinished = lease.with_extension("new");
    let mut file = File::create(&unfinished)?;
    file.write_all(record.as_bytes())?;
    // Until then its place on the disk may not be its own.
    file.sync_all()?;
    std::fs::rename(&unfinished, lease)
}

/// Removes a renewal of an earlier boot: its clock has nothing to do with this one's.
pub fn drop_stale(lease: &Path) -> io::Result<()> {
    match std::fs::read_to_string(lease) {
        Ok(text) if text.split_ascii_whitespace().nth(1) == Some(shim_files::boot_id()?.as_str()) => Ok(()),
        Ok(_) => std::fs::remove_file(lease),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const AFTER: Option<Duration> = Some(Duration::from_secs(300));

    #[test]
    fn nothing_begins_before_the_first_renewal_and_the_list_that_follows_it() {
        let none = Standing::default();
        assert!(!none.may_begin(AFTER, 0));
        assert_eq!(none.left(Duration::from_secs(300), 0), None, "what runs from before is the shims' to end");
        assert!(none.may_begin(None, 0), "what stays for ever is never given up");
        let renewed = none.renewed(100 * S, 101 * S);
        assert_eq!(renewed.tenure, 100 * S);
        assert!(!renewed.may_begin(AFTER, 102 * S));
        let listed = Standing { listed: renewed.tenure, ..renewed };
        assert!(listed.may_begin(AFTER, 102 * S));
        assert!(listed.may_begin(AFTER, 399 * S) && !listed.may_begin(AFTER, 400 * S), "counted from the sending");
    }

    #[test]
    fn a_lapse_is_measured_from_the_sending_to_the_next_answer() {
        let first = Standing { listed: 100 * S, ..Standing::default().renewed(100 * S, 101 * S) };
        let close = first.renewed(110 * S, 139 * S);
        assert_eq!((close.tenure, close.may_begin(AFTER, 140 * S)), (100 * S, true));
        // Sent in time, but nobody knows when it was committed: it may have been after a Pod was given up.
        let late = first.renewed(110 * S, 140 * S);
        assert_eq!((late.tenure, late.may_begin(AFTER, 141 * S)), (110 * S, false));
        assert!(Standing { listed: 110 * S, ..late }.may_begin(AFTER, 141 * S));
    }

    #[tokio::test]
    async fn the_shims_hear_of_a_renewal_before_containers_may_begin() {
        let dir = tempfile::tempdir().unwrap();
        let lease = dir.path().join("lease");
        let fence = Fence::default();
        let sent = boot_ns();
        fence.renewed(&lease, sent).unwrap();
        let text = std::fs::read_to_string(&lease).unwrap();
        assert_eq!(text, record(sent, &shim_files::boot_id().unwrap(), sent));
        fence.another_tenure(0).await;
        fence.listed(sent);
        fence.opens(AFTER).await;
        assert!(fence.renewed(Path::new("/no/such/folder/lease"), sent + S).is_err());
        assert_eq!(fence.standing().sent, Some(sent), "a renewal that no shim knows of counts for nobody");
        drop_stale(&lease).unwrap();
        assert!(lease.exists());
        std::fs::write(&lease, "1 another-boot 1\n").unwrap();
        drop_stale(&lease).unwrap();
        assert!(!lease.exists());
    }

    #[test]
    fn a_renewal_needs_no_room_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let lease = dir.path().join("lease");
        tell_shims(&lease, 7, 7).unwrap();
        // As on a full disk: nothing can be begun beside it.
        std::fs::create_dir(dir.path().join("lease.new")).unwrap();
        tell_shims(&lease, u64::MAX, 7).unwrap();
        let text = std::fs::read_to_string(&lease).unwrap();
        assert_eq!(text, record(u64::MAX, &shim_files::boot_id().unwrap(), 7));
    }

    #[test]
    fn renewals_are_more_frequent_while_a_pod_needs_it() {
        let fence = Fence::default();
        assert_eq!(fence.renew_every(), RENEW_EVERY);
        let long = fence.take_in(AFTER);
        let short = fence.take_in(Some(Duration::from_secs(20)));
        assert!(long.is_none());
        assert_eq!(fence.renew_every(), RENEW_OFTEN);
        drop(short);
        assert_eq!(fence.renew_every(), RENEW_EVERY);
    }
}
