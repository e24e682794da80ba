//! The nodes and what is placed on them, kept up to date change by change.
//!
//! A change costs the same however large the cluster is: each Pod remembers its node and class, and coming or going
//! it adds to or takes from that node's load. A Pod that the scheduler has just placed counts from that moment
//! ("assumed"), long before the watch tells that the bind is committed; [`Cluster::forget`] takes it back when the
//! bind failed.

use std::collections::HashMap;
use std::sync::Arc;

use api::proto::core_v1::Node;

use crate::class::Class;
use crate::node::{NodeState, Offer};

/// A node's place in the table; kept as long as the node or a Pod on it is known.
pub type NodeIndex = usize;

#[derive(Debug, Default)]
pub struct Cluster {
    nodes: Vec<NodeState>,
    index_of: HashMap<String, NodeIndex>,
    vacant: Vec<NodeIndex>,
    placed: HashMap<String, Placed>,
    registered: usize,
}

#[derive(Debug)]
struct Placed {
    node: NodeIndex,
    class: Arc<Class>,
}

impl Cluster {
    /// A node came or changed. Answers whether it differs in anything that the scheduler weighs (its heartbeats
    /// don't).
    pub fn node_changed(&mut self, node: &Node) -> bool {
        let name = node.metadata.as_ref().map(|metadata| metadata.name.as_str()).unwrap_or_default();
        let offer = Offer::of(node);
        let index = self.index(name);
        let state = &mut self.nodes[index];
        if state.offer.as_ref() == Some(&offer) {
            return false;
        }
        if state.offer.replace(offer).is_none() {
            self.registered += 1;
        }
        self.nodes[index].version += 1;
        true
    }

    pub fn node_gone(&mut self, name: &str) {
        let Some(&index) = self.index_of.get(name) else { return };
        if self.nodes[index].offer.take().is_some() {
            self.registered -= 1;
        }
        self.release_if_unused(index);
    }

    /// A Pod is on that node: told by the watch, or just decided. Says whether that was new.
    pub fn place(&mut self, uid: &str, node_name: &str, class: &Arc<Class>) -> bool {
        let node = self.index(node_name);
        if let Some(known) = self.placed.get(uid) {
            if known.node == node && Arc::ptr_eq(&known.class, class) {
                return false;
            }
            self.forget(uid);
        }
        let node = self.index(node_name);
        let state = &mut self.nodes[node];
        state.load.take(class);
        state.version += 1;
        self.placed.insert(uid.to_owned(), Placed { node, class: Arc::clone(class) });
        true
    }

    /// The Pod has ended, is gone, or its bind failed. Says whether it took room.
    pub fn forget(&mut self, uid: &str) -> bool {
        let Some(Placed { node, class }) = self.placed.remove(uid) else { return false };
        let state = &mut self.nodes[node];
        state.load.give_back(&class);
        state.version += 1;
        self.release_if_unused(node);
        true
    }

    pub fn is_placed(&self, uid: &str) -> bool {
        self.placed.contains_key(uid)
    }

    /// The registered nodes; only these are candidates.
    pub fn offers(&self) -> impl Iterator<Item = (NodeIndex, &NodeState, &Offer)> {
        self.nodes.iter().enumerate().filter_map(|(index, node)| Some((index, node, node.offer.as_ref()?)))
    }

    pub fn node(&self, index: NodeIndex) -> &NodeState {
        &self.nodes[index]
    }

    pub fn registered(&self) -> usize {
        self.registered
    }

    fn index(&mut self, name: &str) -> NodeIndex {
        if let Some(&index) = self.index_of.get(name) {
            return index;
        }
        let state = NodeState { name: name.to_owned(), ..NodeState::default() };
        let index = match self.vacant.pop() {
            Some(index) => {
                self.nodes[index] = state;
                index
            }
            None => {
                self.nodes.push(state);
                self.nodes.len() - 1
            }
        };
        self.index_of.insert(name.to_owned(), index);
        index
    }

    fn release_if_unused(&mut self, index: NodeIndex) {
        let state = &self.nodes[index];
        if state.offer.is_none() && state.load.pods == 0 {
            self.index_of.remove(&state.name);
            self.nodes[index] = NodeState::default();
            self.vacant.push(index);
        }
    }
}
