//! What the faces ask with, and what they get: the registry's vocabulary.

use std::sync::Arc;

use api::selector::{FieldSelector, LabelSelector};
use proto::meta_v1::Status;

use crate::cache::CachedObject;
use crate::object::AnyObject;

/// Options of create, update, update-status, bind and evict.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Do everything but store (`dryRun=All`).
    pub dry_run: bool,
    /// Who writes, for managed fields; empty when the caller did not say.
    pub field_manager: String,
}

/// The answer to a write.
#[derive(Debug)]
pub struct Written {
    /// The object as stored (or as it would be, in a dry run), with its resourceVersion.
    pub object: AnyObject,
    /// What the user should hear (`Warning: 299`), in Kubernetes' words where it has them.
    pub warnings: Vec<String>,
    /// False when an update changed nothing and so wrote nothing.
    pub changed: bool,
    /// True when an update removed the object, for it took the last finalizer of one that was being deleted.
    pub deleted: bool,
}

impl From<super::Done> for Written {
    fn from(done: super::Done) -> Self {
        use super::Effect;
        Written {
            object: done.object,
            warnings: done.warnings,
            changed: done.effect != Effect::Unchanged,
            deleted: done.effect == Effect::Removed,
        }
    }
}

/// How current a read must be (`resourceVersion` and `resourceVersionMatch`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freshness {
    /// The newest state there is (`resourceVersion` absent): waits until the cache has reached the store.
    #[default]
    Consistent,
    /// Whatever the cache holds (`resourceVersion=0`).
    Any,
    /// Not older than this revision.
    NotOlderThan(i64),
    /// Exactly as of this revision (lists only).
    Exact(i64),
}

impl Freshness {
    /// From the two query parameters, as lists and gets take them.
    ///
    /// # Errors
    /// 400 BadRequest for a resourceVersion that is no number, 422 Invalid for a match that does not go with it.
    pub fn parse(resource_version: &str, resource_version_match: &str) -> Result<Self, super::StatusError> {
        super::freshness::parse(resource_version, resource_version_match)
    }
}

/// Options of a list.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Objects whose labels match; `None` for all.
    pub labels: Option<LabelSelector>,
    /// Objects whose selectable fields match; `None` for all.
    pub fields: Option<FieldSelector>,
    /// At most this many; 0 for all.
    pub limit: i64,
    /// The token of the page before; empty for the first page.
    pub continue_token: String,
    /// How current the answer must be.
    pub freshness: Freshness,
}

/// The answer to a list. All items are as of `revision`, ordered by namespace and name.
#[derive(Debug, Default)]
pub struct Listed {
    /// The matching objects, shared with the cache.
    pub items: Vec<Arc<CachedObject>>,
    /// The list's resourceVersion: the revision of which this is the state.
    pub revision: i64,
    /// The token for the next page; empty when this is the last.
    pub continue_token: String,
    /// How many items come after this page, where that is known (no selectors).
    pub remaining: Option<i64>,
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchStart {
    /// ADDED for everything there is, read consistently, then changes (`resourceVersion` absent).
    Consistent,
    /// The same from whatever the cache holds (`resourceVersion=0`).
    Any,
    /// The same, once the cache has reached that revision (`sendInitialEvents` with a resourceVersion).
    InitialNotOlderThan(i64),
    /// Changes after this revision only.
    After(i64),
}

/// Options of a watch.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// As in [`ListOptions`]; an object that stops matching is DELETED to the watcher, one that begins to is ADDED.
    pub labels: Option<LabelSelector>,
    /// As in [`ListOptions`].
    pub fields: Option<FieldSelector>,
    /// Where to start.
    pub start: WatchStart,
    /// Send a bookmark about every minute, and on `WatchService/Progress`.
    pub bookmarks: bool,
    /// After the initial objects send a bookmark that ends them (`sendInitialEvents=true`, WatchList).
    pub mark_initial_end: bool,
}

/// What happened to an object, as the watcher's selectors see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// The object is new to the watcher.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone or matches no more; it carries its last state and the revision of that change.
    Deleted,
}

impl EventType {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Added => "ADDED",
            EventType::Modified => "MODIFIED",
            EventType::Deleted => "DELETED",
        }
    }
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub struct WatchEvent {
    /// What happened.
    pub event_type: EventType,
    /// The object's state, shared with the cache and all other watchers.
    pub object: Arc<CachedObject>,
}

/// One item of a watch stream.
#[derive(Clone, Debug)]
pub enum WatchItem {
    /// Part of the initial state; never empty. More may follow before [`WatchItem::InitialEnd`] (always sent).
    Initial(Vec<WatchEvent>),
    /// The initial state is complete and is that of `revision`. A face shows it as a bookmark annotated
    /// `k8s.io/initial-events-end` only where `mark_initial_end` was asked for.
    InitialEnd {
        /// The revision of the initial state.
        revision: i64,
    },
    /// All matching events of one or more whole revisions, in order; never empty.
    Events {
        /// The last revision in it.
        revision: i64,
        /// The events.
        events: Vec<WatchEvent>,
    },
    /// Everything up to `revision` has been sent.
    Bookmark {
        /// That revision.
        revision: i64,
    },
    /// The watch ends with this error (410 Expired: list again).
    Error(Box<Status>),
}

/// `propagationPolicy` of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Leave the dependents, without their owner reference.
    Orphan,
    /// Remove the object, then its dependents.
    Background,
    /// Remove the dependents first.
    Foreground,
}

/// Options of a delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds to end in; `None` for the kind's default. Kinds without graceful deletion ignore it.
    pub grace_period_seconds: Option<i64>,
    /// The uid that the object must have, else 409.
    pub uid: Option<String>,
    /// The resourceVersion that the object must have, else 409.
    pub resource_version: Option<String>,
    /// What becomes of the dependents; `None` for the kind's default.
    pub propagation: Option<Propagation>,
    /// Do everything but store.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// From the message, legacy `orphanDependents` included.
    ///
    /// # Errors
    /// 422 Invalid as Kubernetes words it for an unknown policy or dry run, or both propagation fields.
    pub fn parse(options: &proto::meta_v1::DeleteOptions) -> Result<Self, super::StatusError> {
        super::delete::parse_options(options)
    }
}

/// The answer to a delete.
#[derive(Debug)]
pub enum Deleted {
    /// The object is gone; this was its last state. REST answers `Status` Success with its uid.
    Gone(AnyObject),
    /// The object is being deleted (grace period or finalizers); this is its state now.
    Pending(AnyObject),
}

impl Deleted {
    /// The object, either way.
    pub fn object(&self) -> &AnyObject {
        match self {
            Deleted::Gone(object) | Deleted::Pending(object) => object,
        }
    }
}
