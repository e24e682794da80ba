//! The watch cache: every kind's objects in memory, fed by one watch of the store.
//!
//! ```text
//!  store --watch(/registry/)--> feed --decode--> KindCache(pods)   objects + ring --> lists, gets
//!                                 |              KindCache(jobs)        |
//!                                 |              ...                    +--cursor--> watchers (no queues: a watcher is a
//!                                 +--> revision (all kinds are there)                position in the ring)
//! ```
//!
//! One watch over the whole prefix, not one per kind: all kinds move along one order of revisions, so that "reached
//! revision N" means the same for each of them, a Commit over several kinds arrives whole, and an idle kind is never behind.
//!
//! A consistent read asks the store for its revision (one tiny read, shared by all who ask at that time) and waits until
//! the cache has it. Nothing else in the read path talks to the store.

mod feed;
mod filter;
mod kind;
mod object;
mod ring;
mod side;
mod watcher;

use std::sync::Arc;
use std::time::Duration;

use api::status::StatusError;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use feed::feed;
pub use filter::Filter;
pub use kind::KindCache;
pub use object::{CachedObject, Fields};
pub use side::SideKeys;
pub use watcher::{WatchStream, Watcher};

use crate::metrics::Watches;
use crate::registry::Resource;
use crate::storage::{self, Storage};

/// How long a read waits for a revision that its caller names before it gives up with 504; Kubernetes' own.
const REACH_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a consistent read waits for the revision that the store has told: the watch may have to be opened anew.
const CONSISTENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often progress is asked for while something waits.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(25);

/// All kinds' caches.
pub struct Caches {
    kinds: Vec<KindCache>,
    /// Claims and guards: keys of ours beside the kinds.
    pub(crate) side: SideKeys,
    /// All kinds have reached this revision.
    revision: watch::Sender<i64>,
    /// Pokes the feed to ask the store for progress.
    progress: Notify,
    /// Cancelled when the server stops: watches end, so that the connections can.
    pub(crate) draining: CancellationToken,
    /// Where watches and changes are counted.
    pub(crate) metrics: Watches,
    /// Those who wait for the store's revision.
    asks: mpsc::UnboundedSender<oneshot::Sender<Result<i64, StatusError>>>,
}

impl Caches {
    /// Empty caches, and the task that answers [`Caches::store_revision`]; [`feed`] fills them.
    pub(crate) fn start(storage: Arc<Storage>, metrics: Watches) -> Arc<Self> {
        let (asks, inbox) = mpsc::unbounded_channel();
        tokio::spawn(answer_revisions(storage, inbox));
        Arc::new(Caches {
            kinds: crate::strategy::resources().iter().map(|_| KindCache::new()).collect(),
            side: SideKeys::default(),
            revision: watch::Sender::new(0),
            progress: Notify::new(),
            draining: CancellationToken::new(),
            metrics,
            asks,
        })
    }

    /// The cache of one kind.
    pub fn kind(&self, resource: &Resource) -> &KindCache {
        &self.kinds[resource.index]
    }

    /// Whether the object stored under this key exists.
    pub(crate) fn holds(&self, stored_key: &str) -> bool {
        crate::strategy::of_key(stored_key).is_some_and(|(resource, key)| self.kind(resource).get(key).is_some())
    }

    /// What all kinds have reached.
    pub fn revision(&self) -> i64 {
        *self.revision.borrow()
    }

    /// Whether the caches were filled once.
    pub fn ready(&self) -> bool {
        self.revision() > 0
    }

    /// Waits until the caches are as new as the store is now; answers that revision.
    ///
    /// # Errors
    /// The store's, or 504 when the cache does not get there in time.
    pub async fn consistent(&self) -> Result<i64, StatusError> {
        let revision = self.store_revision().await?;
        self.reached_within(revision, CONSISTENT_TIMEOUT).await?;
        Ok(revision)
    }

    /// The store's revision, read linearizably.
    async fn store_revision(&self) -> Result<i64, StatusError> {
        let (reply, answer) = oneshot::channel();
        let stopping = || api::status::service_unavailable("the API server is stopping");
        self.asks.send(reply).map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Waits until all kinds have reached `revision`.
    ///
    /// # Errors
    /// 504 Timeout "Too large resource version" when that takes too long.
    pub async fn reached(&self, revision: i64) -> Result<(), StatusError> {
        self.reached_within(revision, REACH_TIMEOUT).await
    }

    async fn reached_within(&self, revision: i64, patience: Duration) -> Result<(), StatusError> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut current = self.revision.subscribe();
        let wait = async {
            loop {
                self.progress.notify_one();
                let reached = tokio::time::timeout(PROGRESS_INTERVAL, current.wait_for(|now| *now >= revision)).await;
                if reached.is_ok() {
                    return;
                }
            }
        };
        match tokio::time::timeout(patience, wait).await {
            Ok(()) => Ok(()),
            Err(_) => Err(api::status::too_large_resource_version(revision, self.revision())),
        }
    }
}

/// Reads the store's revision for whoever asks: all who asked before a read began share its answer.
async fn answer_revisions(
    storage: Arc<Storage>,
    mut inbox: mpsc::UnboundedReceiver<oneshot::Sender<Result<i64, StatusError>>>,
) {
    let mut waiting = Vec::new();
    while inbox.recv_many(&mut waiting, 1024).await > 0 {
        let read = storage.range(crate::keys::nothing()).await;
        let answer = match read {
            Ok(answer) => Ok(answer.header.map_or(0, |header| header.revision)),
            Err(status) => Err(storage::unavailable(&status)),
        };
        for reply in waiting.drain(..) {
            // The asker may have gone away meanwhile.
            reply.send(answer.clone()).ok();
        }
    }
}
