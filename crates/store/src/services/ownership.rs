//! What locks and elections share: a queue of keys under a prefix, ordered by the revision that created them.
//! The first owns; each other waits for the one right before it, so that an end wakes one waiter, not all.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest, WatchCreateRequest, compare, range_request,
    response_op::Response as OpResponse, watch_create_request::FilterType,
};
use proto::mvccpb::KeyValue;
use proto::raftsman_store_v1::command::Change;
use tonic::Status;

use super::kv::{put_op, range_op};
use super::{Context, status};
use crate::machine::Reply;

/// A place in the queue.
pub struct Place {
    /// The key that holds it.
    pub key: Bytes,
    /// Revision that created the key: the place's rank.
    pub created: i64,
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

/// Takes a place, or finds the one that the lease has already. The answer says whether the key was there.
pub async fn enter(context: &Arc<Context>, name: &[u8], lease: i64, value: Bytes) -> Result<(Place, bool), Status> {
    let key: Bytes = [&prefix(name)[..], format!("{lease:x}").as_bytes()].concat().into();
    let put = PutRequest { key: key.clone(), value, lease, ..Default::default() };
    let txn = TxnRequest {
        compare: vec![created_is(key.clone(), 0)],
        success: vec![put_op(put)],
        failure: vec![range_op(RangeRequest { key: key.clone(), ..Default::default() })],
    };
    let Reply::Txn(response) = context.propose(Change::Txn(txn)).await? else {
        return Err(status::mismatch());
    };
    let written = response.header.map_or(0, |header| header.revision);
    let first = response.responses.into_iter().next().and_then(|op| op.response);
    match first {
        Some(OpResponse::ResponseRange(range)) => {
            let created = range.kvs.first().map_or(0, |kv| kv.create_revision);
            Ok((Place { key, created }, true))
        }
        _ => Ok((Place { key, created: written }, false)),
    }
}

/// Waits until no place is before this one. Fails when the place itself is lost, as by the end of its lease.
pub async fn wait_for_turn(context: &Arc<Context>, name: &[u8], place: &Place) -> Result<(), Status> {
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
    let own = RangeRequest { key: place.key.clone(), ..Default::default() };
    let (_, kvs) = read(context, own).await?;
    match kvs.first() {
        Some(kv) if kv.create_revision == place.created => Ok(()),
        _ => Err(Status::unknown("concurrency: session is expired")),
    }
}

/// Reads a range, linearizably, with the revision that it is of.
pub async fn read(context: &Arc<Context>, request: RangeRequest) -> Result<(i64, Vec<KeyValue>), Status> {
    context.read_barrier().await?;
    let response = context.read(move |view| view.range(&request)).await?;
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
        if response.canceled {
            // Compacted: whether the key is still there must be looked at again.
            return Ok(());
        }
    }
    Err(status::stopped())
}

/// Deletes a place's key if it is still that place.
pub async fn leave(context: &Arc<Context>, key: Bytes, created: Option<i64>) -> Result<(), Status> {
    let delete = DeleteRangeRequest { key: key.clone(), ..Default::default() };
    let change = match created {
        None => Change::DeleteRange(delete),
        Some(created) => Change::Txn(TxnRequest {
            compare: vec![created_is(key, created)],
            success: vec![proto::etcdserverpb::RequestOp {
                request: Some(proto::etcdserverpb::request_op::Request::RequestDeleteRange(delete)),
            }],
            failure: Vec::new(),
        }),
    };
    context.propose(change).await.map(|_| ())
}
