//! The recent past of one kind, for watches that resume and for watchers that are slower than the feed.

use std::collections::VecDeque;
use std::sync::Arc;

use super::object::CachedObject;

/// Events kept at most.
const MAX_EVENTS: usize = 8192;
/// Bytes of objects kept at most, in MiB; shared with the cache where an object is still the current one.
const MAX_MIB: usize = 16;

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The state before; `None` when the object was created.
    pub before: Option<Arc<CachedObject>>,
    /// The state after; `None` when the object was deleted (then `before` is its last state).
    pub after: Option<Arc<CachedObject>>,
}

/// All changes of one kind at one revision.
#[derive(Debug)]
pub(crate) struct Batch {
    pub revision: i64,
    pub changes: Vec<Change>,
    weight: usize,
}

impl Batch {
    pub(crate) fn new(revision: i64, changes: Vec<Change>) -> Self {
        let weigh = |object: &Option<Arc<CachedObject>>| object.as_ref().map_or(0, |object| object.weight());
        let weight = changes.iter().map(|change| weigh(&change.before) + weigh(&change.after)).sum();
        Batch { revision, changes, weight }
    }
}

/// A bounded queue of batches in revision order. Everything after `floor` is in it.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    batches: VecDeque<Arc<Batch>>,
    floor: i64,
    events: usize,
    weight: usize,
}

impl Ring {
    /// A ring that knows what comes after `floor`, which is nothing yet.
    pub(crate) fn new(floor: i64) -> Self {
        Ring { floor, ..Ring::default() }
    }

    /// Appends a batch; its revision is greater than all before.
    pub(crate) fn push(&mut self, batch: Arc<Batch>) {
        self.events += batch.changes.len();
        self.weight += batch.weight;
        self.batches.push_back(batch);
        while self.batches.len() > 1 && (self.events > MAX_EVENTS || self.weight > MAX_MIB << 20) {
            let oldest = self.batches.pop_front().expect("more than one");
            self.events -= oldest.changes.len();
            self.weight -= oldest.weight;
            self.floor = oldest.revision;
        }
    }

    /// The batches after `revision`, or `None` when some of them are forgotten.
    pub(crate) fn after(&self, revision: i64) -> Option<Vec<Arc<Batch>>> {
        if revision < self.floor {
            return None;
        }
        let start = self.batches.partition_point(|batch| batch.revision <= revision);
        Some(self.batches.range(start..).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(revision: i64, events: usize) -> Arc<Batch> {
        Arc::new(Batch::new(revision, vec![Change { before: None, after: None }; events]))
    }

    #[test]
    fn what_is_forgotten_is_known_to_be() {
        let mut ring = Ring::new(5);
        assert!(ring.after(4).is_none());
        assert!(ring.after(5).expect("known").is_empty());
        ring.push(batch(7, MAX_EVENTS));
        ring.push(batch(9, 1));
        assert!(ring.after(6).is_none(), "revision 7 has been dropped");
        assert_eq!(ring.after(7).expect("known").len(), 1);
        assert!(ring.after(9).expect("known").is_empty());
        assert!(ring.after(100).expect("the future").is_empty());
    }
}
