//! Range, Put, DeleteRange and Compact.

use proto::etcdserverpb::*;

use super::{delete, get, put, range};
use crate::step::Step;

pub fn script() -> Vec<Step> {
    [empty(), writes(), ranges(), orders(), filters(), revisions(), deletions(), ties()].concat()
}

/// What a store without keys answers.
fn empty() -> Vec<Step> {
    let mut steps: Vec<Step> = [get("a"), range("\0", "\0"), range("a", "b"), get("")].map(Step::Range).to_vec();
    steps.extend([delete("a", ""), delete("\0", "\0")].map(Step::Delete));
    steps.extend([1, 2, -1].map(|revision| Step::Range(RangeRequest { revision, ..get("a") })));
    steps
}

/// A compaction at 0 of a store that was never compacted is one, though nothing is forgotten.
pub fn compactions_before_any() -> Vec<Step> {
    let compact = |revision| Step::Compact(CompactionRequest { revision, physical: true });
    let hash = |revision| Step::HashKv(HashKvRequest { revision });
    let read = |revision| {
        let read = request_op::Request::RequestRange(RangeRequest { revision, ..get("a") });
        let success = vec![RequestOp { request: Some(read) }];
        Step::Txn(TxnRequest { success, ..Default::default() })
    };
    let mut steps = Vec::new();
    for compaction in [-1, 0, 0, -1] {
        steps.extend([compact(compaction), hash(0), hash(1), read(0), read(-1), read(-2)]);
    }
    steps
}

fn writes() -> Vec<Step> {
    [
        put("a", "1"),
        put("a", "2"),
        put("b", "1"),
        put("c", "9"),
        put("d", ""),
        put("e/1", "x"),
        put("e/2", "y"),
        put("", "1"),
        PutRequest { prev_kv: true, ..put("a", "3") },
        PutRequest { prev_kv: true, ..put("new", "3") },
        PutRequest { ignore_value: true, prev_kv: true, ..put("a", "") },
        PutRequest { ignore_value: true, ..put("a", "x") },
        PutRequest { ignore_value: true, ..put("none", "") },
        PutRequest { ignore_value: true, ignore_lease: true, ..put("none", "") },
        PutRequest { ignore_value: true, ignore_lease: true, ..put("a", "") },
        PutRequest { ignore_value: true, lease: 99, ..put("none", "") },
        PutRequest { ignore_value: true, lease: 99, ..put("a", "") },
        PutRequest { ignore_lease: true, lease: 5, ..put("a", "x") },
        PutRequest { ignore_lease: true, ..put("none", "x") },
        PutRequest { lease: 5, ..put("a", "x") },
        PutRequest { lease: -5, ..put("a", "x") },
        PutRequest { lease: 5, ..put("", "x") },
        PutRequest { key: vec![0].into(), ..put("", "zero byte") },
        PutRequest { key: vec![255, 255].into(), ..put("", "last") },
        PutRequest { value: vec![0, 255, 128].into(), ..put("bytes", "") },
        PutRequest { value: vec![7; 100_000].into(), ..put("large", "") },
        PutRequest { key: vec![b'k'; 4096].into(), ..put("", "long key") },
    ]
    .map(Step::Put)
    .to_vec()
}

fn ranges() -> Vec<Step> {
    let pairs = [
        ("\0", "\0"),
        ("a", "c"),
        ("a", "a"),
        ("b", "a"),
        ("b", "\0"),
        ("e/", "e0"),
        ("", "z"),
        ("", "\0"),
        ("zz", "\0"),
        ("\0", "b"),
        ("a", "b\0"),
        ("a\0", "b"),
    ];
    let mut steps: Vec<Step> = pairs.map(|(key, end)| Step::Range(range(key, end))).to_vec();
    for limit in [0, 1, 2, 3, 11, 12, 100, -1, i64::MAX] {
        steps.push(Step::Range(RangeRequest { limit, ..range("\0", "\0") }));
        steps.push(Step::Range(RangeRequest { limit, count_only: true, ..range("a", "z") }));
        steps.push(Step::Range(RangeRequest { limit, keys_only: true, ..range("a", "f") }));
    }
    steps.push(Step::Range(RangeRequest { keys_only: true, count_only: true, ..range("a", "f") }));
    steps.push(Step::Range(RangeRequest { serializable: true, limit: 5, ..range("a", "z") }));
    steps.push(Step::Range(RangeRequest { serializable: true, revision: 99_999, ..range("a", "z") }));
    steps
}

