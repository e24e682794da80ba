//! How much work a command can be, as far as it can be told without looking at any state.

use proto::etcdserverpb::compare::CompareTarget;
use proto::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RequestOp, request_op::Request};
use proto::raftsman_store_v1 as pb;
use proto::raftsman_store_v1::command::Change;

/// Whether a command touches single keys only and reads nothing from the disk.
pub fn is_brief(command: &pb::Command) -> bool {
    match &command.change {
        Some(Change::Put(request)) => put(request),
        Some(Change::DeleteRange(request)) => delete(request),
        Some(Change::Txn(request)) => {
            request.compare.iter().all(compare) && request.success.iter().chain(&request.failure).all(op)
        }
        // It deletes what is attached to the lease, however much that is.
        Some(Change::LeaseRevoke(_)) => false,
        Some(
            Change::Compact(_)
            | Change::LeaseGrant(_)
            | Change::LeaseCheckpoint(_)
            | Change::Alarm(_)
            | Change::Found(_)
            | Change::Publish(_)
            | Change::HashReport(_),
        )
        | None => true,
    }
}

fn put(request: &PutRequest) -> bool {
    !request.prev_kv && !request.ignore_value && !request.ignore_lease
}

fn delete(request: &DeleteRangeRequest) -> bool {
    request.range_end.is_empty() && !request.prev_kv
}

fn compare(compare: &Compare) -> bool {
    let read = matches!(compare.target(), CompareTarget::Value | CompareTarget::Lease);
    compare.range_end.is_empty() && !read
}

fn op(op: &RequestOp) -> bool {
    match &op.request {
        Some(Request::RequestPut(request)) => put(request),
        Some(Request::RequestDeleteRange(request)) => delete(request),
        Some(Request::RequestRange(_) | Request::RequestTxn(_)) => false,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::{RangeRequest, TxnRequest};

    use super::*;

    fn txn(success: Request) -> pb::Command {
        let txn = TxnRequest {
            compare: vec![Compare { key: "a".into(), target: CompareTarget::Mod.into(), ..Default::default() }],
            success: vec![RequestOp { request: Some(success) }],
            ..Default::default()
        };
        pb::Command { origin: None, change: Some(Change::Txn(txn)) }
    }

    #[test]
    fn what_reads_or_spans_keys_is_not_brief() {
        let put = PutRequest { key: "a".into(), ..Default::default() };
        assert!(is_brief(&txn(Request::RequestPut(put.clone()))));
        assert!(!is_brief(&txn(Request::RequestPut(PutRequest { prev_kv: true, ..put }))));
        let one = DeleteRangeRequest { key: "a".into(), ..Default::default() };
        assert!(is_brief(&txn(Request::RequestDeleteRange(one.clone()))));
        assert!(!is_brief(&txn(Request::RequestDeleteRange(DeleteRangeRequest { range_end: "b".into(), ..one }))));
        assert!(!is_brief(&txn(Request::RequestRange(RangeRequest { key: "a".into(), ..Default::default() }))));
        let mut wide = txn(Request::RequestPut(PutRequest { key: "a".into(), ..Default::default() }));
        if let Some(Change::Txn(txn)) = &mut wide.change {
            txn.compare[0].range_end = "b".into();
        }
        assert!(!is_brief(&wide));
    }
}
