//! A Commit as an etcd Txn and back: pure functions.

use bytes::Bytes;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use tonic::Status;

use super::{Change, Condition, Outcome, PreparedGroup};

/// One group as it is; several as nested Txns of one without compares of its own.
pub(super) fn request(groups: &[PreparedGroup]) -> pb::TxnRequest {
    match groups {
        [group] => nested(group),
        groups => pb::TxnRequest {
            compare: Vec::new(),
            success: groups.iter().map(|group| op(Request::RequestTxn(nested(group)))).collect(),
            failure: Vec::new(),
        },
    }
}

fn nested(group: &PreparedGroup) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: group.conditions.iter().map(compare).collect(),
        success: group.changes.iter().map(change).collect(),
        // Keys only: the losers' values arrive through the watch cache anyway.
        failure: group.conditions.iter().map(|condition| op(Request::RequestRange(look(&condition.key)))).collect(),
    }
}

fn op(request: Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn compare(condition: &Condition) -> pb::Compare {
    pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: Bytes::copy_from_slice(condition.key.as_bytes()),
        target_union: Some(TargetUnion::ModRevision(condition.revision)),
        ..Default::default()
    }
}

fn change(change: &Change) -> pb::RequestOp {
    match change {
        Change::Put { key, value, lease } => op(Request::RequestPut(pb::PutRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: value.clone(),
            lease: *lease,
            ..Default::default()
        })),
        Change::Delete { key } => op(Request::RequestDeleteRange(pb::DeleteRangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            ..Default::default()
        })),
        Change::DeleteUnder { prefix } => op(Request::RequestDeleteRange(pb::DeleteRangeRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            range_end: crate::keys::end_of(prefix),
            ..Default::default()
        })),
    }
}

fn look(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), keys_only: true, ..Default::default() }
}

/// One outcome a group.
///
/// # Errors
/// `Internal` when the answer does not have the request's form.
pub(super) fn outcomes(groups: &[PreparedGroup], answer: pb::TxnResponse) -> Result<Vec<Outcome>, Status> {
    let revision = answer.header.as_ref().map_or(0, |header| header.revision);
    if let [group] = groups {
        return Ok(vec![outcome(group, &answer, revision)?]);
    }
    if answer.responses.len() != groups.len() {
        return Err(Status::internal("the store answered another number of groups than were sent"));
    }
    let answers = groups.iter().zip(&answer.responses);
    answers
        .map(|(group, answer)| match &answer.response {
            Some(Response::ResponseTxn(answer)) => outcome(group, answer, revision),
            _ => Err(Status::internal("the store answered a group with something else")),
        })
        .collect()
}

/// `revision` is the outer header's: a nested answer has an empty one.
fn outcome(group: &PreparedGroup, answer: &pb::TxnResponse, revision: i64) -> Result<Outcome, Status> {
    if answer.succeeded {
        return Ok(Outcome::Done { revision });
    }
    let mut found = Vec::new();
    for (index, (condition, answer)) in group.conditions.iter().zip(&answer.responses).enumerate() {
        let Some(Response::ResponseRange(range)) = &answer.response else {
            return Err(Status::internal("the store answered a look with something else"));
        };
        let actual = range.kvs.first().map_or(0, |kv| kv.mod_revision);
        if actual != condition.revision {
            found.push((index, actual));
        }
    }
    Ok(Outcome::Conflict { found, revision })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(key: &str, revision: i64) -> PreparedGroup {
        PreparedGroup {
            conditions: vec![Condition { key: key.into(), revision }],
            changes: vec![Change::Put { key: key.into(), value: Bytes::from_static(b"v"), lease: 0 }],
        }
    }

    fn header(revision: i64) -> Option<pb::ResponseHeader> {
        Some(pb::ResponseHeader { revision, ..Default::default() })
    }

    #[test]
    fn one_group_is_one_plain_txn() {
        let txn = request(&[group("/a", 0)]);
        assert_eq!((txn.compare.len(), txn.success.len(), txn.failure.len()), (1, 1, 1));
    }

    #[test]
    fn each_of_several_groups_is_nested_and_fails_alone() {
        let groups = [group("/a", 0), group("/b", 5)];
        let txn = request(&groups);
        assert!(txn.compare.is_empty());
        assert_eq!(txn.success.len(), 2);
        let looked = pb::ResponseOp {
            response: Some(Response::ResponseRange(pb::RangeResponse {
                kvs: vec![proto::mvccpb::KeyValue { mod_revision: 9, ..Default::default() }],
                ..Default::default()
            })),
        };
        let nested = |succeeded, responses| pb::ResponseOp {
            response: Some(Response::ResponseTxn(pb::TxnResponse { header: None, succeeded, responses })),
        };
        let answer = pb::TxnResponse {
            header: header(12),
            succeeded: true,
            responses: vec![nested(true, vec![]), nested(false, vec![looked])],
        };
        let outcomes = outcomes(&groups, answer).expect("well-formed");
        assert_eq!(outcomes[0], Outcome::Done { revision: 12 });
        assert_eq!(outcomes[1], Outcome::Conflict { found: vec![(0, 9)], revision: 12 });
    }
}
