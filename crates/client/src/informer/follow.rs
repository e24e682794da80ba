//! The informer's protocol: list, follow, resume, list again.
//!
//! ```text
//!            +------------------------ expired -------------------------+
//!            v                                                          |
//!  Start --(watch from nothing)--> Listing --(initial end)--> Following +--(closed, unreachable)--+
//!            ^                        |                           ^                               |
//!            +--- closed, failed -----+                           +---- watch from revision ------+
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::resource::Resource;
use crate::watch::{Batch, Event, Watch, WatchOptions};

use super::Shared;
use super::store::Change;

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Objects of a list that is not complete, with their resourceVersions.
type Buffer<V> = HashMap<String, (V, i64)>;

enum State<V> {
    Listing(Buffer<V>),
    /// Everything up to this revision is in the store.
    Following(i64),
}

pub(super) async fn run<K: Resource, V: Send + Sync + 'static>(
    shared: Arc<Shared<V>>,
    options: WatchOptions,
    transform: fn(K) -> V,
) {
    let mut state = State::Listing(HashMap::new());
    let mut delay = RETRY_MIN;
    loop {
        let resource_version = match &mut state {
            // What came of an unfinished list is of no use: the next one may be of another revision.
            State::Listing(buffer) => {
                buffer.clear();
                String::new()
            }
            State::Following(revision) => revision.to_string(),
        };
        let before = shared.progress.revision();
        let error =
            match shared.progress.client().watch::<K>(WatchOptions { resource_version, ..options.clone() }).await {
                Ok(watch) => follow(&shared, watch, &mut state, transform).await,
                Err(error) => Some(error),
            };
        if shared.progress.revision() > before {
            delay = RETRY_MIN;
        }
        match error {
            Some(error) if error.is_expired() => {
                tracing::info!(kind = K::INFO.kind, "the watch fell behind; listing again");
                state = State::Listing(HashMap::new());
            }
            Some(error) => tracing::warn!(kind = K::INFO.kind, %error, "watching"),
            None => {}
        }
        // Spread, so that a restarted server is not met by everyone in the same instant.
        tokio::time::sleep(delay.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
}

async fn follow<K: Resource, V: Send + Sync + 'static>(
    shared: &Shared<V>,
    mut watch: Watch<K>,
    state: &mut State<V>,
    transform: fn(K) -> V,
) -> Option<Error> {
    shared.progress.served_by(watch.server());
    loop {
        match watch.next().await {
            Ok(Some(batch)) => take(shared, batch, state, transform),
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// Takes one batch: into the buffer while listing, into the store afterwards.
fn take<K: Resource, V: Send + Sync + 'static>(
    shared: &Shared<V>,
    batch: Batch<K>,
    state: &mut State<V>,
    transform: fn(K) -> V,
) {
    let State::Listing(buffer) = state else {
        apply(shared, batch, transform);
        *state = State::Following(shared.progress.revision());
        return;
    };
    let mut complete = false;
    for event in batch.events {
        match event {
            Event::Added(object) | Event::Modified(object) => {
                let (key, revision) = (object.key(), revision_of(&object));
                buffer.insert(key, (transform(object), revision));
            }
            Event::Deleted(object) => {
                buffer.remove(&object.key());
            }
            Event::Bookmark { initial_end } => complete |= initial_end,
        }
    }
    if complete {
        let list = std::mem::take(buffer);
        let handlers = shared.handlers.lock();
        let changes = shared.store.write().replace(list);
        tell(&handlers, &changes);
        shared.progress.listed(batch.revision);
        *state = State::Following(batch.revision);
    }
}

fn apply<K: Resource, V: Send + Sync + 'static>(shared: &Shared<V>, batch: Batch<K>, transform: fn(K) -> V) {
    let handlers = shared.handlers.lock();
    let mut changes = Vec::with_capacity(batch.events.len());
    {
        // One hold for the whole batch: no reader sees half of a revision.
        let mut store = shared.store.write();
        for event in batch.events {
            match event {
                Event::Added(object) | Event::Modified(object) => {
                    let (key, revision) = (object.key(), revision_of(&object));
                    changes.push(store.put(&key, transform(object), revision));
                }
                Event::Deleted(object) => changes.extend(store.remove(&object.key())),
                Event::Bookmark { .. } => {}
            }
        }
    }
    tell(&handlers, &changes);
    // After the handlers: who waits for a revision finds their effects too.
    shared.progress.moved(batch.revision);
}

fn tell<V>(handlers: &[super::Handler<V>], changes: &[Change<V>]) {
    for change in changes {
        handlers.iter().for_each(|handler| handler(change));
    }
}

fn revision_of<K: Resource>(object: &K) -> i64 {
    object.metadata().and_then(|metadata| metadata.resource_version.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
