//! What a controller decided: a value that leaves no choice to whoever carries it out (design D3).

use std::time::Duration;

use api::kind::Kind;
use api::proto::core_v1::ObjectReference;
pub use client::{EventDraft, Precondition, Write};

/// What to do about one key, in one atomic group, and when to look again.
///
/// A Plan that writes at all writes its root object (the Job, the CronJob) under the resourceVersion that it saw: so a repeat
/// after an unknown outcome conflicts instead of doing things twice. At most [`client::commit::GROUP_OPS_MAX`] writes and
/// preconditions; a controller that has more to do plans the first of it and asks to look again at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub writes: Vec<Write>,
    /// Conditions on objects that the Plan doesn't write.
    pub preconditions: Vec<Precondition>,
    /// Told when, and only when, the group has been committed.
    pub events: Vec<EventDraft>,
    /// Look again after this time even if nothing changes; zero: as soon as the informers have reached the Commit.
    pub requeue_after: Option<Duration>,
    /// One line on why it acts or waits, for logs and tests.
    pub why: String,
}

impl Plan {
    /// A Plan that does nothing.
    pub fn nothing(why: impl Into<String>) -> Plan {
        Plan { why: why.into(), ..Default::default() }
    }
}

/// How an event refers to an object.
pub fn reference<K: Kind>(object: &K) -> ObjectReference {
    let metadata = object.metadata().cloned().unwrap_or_default();
    ObjectReference {
        api_version: K::INFO.api_version(),
        kind: K::INFO.kind.to_owned(),
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        ..Default::default()
    }
}
