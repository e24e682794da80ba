//! Reading a range of keys: which, in which order, and how many. Used by reads and inside transactions.

use proto::etcdserverpb::{RangeRequest, RangeResponse, range_request::SortOrder, range_request::SortTarget};
use proto::mvccpb::KeyValue;

use super::index::Found;
use super::{Failure, Index, KeyRange};

/// A range request, its keys found but their values not fetched yet.
#[derive(Debug)]
pub struct Selection {
    /// Keys to fetch, in order of key.
    pub found: Vec<Found>,
    /// All keys in the range, whatever limit and filters say.
    pub count: i64,
}

/// The revision that a request reads at, where the newest is `current`.
pub fn revision(request: &RangeRequest, current: i64, compacted: i64) -> Result<i64, Failure> {
    if request.revision > current {
        return Err(Failure::FutureRevision);
    }
    let at = if request.revision <= 0 { current } else { request.revision };
    if at < compacted {
        return Err(Failure::Compacted);
    }
    Ok(at)
}

/// Checks the revision of a read inside a transaction. As etcd: there a revision below 0 is not the newest one, but one
/// before all others.
pub fn check_in_transaction(request: &RangeRequest, current: i64, compacted: i64) -> Result<(), Failure> {
    if request.revision != 0 && request.revision < compacted {
        return Err(Failure::Compacted);
    }
    revision(request, current, compacted).map(|_| ())
}

/// Finds the keys of a request at revision `at`.
pub fn select(index: &Index, request: &RangeRequest, at: i64) -> Selection {
    let range = KeyRange::new(&request.key, &request.range_end);
    if request.count_only {
        return Selection { found: Vec::new(), count: index.count(range, at) };
    }
    let limit = match usize::try_from(request.limit) {
        // One more than asked for tells whether the limit cut anything off. As etcd: without an order the first keys
        // are taken, and only these are sorted by the target.
        Ok(limit) if limit > 0 && request.sort_order() == SortOrder::None && !filtered(request) => limit + 1,
        _ => 0,
    };
    let (mut found, count) = index.range(range, at, limit);
    if filtered(request) {
        found.retain(|found| admits(request, found));
    }
    Selection { found, count }
}

/// Makes the response of the fetched pairs, which lie in order of key.
pub fn finish(request: &RangeRequest, mut kvs: Vec<KeyValue>, count: i64) -> RangeResponse {
    if sorted(request) {
        sort(request, &mut kvs);
    }
    let mut more = false;
    if let Ok(limit) = usize::try_from(request.limit)
        && limit > 0
        && kvs.len() > limit
    {
        kvs.truncate(limit);
        more = true;
    }
    if request.keys_only {
        for kv in &mut kvs {
            kv.value = Default::default();
        }
    }
    RangeResponse { header: None, kvs, more, count }
}

/// Whether the order asked for is another than that of the keys.
fn sorted(request: &RangeRequest) -> bool {
    request.sort_target() != SortTarget::Key || request.sort_order() == SortOrder::Descend
}

fn filtered(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn admits(request: &RangeRequest, found: &Found) -> bool {
    let within = |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    within(found.version.at.main, request.min_mod_revision, request.max_mod_revision)
        && within(found.version.created, request.min_create_revision, request.max_create_revision)
}

fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) {
    let target = request.sort_target();
    let ascending = |a: &KeyValue, b: &KeyValue| match target {
        SortTarget::Key => a.key < b.key,
        SortTarget::Version => a.version < b.version,
        SortTarget::Create => a.create_revision < b.create_revision,
        SortTarget::Mod => a.mod_revision < b.mod_revision,
        SortTarget::Value => a.value < b.value,
    };
    if request.sort_order() == SortOrder::Descend {
        super::sort::sort(kvs, |a, b| ascending(b, a));
    } else {
        super::sort::sort(kvs, ascending);
    }
}
