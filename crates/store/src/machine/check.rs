//! What is wrong with a request before any state is looked at. Done once, before it is proposed.

use std::collections::BTreeSet;

use bytes::Bytes;
use proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, range_request::SortOrder,
    range_request::SortTarget, request_op::Request,
};

use super::{Failure, KeyRange};

/// Most operations of a transaction on any path through its nesting, as etcd's default.
pub const TXN_OPS_MAX: usize = 128;

/// Checks a range request.
pub fn range(request: &RangeRequest) -> Result<(), Failure> {
    if request.key.is_empty() {
        return Err(Failure::EmptyKey);
    }
    let order = SortOrder::try_from(request.sort_order);
    let target = SortTarget::try_from(request.sort_target);
    if order.is_err() || target.is_err() {
        return Err(Failure::InvalidSort);
    }
    Ok(())
}

/// Checks a put.
pub fn put(request: &PutRequest) -> Result<(), Failure> {
    if request.key.is_empty() {
        return Err(Failure::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Failure::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Failure::LeaseProvided);
    }
    Ok(())
}

/// Checks a range deletion.
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), Failure> {
    if request.key.is_empty() { Err(Failure::EmptyKey) } else { Ok(()) }
}

/// Checks a transaction with all that is nested in it.
pub fn txn(request: &TxnRequest) -> Result<(), Failure> {
    txn_within(request, TXN_OPS_MAX)?;
    writes(&request.success)?;
    writes(&request.failure)?;
    // Of the two branches only one runs.
    let branches = [&request.success, &request.failure];
    match branches.into_iter().any(|ops| loses_what_is_kept(ops)) {
        true => Err(Failure::DuplicateKey),
        false => Ok(()),
    }
}

/// Whether a put keeps the value or the lease of a key that a deletion to the end of all keys beside it may take.
fn loses_what_is_kept(ops: &[RequestOp]) -> bool {
    let mut open = Vec::new();
    open_deletes(ops, &mut open);
    open.into_iter().min().is_some_and(|from| keeps(ops, from))
}

/// Collects where deletions to the end of all keys begin.
fn open_deletes<'a>(ops: &'a [RequestOp], found: &mut Vec<&'a Bytes>) {
    for op in ops {
        match &op.request {
            Some(Request::RequestDeleteRange(delete)) if is_open(&delete.range_end) => found.push(&delete.key),
            Some(Request::RequestTxn(nested)) => {
                open_deletes(&nested.success, found);
                open_deletes(&nested.failure, found);
            }
            _ => {}
        }
    }
}

/// Whether any put keeps the value or the lease of a key at or after `from`, which may be gone when its turn comes.
/// (etcd ends its process then.)
fn keeps(ops: &[RequestOp], from: &Bytes) -> bool {
    ops.iter().any(|op| match &op.request {
        Some(Request::RequestPut(put)) => (put.ignore_value || put.ignore_lease) && put.key >= *from,
        Some(Request::RequestTxn(nested)) => keeps(&nested.success, from) || keeps(&nested.failure, from),
        _ => false,
    })
}

/// Whether a range has no end.
fn is_open(range_end: &Bytes) -> bool {
    **range_end == [0]
}

/// Checks a transaction that may have `budget` operations. A nested one has what its parent leaves, so that
/// nesting can't be deeper than the budget either.
fn txn_within(request: &TxnRequest, budget: usize) -> Result<(), Failure> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    if ops > budget {
        return Err(Failure::TooManyOps);
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Failure::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(request)) => range(request)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => delete_range(request)?,
            Some(Request::RequestTxn(request)) => txn_within(request, budget - ops)?,
            None => return Err(Failure::KeyNotFound),
        }
    }
    Ok(())
}

/// What a list of operations writes.
#[derive(Default)]
struct Writes {
    puts: BTreeSet<Bytes>,
    deletes: Vec<(Bytes, Bytes)>,
}

impl Writes {
    fn deletes(&self, key: &[u8]) -> bool {
        self.deletes.iter().any(|(from, end)| KeyRange::new(from, end).contains(key))
    }

    /// Adds the puts of a nested branch. Those of `sibling`, its other branch, may be the same: only one runs.
    fn add_branch(&mut self, branch: &Writes, sibling: Option<&Writes>) -> Result<(), Failure> {
        for key in &branch.puts {
            let shared = sibling.is_some_and(|sibling| sibling.puts.contains(key));
            if (self.puts.contains(key) && !shared) || self.deletes(key) {
                return Err(Failure::DuplicateKey);
            }
            self.puts.insert(key.clone());
        }
        Ok(())
    }
}

/// Collects what `ops` write and refuses a key that is put twice, or put and deleted. (Two deletions may overlap. As
/// etcd, deletions to the end of all keys are overlooked: a key that is put then is deleted, or the other way round.)
fn writes(ops: &[RequestOp]) -> Result<Writes, Failure> {
    let mut all = Writes::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request
            && !is_open(&delete.range_end)
        {
            all.deletes.push((delete.key.clone(), delete.range_end.clone()));
        }
    }
    for op in ops {
        if let Some(Request::RequestTxn(txn)) = &op.request {
            let (then, otherwise) = (writes(&txn.success)?, writes(&txn.failure)?);
            all.add_branch(&then, None)?;
            all.add_branch(&otherwise, Some(&then))?;
            all.deletes.extend(then.deletes);
            all.deletes.extend(otherwise.deletes);
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request
            && (all.deletes(&put.key) || !all.puts.insert(put.key.clone()))
        {
            return Err(Failure::DuplicateKey);
        }
    }
    Ok(all)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
