//! The feed: one watch of the store that keeps all caches up to date, for ever.
//!
//! ```text
//!  fill (Range all at revision R) --> watch from R+1 --+-- events: decode, apply by revision, publish the revision
//!     ^                                                +-- progress: publish the header's revision
//!     |                                                +-- stream lost: watch again from the revision reached + 1
//!     +------------- compacted ------------------------+
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::mvccpb::event::EventType;
use proto::mvccpb::{Event, KeyValue};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::side::Side;
use super::{CachedObject, Caches};
use crate::keys;
use crate::registry::Resource;
use crate::storage::{self, Storage, StoreServer};

/// Keys read at a time while the cache is filled.
const PAGE: i64 = 2000;
/// Pause before a lost watch is taken up again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Why a watch ended.
enum Ended {
    /// Its past is gone: fill anew.
    Compacted,
    /// The stream broke: go on from where it was.
    Lost(Status),
}

/// Fills the caches and follows the store until the caches have no other owner or the task is aborted.
pub async fn feed(caches: Arc<Caches>, storage: Arc<Storage>) {
    loop {
        if let Err(status) = fill(&caches, &storage).await {
            tracing::warn!(error = %status, "cannot read the store; trying again");
            tokio::time::sleep(RETRY_PAUSE).await;
            continue;
        }
        loop {
            let server = storage.server();
            match follow(&caches, &server).await {
                Ended::Compacted => {
                    tracing::warn!(
                        revision = caches.revision(),
                        "the watch cache fell behind a compaction; reading all anew"
                    );
                    break;
                }
                Ended::Lost(status) => {
                    tracing::warn!(error = %status, revision = caches.revision(), "the store's watch was lost; resuming");
                    storage.move_on(&server);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }
}

async fn fill(caches: &Caches, storage: &Storage) -> Result<(), Status> {
    let mut kinds: Vec<BTreeMap<Box<str>, Arc<CachedObject>>> = caches.kinds.iter().map(|_| BTreeMap::new()).collect();
    let mut side = BTreeMap::new();
    let (mut next, mut revision) = (Bytes::from_static(keys::ROOT.as_bytes()), 0);
    loop {
        let page = storage
            .range(pb::RangeRequest {
                key: next.clone(),
                range_end: keys::end_of(keys::ROOT),
                limit: PAGE,
                revision,
                ..Default::default()
            })
            .await?;
        if revision == 0 {
            revision = page.header.as_ref().map_or(0, |header| header.revision);
        }
        for kv in &page.kvs {
            match place(kv) {
                Some(Place::Object(resource, key)) => {
                    if let Some(object) = read(resource, &key, kv) {
                        kinds[resource.index].insert(key, object);
                    }
                }
                Some(Place::Side(key)) => {
                    side.insert(key, side_of(kv));
                }
                None => {}
            }
        }
        match page.kvs.last() {
            Some(last) if page.more => next = [&last.key[..], &[0]].concat().into(),
            _ => break,
        }
    }
    for (cache, objects) in caches.kinds.iter().zip(kinds) {
        cache.fill(objects, revision);
    }
    caches.side.fill(side);
    caches.revision.send_replace(revision);
    Ok(())
}

async fn follow(caches: &Caches, server: &StoreServer) -> Ended {
    let (requests, outbox) = mpsc::channel(4);
    let create = pb::WatchCreateRequest {
        key: Bytes::from_static(keys::ROOT.as_bytes()),
        range_end: keys::end_of(keys::ROOT),
        start_revision: caches.revision() + 1,
        ..Default::default()
    };
    let request = |union| pb::WatchRequest { request_union: Some(union) };
    if requests.send(request(RequestUnion::CreateRequest(create))).await.is_err() {
        return Ended::Lost(Status::cancelled("the watch's requests are closed"));
    }
    // A member that is cut off from its quorum must end the watch instead of going silent.
    let opening = storage::needing_leader(ReceiverStream::new(outbox));
    let mut answers = match storage::watcher(server).watch(opening).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return Ended::Lost(status),
    };
    loop {
        let answer = tokio::select! {
            answer = answers.message() => answer,
            () = caches.progress.notified() => {
                // A full channel has such a request in it already.
                requests.try_send(request(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}))).ok();
                continue;
            }
        };
        match answer {
            Ok(Some(answer)) if answer.canceled && answer.compact_revision > 0 => return Ended::Compacted,
            Ok(Some(answer)) if answer.canceled => return Ended::Lost(Status::cancelled(answer.cancel_reason)),
            Ok(Some(answer)) => take(caches, answer),
            Ok(None) => return Ended::Lost(Status::unavailable("the store closed the watch")),
            Err(status) => return Ended::Lost(status),
        }
    }
}

