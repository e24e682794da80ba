//! Whether a node takes a Pod of a class, and if not, why, in Kubernetes' words.
//!
//! The checks stand in the order of Kubernetes' default filters, and the first one that refuses speaks for the node;
//! only the last, resources, may give several reasons at once.

use std::borrow::Cow;

use crate::affinity;
use crate::class::Class;
use crate::node::{Load, NodeState, Offer};
use api::taint;

/// Why a node was refused; sorted and counted over all nodes it becomes the FailedScheduling message.
pub type Reason = Cow<'static, str>;

const UNSCHEDULABLE: Reason = Cow::Borrowed("node(s) were unschedulable");
const UNTOLERATED: Reason = Cow::Borrowed("node(s) had untolerated taint(s)");
const AFFINITY: Reason = Cow::Borrowed("node(s) didn't match Pod's node affinity/selector");
const PORTS: Reason = Cow::Borrowed("node(s) didn't have free ports for the requested pod ports");
const PODS: Reason = Cow::Borrowed("Too many pods");

/// What no Pod that comes or goes can change: schedulable at all, taints, labels. `Ok` or the one reason.
pub fn admits(class: &Class, name: &str, offer: &Offer) -> Result<(), Reason> {
    let tolerates_cordon = || {
        class
            .tolerations
            .iter()
            .any(|toleration| taint::tolerates(toleration, taint::UNSCHEDULABLE, "", taint::NO_SCHEDULE))
    };
    if offer.unschedulable && !tolerates_cordon() {
        return Err(UNSCHEDULABLE);
    }
    if taint::first_untolerated(&offer.taints, &class.tolerations).is_some() {
        return Err(UNTOLERATED);
    }
    let wanted = affinity::selector_matches(&class.node_selector, &offer.labels)
        && class.required_terms.as_ref().is_none_or(|terms| affinity::any_term_matches(terms, name, &offer.labels));
    if wanted { Ok(()) } else { Err(AFFINITY) }
}

/// Whether there is room now: ports, number of Pods, resources.
pub fn fits(class: &Class, offer: &Offer, load: &Load) -> bool {
    ports_free(class, load) && load.pods < offer.pod_limit && shortages(class, offer, load).is_empty()
}

/// All reasons against this node; empty when it would take the Pod.
pub fn reasons(class: &Class, node: &NodeState, offer: &Offer) -> Vec<Reason> {
    if let Err(reason) = admits(class, &node.name, offer) {
        return vec![reason];
    }
    if !ports_free(class, &node.load) {
        return vec![PORTS];
    }
    let mut reasons = Vec::new();
    if node.load.pods >= offer.pod_limit {
        reasons.push(PODS);
    }
    reasons
        .extend(shortages(class, offer, &node.load).into_iter().map(|name| Cow::Owned(format!("Insufficient {name}"))));
    reasons
}

fn ports_free(class: &Class, load: &Load) -> bool {
    class.host_ports.iter().all(|port| !load.host_ports.iter().any(|taken| taken.conflicts_with(port)))
}

fn shortages<'c>(class: &'c Class, offer: &Offer, load: &Load) -> Vec<&'c str> {
    class.requested.short_of(&NodeState::free(offer, load))
}
