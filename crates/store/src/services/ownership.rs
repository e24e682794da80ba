//! What locks and elections share: a queue of keys under a prefix, ordered by the revision that created them.
//! The first owns; each other waits for the one right before it, so that an end wakes one waiter, not all.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use proto::etcdserverpb::lease_server::Lease;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest,
    TxnResponse, WatchCreateRequest, compare, range_request, request_op::Request as Op,
    response_op::Response as OpResponse, watch_create_request::FilterType,
};
use proto::mvccpb::KeyValue;
use proto::raftsman_store_v1::command::Change;
use tonic::{Code, Request, Status};

use super::kv::{put_op, range_op};
use super::lease::LeaseService;
use super::{Context, check_size, status};
use crate::machine::{Reply, check};

/// TTL of the lease of a caller that brings none; etcd's.
const SESSION_TTL_SECONDS: i64 = 60;

/// A place in the queue.
pub struct Place {
    /// The key that holds it.
    pub key: Bytes,
    /// Revision that created the key: the place's rank.
    pub created: i64,
    /// Revision at which it was taken or found.
    pub revision: i64,
    /// Whether it was the first then.
    pub owns: bool,
    /// The value that it had already, if the lease had taken it before.
    pub found: Option<Bytes>,
}

/// The prefix of a queue's keys.
pub fn prefix(name: &[u8]) -> Bytes {
    let mut prefix = BytesMut::with_capacity(name.len() + 1);
    prefix.put_slice(name);
    prefix.put_u8(b'/');
    prefix.freeze()
}

/// End of the range of all keys that begin with `prefix`, which ends with `/`.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

/// The range of a queue's owner.
pub fn owner(name: &[u8]) -> RangeRequest {
    let prefix = prefix(name);
    RangeRequest {
        range_end: prefix_end(&prefix),
        key: prefix,
        limit: 1,
        sort_order: range_request::SortOrder::Ascend as i32,
        sort_target: range_request::SortTarget::Create as i32,
        ..Default::default()
    }
}

/// A comparison of a key's create revision.
pub fn created_is(key: Bytes, created: i64) -> Compare {
    Compare {
        result: compare::CompareResult::Equal as i32,
        target: compare::CompareTarget::Create as i32,
        key,
        target_union: Some(compare::TargetUnion::CreateRevision(created)),
        range_end: Bytes::new(),
    }
}

/// A refusal as etcd's locks and elections tell it: there they are clients of the store, whose errors have lost their
/// code but not their words. What a caller may try again keeps its code.
pub fn refusal(status: Status) -> Status {
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => status,
        _ => Status::unknown(status.message()),
    }
}

/// The lease that a caller named, or a new one for a caller that named none.
pub async fn session(context: &Arc<Context>, lease: i64) -> Result<i64, Status> {
    if lease != 0 {
        return Ok(lease);
    }
    let grant = LeaseGrantRequest { ttl: SESSION_TTL_SECONDS, id: 0 };
    Ok(LeaseService(context.clone()).lease_grant(Request::new(grant)).await.map_err(refusal)?.into_inner().id)
}

/// Proposes a transaction as if a client had sent it.
pub async fn transact(context: &Arc<Context>, txn: TxnRequest) -> Result<TxnResponse, Status> {
    check::txn(&txn).map_err(status::failure).map_err(refusal)?;
    check_size(&txn).map_err(refusal)?;
    match context.propose(Change::Txn(txn)).await.map_err(refusal)? {
        Reply::Txn(response) => Ok(response),
        _ => Err(status::mismatch()),
    }
}

/// Revision of a transaction.
pub fn revision(response: &TxnResponse) -> i64 {
    response.header.as_ref().map_or(0, |header| header.revision)
}

