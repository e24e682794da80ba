//! One watch: a position in the revisions, moved forward through the ring.
//!
//! A watcher owns no queue. Whoever reads slowly falls behind; when the ring has forgotten what comes next, the watch
//! ends with 410 Expired and its client lists again. The feed never waits for a watcher.
//!
//! ```text
//!   Initial* -> InitialEnd -> ( Events | Bookmark )* -> Error
//! ```

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::kind::Since;
use super::ring::Change;
use super::{CachedObject, Caches, Filter};
use crate::metrics::Watch;
use crate::registry::{EventType, Resource, WatchEvent, WatchItem};

/// Initial objects sent at a time.
const INITIAL_CHUNK: usize = 500;
/// Events sent at a time, about: whole revisions are added until there are as many.
const EVENTS_CHUNK: usize = 1000;
/// Seconds between bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// The items of a watch. Ends after [`WatchItem::Error`], or when the server stops.
pub type WatchStream = Pin<Box<dyn Stream<Item = WatchItem> + Send>>;

/// A watch before it is turned into a stream.
pub struct Watcher {
    caches: Arc<Caches>,
    resource: &'static Resource,
    filter: Filter,
    bookmarks: bool,
    position: i64,
    epoch: u64,
    initial: Option<VecDeque<Arc<CachedObject>>>,
    changed: watch::Receiver<i64>,
    bookmark_at: Instant,
    /// The connection's `WatchService/Progress`: revisions that its watches shall bookmark.
    progress: Option<watch::Receiver<i64>>,
    /// A revision that a bookmark is owed for.
    owed: i64,
    ended: bool,
    metrics: Watch,
}

impl Watcher {
    /// Changes after `position`.
    pub(crate) fn after(caches: Arc<Caches>, resource: &'static Resource, filter: Filter, position: i64) -> Self {
        let cache = caches.kind(resource);
        let (epoch, changed) = (cache.epoch(), cache.subscribe());
        let metrics = caches.metrics.begin(resource);
        Watcher {
            caches,
            resource,
            filter,
            bookmarks: false,
            position,
            epoch,
            initial: None,
            changed,
            bookmark_at: Instant::now() + BOOKMARK_INTERVAL,
            progress: None,
            owed: 0,
            ended: false,
            metrics,
        }
    }

    /// The present objects first, then changes.
    pub(crate) fn initial(caches: Arc<Caches>, resource: &'static Resource, filter: Filter) -> Self {
        let mut watcher = Watcher::after(caches, resource, filter, 0);
        let view = watcher.caches.kind(resource).view(&watcher.filter.namespace, watcher.caches.revision());
        watcher.position = view.revision;
        watcher.initial = Some(view.objects.into_iter().filter(|object| watcher.filter.wants(object)).collect());
        watcher
    }

    /// Sends bookmarks from time to time.
    pub(crate) fn with_bookmarks(mut self, bookmarks: bool) -> Self {
        self.bookmarks = bookmarks;
        self
    }

