//! Reads and writes inside one transaction. A single put or range deletion is a transaction of one operation.
//!
//! First every compare along the path is decided, on the state before the transaction; then the operations on
//! that path are checked against the same state; only then anything is written. So a transaction that is
//! refused has changed nothing.

use std::collections::HashMap;

use bytes::Bytes;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp,
    ResponseHeader, ResponseOp, TxnRequest, TxnResponse, compare::CompareResult, compare::CompareTarget,
    compare::TargetUnion, request_op::Request, response_op::Response,
};
use proto::mvccpb::KeyValue;

use super::{Batch, Disk, DiskError, Event, Failure, Index, KeyRange, Leases, Record, Revision, Version, range, read};
use crate::keys;

/// An operation's failure: of the request, or of the disk.
pub type Result<T> = std::result::Result<T, super::Refused>;

/// One transaction under way.
pub struct Transaction<'a, D> {
    pub index: &'a mut Index,
    pub leases: &'a mut Leases,
    pub disk: &'a D,
    pub batch: &'a mut Batch,
    pub pending: &'a mut HashMap<Revision, Record>,
    /// Revision before the transaction.
    pub base: i64,
    pub compacted: i64,
    /// Changes so far.
    pub events: Vec<Event>,
}

impl<D: Disk> Transaction<'_, D> {
    /// The newest revision that an operation sees: with a change made, the transaction's own.
    pub fn current(&self) -> i64 {
        self.base + i64::from(!self.events.is_empty())
    }

    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: self.current(), ..Default::default() })
    }

    /// Runs a transaction.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse> {
        let mut path = Vec::new();
        self.decide(request, &mut path)?;
        self.check(request, &mut path.iter().copied())?;
        let mut response = self.run(request, &mut path.into_iter())?;
        response.header = self.header();
        Ok(response)
    }

    /// Decides which branch each transaction on the path takes, in the order in which they will be met.
    fn decide(&self, request: &TxnRequest, path: &mut Vec<bool>) -> Result<()> {
        let mut succeeded = true;
        for compare in &request.compare {
            succeeded = succeeded && self.compare(compare)?;
        }
        path.push(succeeded);
        for op in branch(request, succeeded) {
            if let Some(Request::RequestTxn(nested)) = &op.request {
                self.decide(nested, path)?;
            }
        }
        Ok(())
    }

    fn check(&self, request: &TxnRequest, path: &mut impl Iterator<Item = bool>) -> Result<()> {
        let succeeded = path.next().unwrap_or(false);
        for op in branch(request, succeeded) {
            match &op.request {
                Some(Request::RequestRange(request)) => {
                    range::check_in_transaction(request, self.base, self.compacted)?;
                }
                Some(Request::RequestPut(request)) => self.check_put(request)?,
                Some(Request::RequestTxn(nested)) => self.check(nested, path)?,
                Some(Request::RequestDeleteRange(_)) | None => {}
            }
        }
        Ok(())
    }

    fn check_put(&self, request: &PutRequest) -> Result<()> {
        if (request.ignore_value || request.ignore_lease) && self.index.get(&request.key, self.base).is_none() {
            return Err(Failure::KeyNotFound.into());
        }
        self.check_lease(request)
    }

    fn check_lease(&self, request: &PutRequest) -> Result<()> {
        if request.lease != 0 && !self.leases.exists(request.lease) {
            return Err(Failure::LeaseNotFound.into());
        }
        Ok(())
    }

    fn run(&mut self, request: &TxnRequest, path: &mut impl Iterator<Item = bool>) -> Result<TxnResponse> {
        let succeeded = path.next().unwrap_or(false);
        let mut responses = Vec::new();
        for op in branch(request, succeeded) {
            let response = match &op.request {
                Some(Request::RequestRange(request)) => Response::ResponseRange(self.range(request)?),
                Some(Request::RequestPut(request)) => Response::ResponsePut(self.write(request)?),
                Some(Request::RequestDeleteRange(request)) => {
                    Response::ResponseDeleteRange(self.delete_range(request)?)
                }
                Some(Request::RequestTxn(nested)) => {
                    let mut nested = self.run(nested, path)?;
                    // etcd's nested answers have an empty header.
                    nested.header = Some(ResponseHeader::default());
                    Response::ResponseTxn(nested)
                }
                None => continue,
            };
            responses.push(ResponseOp { response: Some(response) });
        }
        Ok(TxnResponse { header: None, succeeded, responses })
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResponse> {
        let at = range::revision(request, self.current(), self.compacted)?;
        let selection = range::select(self.index, request, at);
        let mut kvs = Vec::with_capacity(selection.found.len());
        for found in selection.found {
            kvs.push(self.value(found.version.at)?);
        }
        let mut response = range::finish(request, kvs, selection.count);
        response.header = self.header();
        Ok(response)
    }

    /// A put that is the whole transaction. Its lease is looked at before all else, unlike a transaction's.
    pub fn put(&mut self, request: &PutRequest) -> Result<PutResponse> {
        self.check_lease(request)?;
        self.check_put(request)?;
        self.write(request)
    }

    fn write(&mut self, request: &PutRequest) -> Result<PutResponse> {
        let before = self.index.get(&request.key, self.current());
        let old = match before {
            Some(version) if request.prev_kv || request.ignore_value => Some(self.value(version.at)?),
            _ => None,
        };
        let lease = if request.ignore_lease { self.leases.of(&request.key) } else { request.lease };
        let at = self.next();
        let (created, version) = match before {
            Some(version) => (version.created, version.version + 1),
            None => (at.main, 1),
        };
        let value = match (&old, request.ignore_value) {
            (Some(old), true) => old.value.clone(),
            _ => request.value.clone(),
        };
        let key = own(&request.key);
        self.leases.attach(&key, lease);
        self.index.push(&key, Version { at, created, version });
        let kv = KeyValue { key, create_revision: created, mod_revision: at.main, version, value, lease };
        self.note(at, Record::Put(kv), before);
        Ok(PutResponse { header: self.header(), prev_kv: old.filter(|_| request.prev_kv) })
    }

    /// Deletes a range.
    pub fn delete_range(&mut self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse> {
        let range = KeyRange::new(&request.key, &request.range_end);
        let (found, deleted) = self.index.range(range, self.current(), 0);
        let mut prev_kvs = Vec::new();
        for found in found {
            if request.prev_kv {
                prev_kvs.push(self.value(found.version.at)?);
            }
            self.delete(&found.key, found.version);
        }
        Ok(DeleteRangeResponse { header: self.header(), deleted, prev_kvs })
    }

    /// Deletes a key that exists, as `before` says.
    pub fn delete(&mut self, key: &Bytes, before: Version) {
        let at = self.next();
        self.leases.detach(key);
        self.index.push(key, Version { at, created: 0, version: 0 });
        let kv = KeyValue { key: key.clone(), mod_revision: at.main, ..Default::default() };
        self.note(at, Record::Delete(kv), Some(before));
    }

    /// Place of the next change.
    fn next(&self) -> Revision {
        Revision { main: self.base + 1, sub: self.events.len() as u32 }
    }

    fn note(&mut self, at: Revision, record: Record, before: Option<Version>) {
        self.batch.put(&keys::state::record(at), record.encode());
        self.pending.insert(at, record.clone());
        let before = match before {
            // Watches are told what was before the transaction.
            Some(version) if version.at.main == at.main => self.index.get(&record.kv().key, self.base),
            before => before,
        };
        let previous = before.filter(|_| !record.creates()).map(|version| version.at);
        self.events.push(Event { record, previous });
    }

    /// What the put at `at` wrote, in this batch or an earlier one.
    fn value(&self, at: Revision) -> Result<KeyValue> {
        let record = match self.pending.get(&at) {
            Some(record) => Some(record.clone()),
            None => read(self.disk, at)?,
        };
        match record {
            Some(Record::Put(kv)) => Ok(kv),
            // The index names only puts, and only those that no compaction has dropped: the disk has lost it.
            Some(Record::Delete(_)) | None => Err(DiskError::damaged(at).into()),
        }
    }

    fn compare(&self, compare: &Compare) -> Result<bool> {
        let range = KeyRange::new(&compare.key, &compare.range_end);
        let mut found = Vec::new();
        self.index.visit(range, self.base, |key, version| {
            found.push((key.clone(), version));
            true
        });
        if found.is_empty() {
            // A missing key is compared as one whose numbers are all 0; it has no value to compare.
            return Ok(compare.target() != CompareTarget::Value && holds(compare, &KeyValue::default()));
        }
        for (key, version) in found {
            let mut kv = KeyValue {
                create_revision: version.created,
                mod_revision: version.at.main,
                version: version.version,
                ..Default::default()
            };
            match compare.target() {
                CompareTarget::Value => kv = self.value(version.at)?,
                CompareTarget::Lease => kv.lease = self.leases.of(&key),
                _ => {}
            }
            if !holds(compare, &kv) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn branch(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded { &request.success } else { &request.failure }
}

/// The key in a buffer of its own: a request's key shares the whole request's buffer, and the index keeps keys
/// for as long as they live.
fn own(key: &Bytes) -> Bytes {
    Bytes::copy_from_slice(key)
}

/// Whether a pair satisfies a comparison. What the request leaves out, or says of another target, is 0 or empty; an
/// unknown target is equal to everything, and an unknown result holds.
fn holds(compare: &Compare, kv: &KeyValue) -> bool {
    let union = compare.target_union.as_ref();
    let order = match (CompareTarget::try_from(compare.target), union) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(want))) => kv.version.cmp(want),
        (Ok(CompareTarget::Version), _) => kv.version.cmp(&0),
        (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(want))) => kv.create_revision.cmp(want),
        (Ok(CompareTarget::Create), _) => kv.create_revision.cmp(&0),
        (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(want))) => kv.mod_revision.cmp(want),
        (Ok(CompareTarget::Mod), _) => kv.mod_revision.cmp(&0),
        (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(want))) => kv.lease.cmp(want),
        (Ok(CompareTarget::Lease), _) => kv.lease.cmp(&0),
        (Ok(CompareTarget::Value), Some(TargetUnion::Value(want))) => kv.value.cmp(want),
        (Ok(CompareTarget::Value), _) => kv.value.cmp(&Bytes::new()),
        (Err(_), _) => std::cmp::Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        Err(_) => true,
    }
}