/// Takes a place, or finds the one that the lease has already.
pub async fn enter(context: &Arc<Context>, name: &[u8], lease: i64, value: Bytes) -> Result<Place, Status> {
    // As Go writes hexadecimal numbers: with a sign.
    let sign = if lease < 0 { "-" } else { "" };
    let key: Bytes = [&prefix(name)[..], format!("{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into();
    let put = PutRequest { key: key.clone(), value, lease, ..Default::default() };
    let txn = TxnRequest {
        compare: vec![created_is(key.clone(), 0)],
        success: vec![put_op(put), range_op(owner(name))],
        failure: vec![range_op(RangeRequest { key: key.clone(), ..Default::default() }), range_op(owner(name))],
    };
    let response = transact(context, txn).await?;
    let revision = revision(&response);
    let mut answers = response.responses.into_iter();
    let found = answers.next().and_then(first);
    let first = answers.next().and_then(first);
    let created = found.as_ref().map_or(revision, |kv| kv.create_revision);
    let owns = first.is_none_or(|kv| kv.create_revision == created);
    Ok(Place { key, created, revision, owns, found: found.map(|kv| kv.value) })
}

fn first(answer: ResponseOp) -> Option<KeyValue> {
    match answer.response {
        Some(OpResponse::ResponseRange(range)) => range.kvs.into_iter().next(),
        _ => None,
    }
}

/// Waits until no place is before this one. A place whose caller does not wait any longer is given up.
pub async fn wait_for_turn(context: &Arc<Context>, name: &[u8], place: &Place) -> Result<(), Status> {
    if place.owns {
        return Ok(());
    }
    let mut given_up = GivenUp { context, place, armed: true };
    let prefix = prefix(name);
    loop {
        let before = RangeRequest {
            key: prefix.clone(),
            range_end: prefix_end(&prefix),
            limit: 1,
            sort_order: range_request::SortOrder::Descend as i32,
            sort_target: range_request::SortTarget::Create as i32,
            max_create_revision: place.created - 1,
            ..Default::default()
        };
        let (revision, mut kvs) = read(context, before).await?;
        let Some(rival) = kvs.pop() else { break };
        wait_until_deleted(context, rival.key, revision + 1).await?;
    }
    given_up.armed = false;
    Ok(())
}

/// Deletes the key of a caller that has gone away or failed while it waited; otherwise its turn would come, and
/// nobody would know.
struct GivenUp<'a> {
    context: &'a Arc<Context>,
    place: &'a Place,
    armed: bool,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (context, key, created) = (self.context.clone(), self.place.key.clone(), self.place.created);
        tokio::spawn(async move {
            if let Err(status) = leave(&context, key, created).await {
                tracing::debug!("a place whose caller is gone stays until its lease ends: {status}");
            }
        });
    }
}

/// Reads a range, linearizably, with the revision that it is of.
pub async fn read(context: &Arc<Context>, request: RangeRequest) -> Result<(i64, Vec<KeyValue>), Status> {
    context.read_barrier().await?;
    let response = context.range(request).await?;
    Ok((response.header.map_or(0, |header| header.revision), response.kvs))
}

async fn wait_until_deleted(context: &Arc<Context>, key: Bytes, start_revision: i64) -> Result<(), Status> {
    let (stream, mut responses) = context.hub.open();
    let filters = vec![FilterType::Noput as i32];
    stream.create(WatchCreateRequest { key, start_revision, filters, ..Default::default() }).await;
    while let Some(response) = responses.recv().await {
        if !response.events.is_empty() {
            return Ok(());
        }
        if response.head.canceled {
            // Compacted: whether the key is still there must be looked at again.
            return Ok(());
        }
    }
    Err(status::stopped())
}

/// Deletes a place's key if it is still that place; answers the revision.
pub async fn leave(context: &Arc<Context>, key: Bytes, created: i64) -> Result<i64, Status> {
    let delete = DeleteRangeRequest { key: key.clone(), ..Default::default() };
    let txn = TxnRequest {
        compare: vec![created_is(key, created)],
        success: vec![RequestOp { request: Some(Op::RequestDeleteRange(delete)) }],
        failure: Vec::new(),
    };
    Ok(revision(&transact(context, txn).await?))
}
