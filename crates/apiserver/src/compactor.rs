//! Forgets the store's history, as every kube-apiserver does: what is older than five minutes.
//!
//! All API servers of a store share one key, `compact_rev_key`, whose version is the turn: who writes turn t+1 first
//! compacts to the revision that was current when turn t was written; the others learn the turn and wait again. So the
//! history kept is between one interval and two, however many API servers there are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use tonic::Status;

use crate::storage::Storage;

/// Time between two compactions.
pub const INTERVAL: Duration = Duration::from_secs(300);
const KEY: Bytes = Bytes::from_static(b"compact_rev_key");

/// What an API server knows of the turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Turn {
    /// The key's version.
    version: i64,
    /// The store's revision when it was written or read.
    revision: i64,
}

/// Compacts for ever, once an interval.
pub async fn run(storage: Arc<Storage>, interval: Duration) {
    let mut turn = Turn::default();
    loop {
        tokio::time::sleep(interval).await;
        match take_turn(&storage, turn).await {
            Ok(next) => turn = next,
            Err(status) => tracing::warn!(error = %status, "the store was not compacted; trying again later"),
        }
    }
}

async fn take_turn(storage: &Storage, turn: Turn) -> Result<Turn, Status> {
    let answer = storage.txn(request(turn)).await?;
    let revision = answer.header.as_ref().map_or(0, |header| header.revision);
    if !answer.succeeded {
        return Ok(Turn { version: version(&answer), revision });
    }
    if turn.revision > 0 {
        match storage.compact(turn.revision).await {
            Err(status) if !status.message().contains("compacted") => return Err(status),
            _ => tracing::info!(revision = turn.revision, "compacted the store"),
        }
    }
    Ok(Turn { version: turn.version + 1, revision })
}

fn request(turn: Turn) -> pb::TxnRequest {
    let op = |request| pb::RequestOp { request: Some(request) };
    pb::TxnRequest {
        compare: vec![pb::Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Version.into(),
            key: KEY,
            target_union: Some(TargetUnion::Version(turn.version)),
            ..Default::default()
        }],
        success: vec![op(Request::RequestPut(pb::PutRequest {
            key: KEY,
            value: Bytes::from(turn.revision.to_string()),
            ..Default::default()
        }))],
        failure: vec![op(Request::RequestRange(pb::RangeRequest { key: KEY, ..Default::default() }))],
    }
}

fn version(answer: &pb::TxnResponse) -> i64 {
    match answer.responses.first().and_then(|response| response.response.as_ref()) {
        Some(Response::ResponseRange(range)) => range.kvs.first().map_or(0, |kv| kv.version),
        _ => 0,
    }
}
