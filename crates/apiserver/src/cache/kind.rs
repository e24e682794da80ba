//! The cache of one kind: its objects now, and their recent changes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::object::CachedObject;
use super::ring::{Batch, Change, Ring};

/// One kind's objects. One writer (the feed), many readers; the lock is held for moments, never over an await.
pub struct KindCache {
    inner: RwLock<Inner>,
    /// The revision of the last batch: watchers wait here.
    changed: watch::Sender<i64>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<Box<str>, Arc<CachedObject>>,
    ring: Ring,
    revision: i64,
    /// Grows when the cache was filled anew and watchers must start over.
    epoch: u64,
}

/// A consistent view of the matching objects.
pub(crate) struct View {
    pub objects: Vec<Arc<CachedObject>>,
    /// The revision of which this is the state.
    pub revision: i64,
}

/// What a watcher finds when it looks.
pub(crate) enum Since {
    /// These whole revisions came after its position.
    Batches(Vec<Arc<Batch>>),
    /// It was too slow, or asked for a past that is gone.
    Forgotten,
}

impl KindCache {
    pub(crate) fn new() -> Self {
        KindCache { inner: RwLock::default(), changed: watch::Sender::new(0) }
    }

    /// One object by its key, and the revision that this cache has surely reached (at least `global`).
    pub(crate) fn get(&self, key: &str) -> Option<Arc<CachedObject>> {
        self.inner.read().objects.get(key).cloned()
    }

    /// Objects of `namespace` (empty: all) in key order. `global` is what all caches had reached before this call.
    pub(crate) fn view(&self, namespace: &str, global: i64) -> View {
        let inner = self.inner.read();
        let objects = inner.in_namespace(namespace).cloned().collect();
        View { objects, revision: inner.revision.max(global) }
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.inner.read().objects.len()
    }

    /// Whether some object of `namespace` (empty: any) satisfies the predicate.
    pub(crate) fn any(&self, namespace: &str, mut is: impl FnMut(&CachedObject) -> bool) -> bool {
        self.inner.read().in_namespace(namespace).any(|object| is(object))
    }

    /// Batches after `position`.
    pub(crate) fn since(&self, position: i64, epoch: u64) -> Since {
        let inner = self.inner.read();
        if inner.epoch != epoch {
            return Since::Forgotten;
        }
        inner.ring.after(position).map_or(Since::Forgotten, Since::Batches)
    }

    /// Counts the times that the cache was filled anew.
    pub(crate) fn epoch(&self) -> u64 {
        self.inner.read().epoch
    }

    /// Wakes at each batch.
    pub(crate) fn subscribe(&self) -> watch::Receiver<i64> {
        self.changed.subscribe()
    }

    /// Fills the cache with the state of `revision`.
    pub(crate) fn fill(&self, objects: BTreeMap<Box<str>, Arc<CachedObject>>, revision: i64) {
        let mut inner = self.inner.write();
        inner.objects = objects;
        inner.ring = Ring::new(revision);
        inner.revision = revision;
        inner.epoch += 1;
        drop(inner);
        self.changed.send_replace(revision);
    }

    /// Applies all changes of one revision: the new state, or `None` for a deleted key.
    pub(crate) fn apply(&self, revision: i64, changes: Vec<(Box<str>, Option<Arc<CachedObject>>)>) {
        let mut inner = self.inner.write();
        let mut batch = Vec::with_capacity(changes.len());
        for (key, after) in changes {
            let before = match &after {
                Some(object) => inner.objects.insert(key, object.clone()),
                None => inner.objects.remove(&key),
            };
            if before.is_some() || after.is_some() {
                batch.push(Change { before, after });
            }
        }
        inner.ring.push(Arc::new(Batch::new(revision, batch)));
        inner.revision = revision;
        drop(inner);
        self.changed.send_replace(revision);
    }
}

impl Inner {
    fn in_namespace(&self, namespace: &str) -> Box<dyn Iterator<Item = &Arc<CachedObject>> + '_> {
        if namespace.is_empty() {
            return Box::new(self.objects.values());
        }
        let prefix = format!("{namespace}/");
        let start = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let range = self.objects.range::<str, _>(start);
        Box::new(range.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(_, object)| object))
    }
}