    /// Sends a bookmark whenever this receiver gets a revision, once the watch has reached it.
    pub fn with_progress(mut self, progress: watch::Receiver<i64>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The stream of items.
    pub fn into_stream(self) -> WatchStream {
        Box::pin(futures::stream::unfold(self, |mut watcher| async move {
            if watcher.ended {
                return None;
            }
            let draining = watcher.caches.draining.clone();
            let item = draining.run_until_cancelled(watcher.next()).await?;
            watcher.count(&item);
            Some((item, watcher))
        }))
    }

    fn count(&mut self, item: &WatchItem) {
        match item {
            WatchItem::Initial(events) | WatchItem::Events { events, .. } => self.metrics.sent(events.len()),
            WatchItem::Error(_) => {
                self.ended = true;
                self.metrics.expired();
            }
            WatchItem::InitialEnd { .. } | WatchItem::Bookmark { .. } => {}
        }
    }

    async fn next(&mut self) -> WatchItem {
        if let Some(item) = self.next_initial() {
            return item;
        }
        loop {
            // Seen before looking: what comes after it wakes us.
            self.changed.borrow_and_update();
            let global = self.caches.revision();
            match self.look() {
                Look::Events(item) => return item,
                Look::Nothing => self.position = self.position.max(global),
                Look::More => continue,
                Look::Forgotten => return expired(),
            }
            if self.owed > 0 && self.position >= self.owed {
                return self.bookmark();
            }
            self.wait().await;
            if self.bookmarks
                && Instant::now() >= self.bookmark_at
                && let Some(item) = self.timely_bookmark()
            {
                return item;
            }
        }
    }

    fn next_initial(&mut self) -> Option<WatchItem> {
        let initial = self.initial.as_mut()?;
        if initial.is_empty() {
            self.initial = None;
            return Some(WatchItem::InitialEnd { revision: self.position });
        }
        let chunk = initial.drain(..INITIAL_CHUNK.min(initial.len()));
        Some(WatchItem::Initial(chunk.map(|object| WatchEvent { event_type: EventType::Added, object }).collect()))
    }

    fn look(&mut self) -> Look {
        let batches = match self.caches.kind(self.resource).since(self.position, self.epoch) {
            Since::Batches(batches) => batches,
            Since::Forgotten => return Look::Forgotten,
        };
        if batches.is_empty() {
            return Look::Nothing;
        }
        let mut events = Vec::new();
        for batch in batches {
            self.position = batch.revision;
            events.extend(batch.changes.iter().filter_map(|change| seen(&self.filter, change, batch.revision)));
            if events.len() >= EVENTS_CHUNK {
                break;
            }
        }
        if events.is_empty() { Look::More } else { Look::Events(WatchItem::Events { revision: self.position, events }) }
    }

    /// Until something may have happened.
    async fn wait(&mut self) {
        let bookmark_at = self.bookmark_at;
        let asked = async {
            match &mut self.progress {
                Some(progress) => match progress.changed().await {
                    Ok(()) => *progress.borrow_and_update(),
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.changed.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            revision = asked => self.owed = revision,
            () = tokio::time::sleep_until(bookmark_at), if self.bookmarks => {}
        }
    }

    fn timely_bookmark(&mut self) -> Option<WatchItem> {
        let global = self.caches.revision();
        match self.look() {
            Look::Events(item) => Some(item),
            Look::Nothing => {
                self.position = self.position.max(global);
                Some(self.bookmark())
            }
            Look::More => None,
            Look::Forgotten => Some(expired()),
        }
    }

    fn bookmark(&mut self) -> WatchItem {
        self.owed = 0;
        self.bookmark_at = Instant::now() + BOOKMARK_INTERVAL;
        WatchItem::Bookmark { revision: self.position }
    }
}

enum Look {
    Events(WatchItem),
    /// There was something, but not for this watcher.
    More,
    Nothing,
    Forgotten,
}

fn expired() -> WatchItem {
    WatchItem::Error(Box::new(api::status::watch_expired().into_status()))
}

/// A change as a watcher with this filter sees it: entering the selection is ADDED, leaving it is DELETED.
fn seen(filter: &Filter, change: &Change, revision: i64) -> Option<WatchEvent> {
    let wanted = |object: &Option<Arc<CachedObject>>| object.as_ref().is_some_and(|object| filter.wants(object));
    let (before, after) = (wanted(&change.before), wanted(&change.after));
    let event = |event_type, object| Some(WatchEvent { event_type, object });
    match (&change.before, &change.after) {
        (_, Some(now)) if after => event(if before { EventType::Modified } else { EventType::Added }, now.clone()),
        (Some(last), _) if before => event(EventType::Deleted, Arc::new(last.at(revision))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::core_v1::{Pod, PodSpec, PodStatus};
    use proto::meta_v1::ObjectMeta;

    fn pod(node: &str, phase: &str, revision: i64) -> Arc<CachedObject> {
        let pod = Pod {
            metadata: Some(ObjectMeta { name: "p".into(), namespace: "a".into(), ..ObjectMeta::default() }),
            spec: Some(PodSpec { node_name: node.into(), ..PodSpec::default() }),
            status: Some(PodStatus { phase: phase.into(), ..PodStatus::default() }),
        };
        let raw = prost::Message::encode_to_vec(&pod).into();
        Arc::new(CachedObject::new(crate::registry::pods(), "a/p", raw, revision).expect("a message"))
    }

    #[test]
    fn entering_a_selection_is_added_and_leaving_it_deleted() {
        let fields = api::selector::FieldSelector::parse("spec.nodeName=n1,status.phase!=Failed").expect("a selector");
        let filter = Filter { namespace: "a".into(), labels: None, fields: Some(fields) };
        let states = [Some(pod("", "Pending", 1)), Some(pod("n1", "Pending", 2)), Some(pod("n1", "Running", 3)), None];
        let told = |before: &Option<_>, after: &Option<_>| {
            let change = Change { before: Clone::clone(before), after: Clone::clone(after) };
            seen(&filter, &change, 9).map(|event| (event.event_type, event.object.revision()))
        };
        assert_eq!(told(&None, &states[0]), None);
        assert_eq!(told(&states[0], &states[1]), Some((EventType::Added, 2)));
        assert_eq!(told(&states[1], &states[2]), Some((EventType::Modified, 3)));
        assert_eq!(
            told(&states[2], &None),
            Some((EventType::Deleted, 9)),
            "the last state, at the deletion's revision"
        );
        let failed = Some(pod("n1", "Failed", 4));
        assert_eq!(told(&states[2], &failed), Some((EventType::Deleted, 9)));
        assert_eq!(told(&failed, &None), None);
    }
}
