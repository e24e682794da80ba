//! When a Pod of a node that has fallen silent is over (design D7): one rule for the node, which ends it, and for the control
//! plane, which may replace it only after that.
//!
//! ```text
//!  the agent sends a renewal of the node's Lease at t, and it is committed; none after it is
//!  t ------------- t + [`ends_after`] ------------------------------ t' + [`lost_after`]
//!                  agent and shim have ended the containers          the control plane has seen that renewal at t' >= t,
//!                  by CLOCK_BOOTTIME of their machine                and fails the Pod, by a clock of its own
//! ```
//!
//! A machine that is paused as a whole (a virtual machine that is moved, say) holds no deadline while it is; woken after
//! the replacement has begun, its containers run on for the moment until their shims are scheduled.

use std::time::Duration;

use proto::core_v1::Toleration;

use crate::taint::{NO_EXECUTE, tolerates};

/// The taint of a node that nobody has heard of.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// The reason of a Pod that the control plane has given up with its node, as Failed: nothing that its node says later counts.
pub const NODE_LOST: &str = "NodeLost";
/// The reason of a container, and of its Pod, that its node has ended because the node's Lease was not renewed.
pub const NODE_UNREACHABLE: &str = "NodeUnreachable";

/// No container is ended sooner after a renewal, whatever its Pod tolerates: renewals come every ten seconds, five where a Pod
/// tolerates little, and one that takes long must not end the Pods of a healthy node.
pub const ENDS_AFTER_MIN: Duration = Duration::from_secs(20);

/// After so long without a renewal an agent begins nothing that it knows from before: it asks for its Pods anew. Shorter than
/// any [`lost_after`], so that what it knows while renewals follow each other more quickly is never a Pod that was given up.
pub const LAPSE: Duration = Duration::from_secs(40);

/// What the control plane waits beyond the end of the toleration.
const MARGIN: Duration = Duration::from_secs(60);
/// Two clocks may run apart by twice the 500 ppm that NTP slews by: a part of this many, and as much again to be safe.
const DRIFT_PART: u32 = 500;

/// How long a Pod stays on a node with this taint of effect NoExecute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stay {
    /// Zero: it does not tolerate the taint.
    For(Duration),
    ForEver,
}

