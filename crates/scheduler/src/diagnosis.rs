//! Why a Pod can be placed nowhere, as one line in Kubernetes' words:
//! `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).`

use std::collections::BTreeMap;

use crate::class::Class;
use crate::cluster::Cluster;
use crate::filter;

/// Counts each reason over all nodes. A node short of several resources counts for each of them, so the figures may
/// add up to more than there are nodes.
pub fn explain(class: &Class, cluster: &Cluster) -> String {
    if cluster.registered() == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut counts: BTreeMap<filter::Reason, usize> = BTreeMap::new();
    for (_, node, offer) in cluster.offers() {
        for reason in filter::reasons(class, node, offer) {
            *counts.entry(reason).or_default() += 1;
        }
    }
    let mut lines: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    // Kubernetes sorts the finished texts, counts and all.
    lines.sort();
    format!("0/{} nodes are available: {}.", cluster.registered(), lines.join(", "))
}
