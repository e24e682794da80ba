//! Conditions of Jobs, Pods and Nodes: find one, set one.

use proto::meta_v1::Time;

use crate::time::{Instant, to_time};

/// What conditions of all kinds have in common.
pub trait Condition {
    /// The type: `Complete`, `Ready`.
    fn kind(&self) -> &str;
    /// `True`, `False` or `Unknown`.
    fn status(&self) -> &str;
    /// Reason and message.
    fn why(&self) -> (&str, &str);
    /// When the status last changed.
    fn transition_mut(&mut self) -> &mut Option<Time>;
}

macro_rules! conditions {
    ($($message:path),*) => {$(
        impl Condition for $message {
            fn kind(&self) -> &str {
                &self.r#type
            }
            fn status(&self) -> &str {
                &self.status
            }
            fn why(&self) -> (&str, &str) {
                (&self.reason, &self.message)
            }
            fn transition_mut(&mut self) -> &mut Option<Time> {
                &mut self.last_transition_time
            }
        }
    )*};
}
conditions!(
    proto::batch_v1::JobCondition,
    proto::core_v1::PodCondition,
    proto::core_v1::NodeCondition,
    proto::meta_v1::Condition
);

/// The condition of this type.
pub fn find<'a, C: Condition>(conditions: &'a [C], kind: &str) -> Option<&'a C> {
    conditions.iter().find(|condition| condition.kind() == kind)
}

/// Whether the condition of this type is there and `True`.
pub fn is_true<C: Condition>(conditions: &[C], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status() == "True")
}

/// Whether the condition of this type is there and `False`.
pub fn is_false<C: Condition>(conditions: &[C], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status() == "False")
}

/// Puts `new` in the place of the condition of its type. The transition time stays while the status does, else it becomes
/// `now`. Tells whether anything changed; where nothing did, the condition in place is kept as it was.
pub fn set<C: Condition>(conditions: &mut Vec<C>, mut new: C, now: Instant) -> bool {
    let Some(at) = conditions.iter().position(|old| old.kind() == new.kind()) else {
        *new.transition_mut() = Some(to_time(now));
        conditions.push(new);
        return true;
    };
    let old = &mut conditions[at];
    let same_status = old.status() == new.status();
    if same_status && old.why() == new.why() {
        return false;
    }
    *new.transition_mut() = if same_status { *old.transition_mut() } else { Some(to_time(now)) };
    *old = new;
    true
}

/// A Job's condition; both its times are `now`.
pub fn job(kind: &str, status: bool, reason: &str, message: &str, now: Instant) -> proto::batch_v1::JobCondition {
    proto::batch_v1::JobCondition {
        r#type: kind.to_string(),
        status: if status { "True" } else { "False" }.to_string(),
        last_probe_time: Some(to_time(now)),
        last_transition_time: Some(to_time(now)),
        reason: reason.to_string(),
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{opt, parse_rfc3339};

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let first = parse_rfc3339("2026-01-01T00:00:00Z").expect("a time");
        let later = parse_rfc3339("2026-01-01T00:01:00Z").expect("a time");
        let mut conditions = vec![];
        assert!(set(&mut conditions, job("Suspended", true, "JobSuspended", "", first), first));
        assert!(!set(&mut conditions, job("Suspended", true, "JobSuspended", "", later), later));
        assert!(set(&mut conditions, job("Suspended", true, "JobSuspended", "why", later), later));
        assert_eq!(opt(&conditions[0].last_transition_time), Some(first));
        assert!(set(&mut conditions, job("Suspended", false, "JobResumed", "", later), later));
        assert_eq!(opt(&conditions[0].last_transition_time), Some(later));
        assert!(is_false(&conditions, "Suspended") && !is_true(&conditions, "Complete"));
    }
}
