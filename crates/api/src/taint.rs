//! Taints repel, tolerations permit.

use proto::core_v1::{Taint, Toleration};

pub const NO_SCHEDULE: &str = "NoSchedule";
pub const NO_EXECUTE: &str = "NoExecute";
pub const PREFER_NO_SCHEDULE: &str = "PreferNoSchedule";

/// The taint that `kubectl cordon` implies: a Pod that tolerates it may run on an unschedulable node.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// A toleration permits a taint when effect, key and value agree; an empty effect agrees with each effect, an empty
/// key with operator `Exists` with each key, and `Exists` with each value.
pub fn tolerates(toleration: &Toleration, key: &str, value: &str, effect: &str) -> bool {
    if !toleration.effect.is_empty() && toleration.effect != effect {
        return false;
    }
    if !toleration.key.is_empty() && toleration.key != key {
        return false;
    }
    match toleration.operator.as_str() {
        "" | "Equal" => !toleration.key.is_empty() && toleration.value == value,
        "Exists" => true,
        _ => false,
    }
}

/// The first taint that keeps a Pod with these tolerations off the node.
pub fn first_untolerated<'t>(taints: &'t [Taint], tolerations: &[Toleration]) -> Option<&'t Taint> {
    taints.iter().filter(|taint| taint.effect == NO_SCHEDULE || taint.effect == NO_EXECUTE).find(|taint| {
        !tolerations.iter().any(|toleration| tolerates(toleration, &taint.key, &taint.value, &taint.effect))
    })
}

/// How many taints would rather have this Pod elsewhere.
pub fn discouraging(taints: &[Taint], tolerations: &[Toleration]) -> usize {
    taints
        .iter()
        .filter(|taint| taint.effect == PREFER_NO_SCHEDULE)
        .filter(|taint| {
            !tolerations.iter().any(|toleration| tolerates(toleration, &taint.key, &taint.value, &taint.effect))
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: &str) -> Taint {
        Taint { key: key.into(), value: value.into(), effect: effect.into(), ..Default::default() }
    }

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
        Toleration {
            key: key.into(),
            operator: operator.into(),
            value: value.into(),
            effect: effect.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_toleration_agrees_by_key_value_and_effect() {
        let gpu = [taint("gpu", "a100", NO_SCHEDULE)];
        for (tolerations, permitted) in [
            (vec![], false),
            (vec![toleration("gpu", "Equal", "a100", NO_SCHEDULE)], true),
            (vec![toleration("gpu", "", "a100", "")], true),
            (vec![toleration("gpu", "Equal", "h100", NO_SCHEDULE)], false),
            (vec![toleration("gpu", "Exists", "", NO_EXECUTE)], false),
            (vec![toleration("gpu", "Exists", "", "")], true),
            (vec![toleration("", "Exists", "", "")], true),
            (vec![toleration("", "Equal", "a100", "")], false),
            (vec![toleration("tpu", "Exists", "", "")], false),
        ] {
            assert_eq!(first_untolerated(&gpu, &tolerations).is_none(), permitted, "{tolerations:?}");
        }
    }

    #[test]
    fn a_preference_repels_nobody_but_is_counted() {
        let taints = [taint("old", "", PREFER_NO_SCHEDULE), taint("slow", "", PREFER_NO_SCHEDULE)];
        assert!(first_untolerated(&taints, &[]).is_none());
        assert_eq!(discouraging(&taints, &[toleration("old", "Exists", "", "")]), 1);
    }
}
