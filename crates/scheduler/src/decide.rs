//! One pass: as many waiting Pods as possible each get the best node.
//!
//! The lines of [`Pending`] are merged by priority and age. Per class the nodes are asked once, and those that take
//! the Pod wait in a heap by score. Placing a Pod changes one node; its other scores, also those in the heaps of other
//! classes, become old. Since a score only falls (see `score`), an old one is an upper bound: when it comes to the
//! top and its node has changed meanwhile, it is worked out anew and put back, and what stays at the top is the best.
//!
//! ```text
//!   class A (3 wait)   heap: n2 91, n1 90, n3 40     -> n2, worked out anew 82, put back
//!                      heap: n1 90, n2 82, n3 40     -> n1 ...
//!   class B (1 waits)  heap: n2 95 (old: n2 has changed) -> anew 86, put back, top is n2 86 -> n2
//! ```
//!
//! Cost: nodes x classes once, then logarithmic for each Pod placed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::class::Class;
use crate::cluster::{Cluster, NodeIndex};
use crate::diagnosis;
use crate::filter;
use crate::pending::{Pending, Place, WaitingPod};
use crate::score::{self, Leaning, Scale, Score};

/// A Pod that got a node.
#[derive(Debug, Clone)]
pub struct Placement {
    pub pod: WaitingPod,
    pub node: String,
}

/// A Pod that is to be told why it got none.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub pod: WaitingPod,
    pub message: Arc<str>,
}

/// What a pass decided, for `act` to carry out.
#[derive(Debug, Default)]
pub struct Pass {
    pub placements: Vec<Placement>,
    pub refusals: Vec<Refusal>,
    /// When a Pod that was told another reason lately may be told the present one.
    pub report_at: Option<DateTime<Utc>>,
}

/// At most this many placements, and as many refusals, in one pass: about half a MiB of Pods, what one Commit takes.
/// Binds go out while others still wait.
pub const PASS_LIMIT: usize = 256;

/// Places waiting Pods: each placement is taken out of `pending` and counted in `cluster` at once.
pub fn pass(cluster: &mut Cluster, pending: &mut Pending, now: DateTime<Utc>) -> Pass {
    let mut pass = Pass::default();
    let mut heads: BinaryHeap<Reverse<Head>> =
        pending.heads().map(|(place, pod)| Reverse(Head { place, class: Arc::clone(&pod.class) })).collect();
    let mut candidates: HashMap<*const Class, Candidates> = HashMap::new();
    while let Some(Reverse(Head { class, .. })) = heads.pop() {
        if pass.placements.len() >= PASS_LIMIT {
            break;
        }
        let nodes = candidates.entry(Arc::as_ptr(&class)).or_insert_with(|| Candidates::of(&class, cluster));
        let Some(node) = nodes.best(&class, cluster) else {
            refuse(&class, cluster, pending, now, &mut pass);
            continue;
        };
        let Some(uid) = pending.head(&class).map(|(_, pod)| pod.uid.clone()) else { continue };
        if let Some(pod) = pending.remove(&uid) {
            let node = cluster.node(node).name.clone();
            cluster.place(&pod.uid, &node, &class);
            pass.placements.push(Placement { pod, node });
        }
        if let Some((place, _)) = pending.head(&class) {
            heads.push(Reverse(Head { place, class }));
        }
    }
    pass
}

/// Everyone in this line hears the reason, unless they have heard it.
fn refuse(class: &Arc<Class>, cluster: &Cluster, pending: &mut Pending, now: DateTime<Utc>, pass: &mut Pass) {
    let message: Arc<str> = diagnosis::explain(class, cluster).into();
    for pod in pending.line_mut(class) {
        match pod.report_due(&message) {
            Some(due) if due <= now => {
                if pass.refusals.len() >= PASS_LIMIT {
                    return;
                }
                // From now on, so that the next pass doesn't tell it again while this one is being written.
                pod.told = Some((Arc::clone(&message), now));
                pass.refusals.push(Refusal { pod: pod.clone(), message: Arc::clone(&message) });
            }
            Some(due) => pass.report_at = Some(pass.report_at.map_or(due, |at| at.min(due))),
            None => {}
        }
    }
}

/// The head of a line in the merge of all lines.
struct Head {
    place: Place,
    class: Arc<Class>,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

/// The nodes that take a class, best score first.
struct Candidates {
    heap: BinaryHeap<Candidate>,
    scale: Scale,
}

/// Compared by score; among equals the node that is known longest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    score: Score,
    node: Reverse<NodeIndex>,
    /// The node's version at which the score was worked out.
    version: u64,
    leaning: Leaning,
}

impl Candidates {
    fn of(class: &Class, cluster: &Cluster) -> Self {
        let mut scale = Scale::default();
        let mut fitting = Vec::new();
        for (index, node, offer) in cluster.offers() {
            if filter::admits(class, &node.name, offer).is_ok() && filter::fits(class, offer, &node.load) {
                let leaning = score::leaning(class, &node.name, offer);
                scale.include(leaning);
                fitting.push((index, node, offer, leaning));
            }
        }
        let heap = fitting
            .into_iter()
            .map(|(index, node, offer, leaning)| Candidate {
                score: score::score(class, offer, &node.load, leaning, scale),
                node: Reverse(index),
                version: node.version,
                leaning,
            })
            .collect();
        Self { heap, scale }
    }

    /// The best node as it is now. It stays in the heap: once the Pod is on it, its score is old.
    fn best(&mut self, class: &Class, cluster: &Cluster) -> Option<NodeIndex> {
        while let Some(mut top) = self.heap.pop() {
            let node = cluster.node(top.node.0);
            let offer = node.offer.as_ref()?;
            if node.version == top.version {
                let index = top.node.0;
                self.heap.push(top);
                return Some(index);
            }
            // Room only shrinks within a pass: a node that is full now is out.
            if filter::fits(class, offer, &node.load) {
                top.score = score::score(class, offer, &node.load, top.leaning, self.scale);
                top.version = node.version;
                self.heap.push(top);
            }
        }
        None
    }
}
