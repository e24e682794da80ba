//! The fence of design D7: how long a Pod may live on a node that is cut off from the control plane, and the clock that both
//! the agent and its shims hold it on.

use std::io;
use std::path::Path;
use std::time::Duration;

use proto::core_v1::PodSpec;

use crate::runtime::shim_files;

const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// What the API server gives Pods that say nothing.
const DEFAULT: Duration = Duration::from_secs(300);

/// How long after the last renewal of the node's lease a Pod's containers end; `None`: never.
pub fn after(spec: &PodSpec) -> Option<Duration> {
    let tolerates = |key: &str, effect: &str| {
        (key == UNREACHABLE || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
    };
    let mut shortest: Option<Duration> = None;
    let mut tolerated = false;
    for toleration in spec.tolerations.iter().filter(|toleration| tolerates(&toleration.key, &toleration.effect)) {
        if toleration.key.is_empty() && toleration.operator != "Exists" {
            continue;
        }
        tolerated = true;
        if let Some(seconds) = toleration.toleration_seconds {
            let after = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            shortest = Some(shortest.map_or(after, |shortest| shortest.min(after)));
        }
    }
    if tolerated { shortest } else { Some(DEFAULT) }
}

/// Nanoseconds since the machine booted, suspended time included.
pub fn boot_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec; the clock exists on every kernel since 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut ts) };
    u64::try_from(ts.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(ts.tv_nsec).unwrap_or(0)
}

/// Tells the shims of a committed renewal, as of when its request was sent. Not synced: the clock does not survive a reboot.
pub fn renewed(lease: &Path, sent_boot_ns: u64) -> io::Result<()> {
    let unfinished = lease.with_extension("new");
    std::fs::write(&unfinished, format!("{sent_boot_ns} {}\n", shim_files::boot_id()?))?;
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
    use proto::core_v1::Toleration;

    use super::*;

    #[test]
    fn the_toleration_decides() {
        let of = |tolerations: Vec<Toleration>| after(&PodSpec { tolerations, ..PodSpec::default() });
        let toleration = |key: &str, seconds| Toleration {
            key: key.into(),
            operator: "Exists".into(),
            effect: "NoExecute".into(),
            toleration_seconds: seconds,
            ..Toleration::default()
        };
        assert_eq!(of(vec![]), Some(DEFAULT));
        assert_eq!(
            of(vec![toleration(UNREACHABLE, Some(7)), toleration(UNREACHABLE, Some(9))]),
            Some(Duration::from_secs(7))
        );
        assert_eq!(of(vec![toleration(UNREACHABLE, None)]), None);
        assert_eq!(of(vec![toleration("", None)]), None, "tolerates everything");
        assert_eq!(of(vec![toleration("other", None)]), Some(DEFAULT));
        let no_schedule = Toleration { effect: "NoSchedule".into(), ..toleration(UNREACHABLE, None) };
        assert_eq!(of(vec![no_schedule]), Some(DEFAULT));
    }
}