/// The shortest of the tolerations that permit the taint; those without tolerationSeconds set no limit.
pub fn stay(tolerations: &[Toleration], key: &str, value: &str) -> Stay {
    let mut permits = tolerations.iter().filter(|toleration| tolerates(toleration, key, value, NO_EXECUTE)).peekable();
    if permits.peek().is_none() {
        return Stay::For(Duration::ZERO);
    }
    match permits.filter_map(|toleration| toleration.toleration_seconds).min() {
        Some(seconds) => Stay::For(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
        None => Stay::ForEver,
    }
}

/// Whether a Pod would be given up sooner by the new tolerations. Where it runs already, its node ends it by those that it began
/// with, so that must not be.
pub fn is_shortened(new: &[Toleration], old: &[Toleration]) -> bool {
    stay(new, UNREACHABLE, "") < stay(old, UNREACHABLE, "")
}

/// How long after a renewal of the node's Lease was sent its containers end; `None`: never by this.
pub fn ends_after(tolerations: &[Toleration]) -> Option<Duration> {
    match stay(tolerations, UNREACHABLE, "") {
        Stay::For(stay) => Some(stay.max(ENDS_AFTER_MIN)),
        Stay::ForEver => None,
    }
}

/// How long after the last sign of life of its node the control plane gives the Pod up; `None`: never. `grace` is how long a
/// node may be silent before it counts as unreachable.
pub fn lost_after(tolerations: &[Toleration], grace: Duration) -> Option<Duration> {
    match stay(tolerations, UNREACHABLE, "") {
        Stay::For(stay) => {
            let margin = MARGIN.saturating_add(stay / DRIFT_PART);
            Some(grace.saturating_add(stay).saturating_add(margin))
        }
        Stay::ForEver => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn toleration(key: &str, operator: &str, effect: &str, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: key.into(),
            operator: operator.into(),
            effect: effect.into(),
            toleration_seconds: seconds,
            ..Toleration::default()
        }
    }

    fn seconds(count: u64) -> Stay {
        Stay::For(Duration::from_secs(count))
    }

    #[test]
    fn the_shortest_toleration_that_permits_decides() {
        let of = |tolerations: &[Toleration]| stay(tolerations, UNREACHABLE, "");
        let own = |seconds| toleration(UNREACHABLE, "Exists", "NoExecute", seconds);
        assert_eq!(of(&[]), seconds(0));
        assert_eq!(of(&[own(Some(9)), own(Some(7)), own(None)]), seconds(7));
        assert_eq!(of(&[own(None)]), Stay::ForEver);
        assert_eq!(of(&[own(Some(-3))]), seconds(0));
        assert_eq!(of(&[toleration("", "Exists", "", None)]), Stay::ForEver, "tolerates everything");
        assert_eq!(of(&[toleration("other", "Exists", "NoExecute", None)]), seconds(0));
        assert_eq!(of(&[toleration(UNREACHABLE, "Exists", "NoSchedule", None)]), seconds(0));
        // It names a value that the taint does not have.
        let other_value = Toleration { value: "x".into(), ..toleration(UNREACHABLE, "Equal", "NoExecute", None) };
        assert_eq!(of(&[other_value]), seconds(0));
    }

    #[test]
    fn a_stay_for_ever_is_the_longest() {
        let own = |seconds| [toleration(UNREACHABLE, "Exists", "NoExecute", seconds)];
        assert!(is_shortened(&own(Some(i64::MAX)), &own(None)) && !is_shortened(&own(None), &own(Some(1))));
        assert!(is_shortened(&own(Some(1)), &own(Some(2))) && !is_shortened(&own(Some(2)), &own(Some(2))));
        assert!(is_shortened(&[], &own(Some(2))) && !is_shortened(&own(Some(2)), &[]));
    }

    #[test]
    fn a_healthy_node_keeps_what_tolerates_nothing() {
        assert_eq!(ends_after(&[]), Some(ENDS_AFTER_MIN));
        assert_eq!(lost_after(&[], Duration::from_secs(50)), Some(Duration::from_secs(110)));
    }

    proptest! {
        /// The promise of D7: with clocks that run apart by 1000 ppm, and a renewal seen the moment it was sent, a Pod is
        /// over on its node for some seconds at least before it is given up; and who may be given up must be asked for anew.
        #[test]
        fn a_pod_has_ended_before_it_is_given_up(
            stays in proptest::collection::vec((0..3usize, proptest::option::of(-10i64..2_000_000_000)), 0..4),
            grace in 0u64..4000,
        ) {
            let tolerations: Vec<Toleration> = stays
                .into_iter()
                .map(|(kind, seconds)| match kind {
                    0 => toleration(UNREACHABLE, "Exists", "NoExecute", seconds),
                    1 => toleration("", "Exists", "", seconds),
                    _ => Toleration { value: "x".into(), ..toleration(UNREACHABLE, "Equal", "", seconds) },
                })
                .collect();
            let lost = lost_after(&tolerations, Duration::from_secs(grace));
            match (ends_after(&tolerations), lost) {
                (Some(ends), Some(lost)) => {
                    let by_a_slow_clock = ends.mul_f64(1.001);
                    prop_assert!(lost >= by_a_slow_clock + Duration::from_secs(30), "{ends:?} {lost:?}");
                    prop_assert!(lost >= LAPSE.mul_f64(1.001) + Duration::from_secs(15));
                }
                (None, None) => {}
                (ends, lost) => prop_assert!(false, "{ends:?} {lost:?}"),
            }
        }
    }
}
