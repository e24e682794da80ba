//! The informer: a local, indexed copy of the objects of one kind, kept current by a watch.
//!
//! ```text
//!  Watch (whole revisions) --> follow --> Store (objects, indices)  <-- get, list, by_index: any number of readers
//!                                |            one writer
//!                                +--> handlers (old, new), in revision order
//!                                +--> the revision that has been reached
//! ```
//!
//! What it holds is some past state of the API, whole revision by whole revision: never half of a Commit. Who has written
//! waits with [`Informer::reached`] before looking again. Stored objects may be stripped by a transform, since a controller
//! of 10,000 Pods needs little of each.

mod follow;
mod progress;
mod store;

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::resource::{Resource, object_key};
use crate::watch::WatchOptions;

pub use progress::Progress;
use store::Store;
pub use store::{Change, IndexFn};

type Handler<V> = Box<dyn Fn(&Change<V>) + Send + Sync>;

/// A handle to a running informer; clones are the same one.
pub struct Informer<V> {
    shared: Arc<Shared<V>>,
}

impl<V> Clone for Informer<V> {
    fn clone(&self) -> Self {
        Informer { shared: self.shared.clone() }
    }
}

struct Shared<V> {
    progress: Progress,
    store: RwLock<Store<V>>,
    // Held by the writer from before a batch is applied until every handler has seen it, so that a handler that joins late
    // sees each object exactly once. Lock order: handlers, then store.
    handlers: Mutex<Vec<Handler<V>>>,
}

impl<V> Shared<V> {
    fn new(client: &Client, indices: Vec<(&'static str, IndexFn<V>)>) -> Arc<Self> {
        let progress = Progress::new(client);
        Arc::new(Shared { progress, store: RwLock::new(Store::new(indices)), handlers: Mutex::new(Vec::new()) })
    }
}

/// What to follow and how to keep it.
pub struct Builder<K, V> {
    watch: WatchOptions,
    transform: fn(K) -> V,
    indices: Vec<(&'static str, IndexFn<V>)>,
}

impl<K: Resource> Builder<K, K> {
    /// Keeps objects whole, but for metadata.managedFields, which no controller reads.
    pub fn whole() -> Self {
        Builder::of(|mut object: K| {
            object.metadata_mut().managed_fields = Vec::new();
            object
        })
    }
}

impl<K: Resource, V: Send + Sync + 'static> Builder<K, V> {
    /// Keeps what `transform` leaves of each object.
    pub fn of(transform: fn(K) -> V) -> Self {
        Builder { watch: WatchOptions::default(), transform, indices: Vec::new() }
    }

    /// Only one namespace.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.watch.namespace = namespace.to_owned();
        self
    }

    pub fn label_selector(mut self, selector: &str) -> Self {
        self.watch.label_selector = selector.to_owned();
        self
    }

    pub fn field_selector(mut self, selector: &str) -> Self {
        self.watch.field_selector = selector.to_owned();
        self
    }

    /// Adds an index; see [`Informer::by_index`].
    pub fn index(mut self, name: &'static str, of: IndexFn<V>) -> Self {
        self.indices.push((name, of));
        self
    }

    /// Starts following, until `shutdown`. Must be called within a tokio runtime.
    pub fn start(self, client: &Client, shutdown: CancellationToken) -> Informer<V> {
        let shared = Shared::new(client, self.indices);
        let follow = follow::run(shared.clone(), self.watch, self.transform);
        tokio::spawn(async move { shutdown.run_until_cancelled(follow).await });
        Informer { shared }
    }
}

impl<V: Send + Sync + 'static> Informer<V> {
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<V>> {
        self.get_key(&object_key(namespace, name))
    }

    /// By `namespace/name`, or `name`.
    pub fn get_key(&self, key: &str) -> Option<Arc<V>> {
        self.shared.store.read().get(key).cloned()
    }

    /// All objects, by key.
    pub fn list(&self) -> Vec<Arc<V>> {
        self.shared.store.read().iter().map(|(_, object)| object.clone()).collect()
    }

    /// All keys, in order.
    pub fn keys(&self) -> Vec<Arc<str>> {
        self.shared.store.read().iter().map(|(key, _)| key.clone()).collect()
    }

    /// The objects that index `index` has under `value`, by key.
    pub fn by_index(&self, index: &str, value: &str) -> Vec<Arc<V>> {
        self.shared.store.read().by_index(index, value).cloned().collect()
    }

    /// Folds over the objects of an index under the read lock, without copying them; `each` must be quick.
    pub fn visit_index(&self, index: &str, value: &str, each: impl FnMut(&Arc<V>)) {
        self.shared.store.read().by_index(index, value).for_each(each);
    }

    pub fn len(&self) -> usize {
        self.shared.store.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `handler` for every object that is known now, and then for each change, in revision order. It runs on the
    /// informer's own task: it should note what it needs and return, and must not call [`Informer::on_change`].
    pub fn on_change(&self, handler: impl Fn(&Change<V>) + Send + Sync + 'static) {
        let mut handlers = self.shared.handlers.lock();
        let known: Vec<Change<V>> = self
            .shared
            .store
            .read()
            .iter()
            .map(|(key, object)| Change { key: key.clone(), old: None, new: Some(object.clone()) })
            .collect();
        known.iter().for_each(&handler);
        handlers.push(Box::new(handler));
    }

    /// Waits until the first list is complete.
    pub async fn synced(&self) {
        self.shared.progress.wait(1).await;
    }

    /// How far this informer is.
    pub fn progress(&self) -> &Progress {
        &self.shared.progress
    }

    /// The revision up to which everything is known; 0 before the first list.
    pub fn revision(&self) -> i64 {
        self.shared.progress.revision()
    }

    /// Waits until everything up to `revision` is known here; see [`Progress::reached`].
    pub async fn reached(&self, revision: i64) {
        self.shared.progress.reached(revision).await;
    }
}