/// Every order by every target, also such as do not exist.
fn orders() -> Vec<Step> {
    let mut steps = Vec::new();
    for sort_target in [0, 1, 2, 3, 4, 5, -1] {
        for sort_order in [0, 1, 2, 3, -1] {
            for limit in [0, 2] {
                let request = RangeRequest { sort_target, sort_order, limit, ..range("a", "f") };
                steps.push(Step::Range(request));
            }
        }
    }
    steps
}

/// More keys than etcd sorts by insertion, with few values, versions and revisions: it leaves ties as its algorithm has it.
fn ties() -> Vec<Step> {
    let mut steps = Vec::new();
    for group in 0..5 {
        let puts = (0..18).map(|n| super::op_put(&format!("ties/{n}{group}"), &(n * n % 5).to_string()));
        steps.push(Step::Txn(TxnRequest { success: puts.collect(), ..Default::default() }));
    }
    steps.extend((0..90).step_by(7).map(|n| Step::Put(put(&format!("ties/{}{}", n % 18, n % 5), "3"))));
    for end in ["ties/13", "ties/3", "ties0"] {
        for sort_target in 0..5 {
            for sort_order in 0..3 {
                steps.push(Step::Range(RangeRequest { sort_target, sort_order, ..range("ties/", end) }));
                steps.push(Step::Range(RangeRequest { sort_target, sort_order, limit: 15, ..range("ties/", end) }));
            }
        }
    }
    steps.push(Step::Delete(delete("ties/", "ties0")));
    steps
}

fn filters() -> Vec<Step> {
    let all = range("a", "f");
    let mut steps = Vec::new();
    for bound in [1, 3, 5, 8, 100, -1] {
        steps.extend(
            [
                RangeRequest { min_mod_revision: bound, ..all.clone() },
                RangeRequest { max_mod_revision: bound, limit: 2, ..all.clone() },
                RangeRequest { min_create_revision: bound, limit: 1, ..all.clone() },
                RangeRequest { max_create_revision: bound, sort_target: 1, sort_order: 2, ..all.clone() },
                RangeRequest { min_mod_revision: 3, max_mod_revision: bound, count_only: true, ..all.clone() },
            ]
            .map(Step::Range),
        );
    }
    steps
}

fn revisions() -> Vec<Step> {
    let mut steps = Vec::new();
    for revision in [1, 2, 3, 4, 5, 7, 99_999, -1, i64::MIN, i64::MAX] {
        steps.push(Step::Range(RangeRequest { revision, ..range("\0", "\0") }));
        steps.push(Step::Range(RangeRequest { revision, count_only: true, ..range("a", "c") }));
        steps.push(Step::Range(RangeRequest { revision, ..get("a") }));
    }
    steps
}

fn deletions() -> Vec<Step> {
    [
        delete("none", ""),
        delete("", ""),
        delete("", "z"),
        delete("b", "a"),
        delete("a", "a"),
        DeleteRangeRequest { prev_kv: false, ..delete("e/1", "") },
        delete("e/1", ""),
        delete("e/", "e0"),
        delete("a", "c"),
        delete("large", "\0"),
    ]
    .map(Step::Delete)
    .into_iter()
    .chain([Step::Put(put("a", "again")), Step::Range(get("a")), Step::Range(range("\0", "\0"))])
    .collect()
}

/// Compactions, and reads around the compacted revision. These come last, for they take the history away.
pub fn compactions() -> Vec<Step> {
    let compact = |revision, physical| Step::Compact(CompactionRequest { revision, physical });
    let mut steps = vec![compact(-1, true), compact(99_999, true), compact(6, true)];
    for revision in [6, 5, 0, -1, 7, 99_999] {
        steps.push(Step::Range(RangeRequest { revision, ..range("\0", "\0") }));
        steps.push(Step::Range(RangeRequest { revision, count_only: true, ..get("a") }));
        steps.push(Step::HashKv(HashKvRequest { revision }));
        let read =
            RequestOp { request: Some(request_op::Request::RequestRange(RangeRequest { revision, ..get("a") })) };
        steps.push(Step::Txn(TxnRequest { success: vec![read.clone()], ..Default::default() }));
        let write = super::op_put("after", "compaction");
        steps.push(Step::Txn(TxnRequest { success: vec![write, read], ..Default::default() }));
    }
    steps.extend([compact(6, true), compact(5, false), compact(0, true), compact(9, false), compact(9, true)]);
    steps.extend([Step::Defragment, Step::Hash, Step::Range(range("\0", "\0"))]);
    steps
}