/// Applies one answer. Only an answer without events vouches for its header's revision: others may be one of several.
fn take(caches: &Caches, answer: pb::WatchResponse) {
    if answer.events.is_empty() {
        if !answer.created {
            publish(caches, answer.header.map_or(0, |header| header.revision));
        }
        return;
    }
    let mut rest = &answer.events[..];
    while let Some(first) = rest.first() {
        let revision = revision_of(first);
        let length = rest.iter().take_while(|event| revision_of(event) == revision).count();
        let (batch, tail) = rest.split_at(length);
        apply(caches, revision, batch);
        publish(caches, revision);
        rest = tail;
    }
}

fn publish(caches: &Caches, revision: i64) {
    caches.revision.send_if_modified(|now| {
        let newer = revision > *now;
        *now = revision.max(*now);
        newer
    });
}

fn apply(caches: &Caches, revision: i64, events: &[Event]) {
    type Changes = Vec<(Box<str>, Option<Arc<CachedObject>>)>;
    let mut kinds: Vec<Changes> = caches.kinds.iter().map(|_| Vec::new()).collect();
    let mut side = Vec::new();
    for event in events {
        let Some(kv) = &event.kv else { continue };
        let deleted = event.r#type() == EventType::Delete;
        match place(kv) {
            Some(Place::Object(resource, key)) => {
                let after = if deleted { None } else { read(resource, &key, kv) };
                kinds[resource.index].push((key, after));
            }
            Some(Place::Side(key)) => side.push((key, (!deleted).then(|| side_of(kv)))),
            None => {}
        }
    }
    for ((cache, changes), resource) in caches.kinds.iter().zip(kinds).zip(crate::strategy::resources()) {
        if !changes.is_empty() {
            caches.metrics.received(resource, changes.len());
            cache.apply(revision, changes);
        }
    }
    // Last: whoever sees a guard's new revision also sees the Jobs that were written with it (design D12).
    side.into_iter().for_each(|(key, state)| caches.side.apply(key, state));
}

fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn side_of(kv: &KeyValue) -> Side {
    Side { revision: kv.mod_revision, value: Bytes::copy_from_slice(&kv.value), lease: kv.lease }
}

enum Place {
    Object(&'static Resource, Box<str>),
    Side(String),
}

/// What a key of the store stands for; `None` for kinds that are not served.
fn place(kv: &KeyValue) -> Option<Place> {
    let key = std::str::from_utf8(&kv.key).ok()?;
    if key.starts_with(keys::SIDE) {
        return Some(Place::Side(key.to_string()));
    }
    let (resource, key) = crate::strategy::of_key(key)?;
    Some(Place::Object(resource, key.into()))
}

fn read(resource: &'static Resource, key: &str, kv: &KeyValue) -> Option<Arc<CachedObject>> {
    let raw = match api::storage::unwrap(&kv.value) {
        Ok(envelope) => Bytes::copy_from_slice(envelope.raw),
        Err(error) => {
            tracing::error!(?resource, key, %error, "a stored object has no readable envelope; it is not shown");
            return None;
        }
    };
    match CachedObject::new(resource, key, raw, kv.mod_revision) {
        Ok(object) => Some(Arc::new(object)),
        Err(error) => {
            tracing::error!(?resource, key, %error, "a stored object is unreadable; it is not shown");
            None
        }
    }
}
