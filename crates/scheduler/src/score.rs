//! Which of the nodes that take a Pod takes it best.
//!
//! A score only falls as Pods are placed on a node, never rises: `decide` relies on it when it keeps old scores as
//! upper bounds. (That is why Kubernetes' balanced-allocation score has no place here.)

use std::cmp::Reverse;

use crate::affinity;
use crate::class::Class;
use crate::node::{Load, Offer};
use api::taint;

/// Ordered by what counts first. Larger is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Weighed sum of preferences and free share, as Kubernetes weighs its plugins, in thousandths of a point.
    points: i64,
    /// Among equals the node with the fewest Pods, so that Pods spread.
    fewest_pods: Reverse<i64>,
}

/// Kubernetes' weights of the plugins that we have.
const WEIGHT_TAINTS: i64 = 3;
const WEIGHT_AFFINITY: i64 = 2;
const WEIGHT_FREE: i64 = 1;

/// A plugin gives at most 100 points.
const MOST: i64 = 100_000;

/// The part of a score that depends on class and node only, not on the Pods there: preferred affinity and
/// discouraging taints. Kubernetes scales both to the best and worst of the candidates; these are the raw figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaning {
    preference: i64,
    discouraging: i64,
}

pub fn leaning(class: &Class, name: &str, offer: &Offer) -> Leaning {
    Leaning {
        preference: affinity::preference(&class.preferred_terms, name, &offer.labels),
        discouraging: taint::discouraging(&offer.taints, &class.tolerations) as i64,
    }
}

/// The largest raw figures among the candidates, to scale by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scale {
    preference: i64,
    discouraging: i64,
}

impl Scale {
    pub fn include(&mut self, leaning: Leaning) {
        self.preference = self.preference.max(leaning.preference);
        self.discouraging = self.discouraging.max(leaning.discouraging);
    }
}

pub fn score(class: &Class, offer: &Offer, load: &Load, leaning: Leaning, scale: Scale) -> Score {
    let preferred = share(leaning.preference, scale.preference);
    let encouraged = MOST - share(leaning.discouraging, scale.discouraging);
    let cpu = free_share(offer.allocatable.milli_cpu, load.expected.milli_cpu, class.expected.milli_cpu);
    let memory = free_share(offer.allocatable.memory, load.expected.memory, class.expected.memory);
    Score {
        points: WEIGHT_AFFINITY * preferred + WEIGHT_TAINTS * encouraged + WEIGHT_FREE * (cpu + memory) / 2,
        fewest_pods: Reverse(load.pods),
    }
}

/// What would be left with the Pod on it, as a share of what the node has.
fn free_share(allocatable: i64, used: i64, wanted: i64) -> i64 {
    if allocatable <= 0 {
        return 0;
    }
    let left = i128::from(allocatable) - i128::from(used) - i128::from(wanted);
    (left.max(0) * i128::from(MOST) / i128::from(allocatable)) as i64
}

fn share(part: i64, whole: i64) -> i64 {
    if whole <= 0 { 0 } else { part * MOST / whole }
}
