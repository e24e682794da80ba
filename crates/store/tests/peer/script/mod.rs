//! The written scripts, one file for each part of the API, and what they are written with.

mod administration;
mod auth;
mod keys;
mod leases;
mod ownership;
mod transactions;
pub mod watches;

use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::*;

use crate::step::Step;

/// Every step of every script, in the order in which they run on two fresh stores.
pub fn all() -> Vec<Step> {
    let parts = [
        keys::compactions_before_any(),
        leases::listed(),
        keys::script(),
        transactions::script(),
        leases::script(),
        administration::script(),
        auth::script(),
        ownership::script(),
        keys::compactions(),
        auth::additions(),
        administration::unlike(),
    ];
    parts.concat()
}

/// Steps that leave two stores the same, whatever went before.
pub fn harmless() -> Vec<Step> {
    [administration::cluster(), administration::downgrades(), auth::script()].concat()
}

pub fn get(key: &str) -> RangeRequest {
    RangeRequest { key: key.to_owned().into(), ..Default::default() }
}

pub fn range(key: &str, end: &str) -> RangeRequest {
    RangeRequest { range_end: end.to_owned().into(), ..get(key) }
}

pub fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() }
}

pub fn delete(key: &str, end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.to_owned().into(), range_end: end.to_owned().into(), prev_kv: true }
}

pub fn op(request: Op) -> RequestOp {
    RequestOp { request: Some(request) }
}

pub fn op_put(key: &str, value: &str) -> RequestOp {
    op(Op::RequestPut(put(key, value)))
}

pub fn op_get(key: &str) -> RequestOp {
    op(Op::RequestRange(get(key)))
}

pub fn op_delete(key: &str, end: &str) -> RequestOp {
    op(Op::RequestDeleteRange(delete(key, end)))
}

pub fn compare(key: &str, result: i32, target: i32, union: compare::TargetUnion) -> Compare {
    Compare { key: key.to_owned().into(), result, target, target_union: Some(union), range_end: Default::default() }
}
