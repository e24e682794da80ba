//! Txn: comparisons, branches, nesting, and what is refused.

use compare::TargetUnion::*;
use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::*;

use super::{compare, delete, get, op, op_delete, op_get, op_put, put, range};
use crate::step::Step;

pub fn script() -> Vec<Step> {
    let mut steps = vec![
        Step::Put(put("t/a", "2")),
        Step::Put(put("t/a", "3")),
        Step::Put(put("t/b", "1")),
        Step::Put(put("t/c", "")),
        Step::Grant(LeaseGrantRequest { id: 50, ttl: 600 }),
        Step::Put(PutRequest { lease: 50, ..put("t/leased", "x") }),
    ];
    steps.extend(comparisons().into_iter().map(compared));
    steps.extend(branches().into_iter().map(Step::Txn));
    steps.extend(nested().into_iter().map(Step::Txn));
    steps.extend(overlaps().into_iter().map(Step::Txn));
    steps.extend(open().into_iter().map(Step::Txn));
    steps.extend(refused().into_iter().map(Step::Txn));
    steps.push(Step::Range(range("t/", "t0")));
    steps
}

fn only(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success, ..Default::default() }
}

/// A transaction of one comparison whose branches tell themselves apart.
fn compared(compare: Compare) -> Step {
    Step::Txn(TxnRequest { compare: vec![compare], success: vec![op_get("t/a")], failure: vec![op_get("t/b")] })
}

fn comparisons() -> Vec<Compare> {
    let mut all = Vec::new();
    for result in [0, 1, 2, 3, 4, -1] {
        for key in ["t/a", "t/none", "t/leased"] {
            all.extend([
                compare(key, result, 0, Version(2)),
                compare(key, result, 1, CreateRevision(0)),
                compare(key, result, 2, ModRevision(1_000)),
                compare(key, result, 3, Value("3".into())),
                compare(key, result, 3, Value("".into())),
                compare(key, result, 4, Lease(50)),
                compare(key, result, 4, Lease(0)),
            ]);
        }
        let ranged = |from: &str, end: &str, compare: Compare| Compare {
            key: from.to_owned().into(),
            range_end: end.to_owned().into(),
            ..compare
        };
        all.extend([
            ranged("t/a", "t/c", compare("", result, 0, Version(0))),
            ranged("t/", "t0", compare("", result, 4, Lease(0))),
            ranged("x", "xx", compare("", result, 2, ModRevision(0))),
            ranged("x", "xx", compare("", result, 3, Value("".into()))),
            ranged("t/c", "t/a", compare("", result, 0, Version(0))),
            ranged("t/", "\0", compare("", result, 3, Value("1".into()))),
        ]);
    }
    // The union and the target need not agree, the target need not exist, and the union may be left out.
    all.extend([
        compare("t/a", 0, 0, ModRevision(2)),
        compare("t/a", 1, 0, Value("2".into())),
        compare("t/a", 0, 3, Version(2)),
        compare("t/c", 0, 3, Version(2)),
        compare("t/a", 2, 4, CreateRevision(9)),
        compare("t/a", 0, 9, Version(2)),
        compare("t/a", 3, 9, Version(2)),
        compare("t/none", 0, 9, Version(2)),
        Compare { target_union: None, ..compare("t/a", 1, 0, Version(0)) },
        Compare { target_union: None, ..compare("t/c", 0, 3, Version(0)) },
        compare("", 0, 0, Version(0)),
    ]);
    all
}

fn branches() -> Vec<TxnRequest> {
    let fails = compare("t/a", 0, 0, Version(77));
    vec![
        TxnRequest::default(),
        TxnRequest { compare: vec![fails.clone()], ..Default::default() },
        TxnRequest { compare: vec![fails.clone()], success: vec![op_put("t/a", "no")], failure: vec![] },
        TxnRequest { compare: vec![fails], success: vec![], failure: vec![op_put("t/else", "yes"), op_get("t/else")] },
        only(vec![op(Op::RequestRange(range("t/", "t0"))), op_get("t/none")]),
        only(vec![op(Op::RequestRange(RangeRequest { serializable: true, ..get("t/a") }))]),
        only(vec![op(Op::RequestPut(PutRequest { prev_kv: true, ..put("t/a", "4") })), op_get("t/a")]),
        only(vec![op_delete("t/none", "")]),
        only(vec![op_delete("t/none", ""), op_get("t/a")]),
        only(vec![op_delete("t/a", "t/b"), op_get("t/a"), op_delete("t/a", "t/c"), op_get("t/b")]),
        only(vec![op_put("t/a", "5"), op_put("t/b", "5"), op_put("t/d", "5")]),
        only(vec![op(Op::RequestPut(PutRequest { ignore_value: true, lease: 50, ..put("t/a", "") }))]),
        only(vec![op(Op::RequestPut(PutRequest { ignore_lease: true, ..put("t/a", "6") }))]),
        only(vec![op_put("t/a", "7"), op(Op::RequestRange(RangeRequest { revision: 3, ..range("\0", "\0") }))]),
        only(vec![op_put("t/a", "8"), op(Op::RequestRange(RangeRequest { count_only: true, ..range("t/", "t0") }))]),
        only(vec![op(Op::RequestRange(RangeRequest { limit: 1, sort_order: 2, ..range("t/", "t0") }))]),
    ]
}

fn txn(request: TxnRequest) -> RequestOp {
    op(Op::RequestTxn(request))
}

fn nested() -> Vec<TxnRequest> {
    let inner = TxnRequest {
        compare: vec![compare("t/a", 0, 3, Value("changed".into()))],
        success: vec![op_put("t/n", "then")],
        failure: vec![op_put("t/n", "else")],
    };
    let mixed = only(vec![
        op_get("t/a"),
        op(Op::RequestPut(PutRequest { prev_kv: true, ..put("t/a", "changed") })),
        op_get("t/a"),
        txn(inner.clone()),
        op_delete("t/b", "t/d"),
        op_delete("t/c", "t/d"),
        op(Op::RequestRange(RangeRequest { revision: 3, ..range("a", "z") })),
    ]);
    let deep = |depth: usize, leaf: RequestOp| (0..depth).fold(only(vec![leaf]), |inner, _| only(vec![txn(inner)]));
    vec![
        mixed,
        only(vec![txn(inner.clone()), op_get("t/n")]),
        only(vec![txn(TxnRequest::default())]),
        only(vec![txn(only(vec![op_get("t/a")])), txn(only(vec![op_delete("t/none", "")]))]),
        deep(3, op_put("t/deep", "3")),
        deep(20, op_put("t/deep", "20")),
        deep(128, op_put("t/deep", "128")),
        only(vec![
            txn(only(vec![op(Op::RequestPut(PutRequest { lease: 404, ..put("t/x", "no") }))])),
            op_put("t/y", "no"),
        ]),
        only(vec![txn(TxnRequest { compare: vec![compare("", 0, 0, Version(0))], ..Default::default() })]),
        only(vec![txn(only(vec![op_get("")]))]),
    ]
}

/// Keys that are written twice: which is a mistake, and which is not.
fn overlaps() -> Vec<TxnRequest> {
    let then = |key: &str| only(vec![op_put(key, "1")]);
    let either = |a: &str, b: &str| TxnRequest {
        compare: vec![compare("t/a", 0, 0, Version(0))],
        success: vec![op_put(a, "1")],
        failure: vec![op_put(b, "1")],
    };
    vec![
        only(vec![op_put("t/a", "1"), op_put("t/a", "2")]),
        only(vec![op_put("t/q", "1"), op_delete("t/p", "t/r")]),
        only(vec![op_delete("t/p", "t/r"), op_put("t/q", "1")]),
        only(vec![op_put("t/q", "1"), op_delete("t/q", "")]),
        only(vec![op_put("t/q", "1"), op_delete("t/r", "\0"), op_get("t/q")]),
        only(vec![op_delete("t/q", ""), op_delete("t/", "t0")]),
        only(vec![op_put("t/r", "1"), op_delete("t/p", "t/r")]),
        only(vec![txn(then("t/q")), op_put("t/q", "2")]),
        only(vec![txn(then("t/q")), txn(then("t/q"))]),
        only(vec![txn(then("t/q")), txn(then("t/r"))]),
        only(vec![txn(then("t/q")), op_delete("t/q", "")]),
        only(vec![txn(only(vec![op_delete("t/q", "")])), op_put("t/q", "1")]),
        only(vec![txn(only(vec![op_delete("t/q", "")])), txn(then("t/q"))]),
        only(vec![txn(then("t/q")), txn(only(vec![op_delete("t/q", "")]))]),
        only(vec![txn(either("t/q", "t/q"))]),
        only(vec![txn(either("t/q", "t/r")), txn(then("t/r"))]),
        only(vec![txn(either("t/q", "t/q")), txn(then("t/q"))]),
        TxnRequest { success: vec![op_put("t/q", "1")], failure: vec![op_put("t/q", "2")], compare: vec![] },
        TxnRequest { success: vec![], failure: vec![op_put("t/q", "1"), op_put("t/q", "2")], compare: vec![] },
    ]
}

/// Puts and deletions to the end of all keys, which etcd does not look at together: what comes later wins.
fn open() -> Vec<TxnRequest> {
    vec![
        only(vec![op_put("t/q", "1"), op_delete("t/", "\0")]),
        only(vec![op_put("t/q", "1"), op_put("t/s", "1")]),
        only(vec![op_put("t/q", "2"), op_delete("t/q", "\0"), op(Op::RequestRange(range("t/", "t0")))]),
        only(vec![op_put("t/q", "3")]),
        only(vec![txn(only(vec![op_delete("\0", "\0")])), op_put("t/q", "4"), op_get("t/q")]),
        only(vec![op_delete("t/q", "\0"), op(Op::RequestPut(PutRequest { prev_kv: true, ..put("t/q", "5") }))]),
        only(vec![op_put("t/q", "6"), op_delete("t/q", "\0"), op_delete("t/q", "")]),
        only(vec![op(Op::RequestRange(range("\0", "\0")))]),
    ]
}

fn refused() -> Vec<TxnRequest> {
    let many = |count: usize| (0..count).map(|_| op_get("t/a")).collect::<Vec<_>>();
    let compares = |count: usize| (0..count).map(|_| compare("t/a", 1, 0, Version(0))).collect::<Vec<_>>();
    let large = || compare("t/a", 3, 3, compare::TargetUnion::Value(vec![b'x'; 1_600_000].into()));
    let late = RangeRequest { revision: 99_999, ..get("t/a") };
    vec![
        only(many(128)),
        only(many(129)),
        TxnRequest { failure: many(129), ..Default::default() },
        TxnRequest { compare: compares(128), ..Default::default() },
        TxnRequest { compare: compares(129), ..Default::default() },
        only([many(127), vec![txn(only(many(1)))]].concat()),
        only([many(127), vec![txn(only(many(2)))]].concat()),
        // Only what may write is too large.
        TxnRequest { compare: vec![large()], ..only(vec![op_get("t/a")]) },
        TxnRequest { compare: vec![large()], failure: vec![op_put("t/a", "no")], ..Default::default() },
        only(vec![RequestOp { request: None }]),
        only(vec![op_put("t/a", "no"), RequestOp { request: None }]),
        only(vec![op_put("t/a", "no"), op(Op::RequestRange(late.clone()))]),
        only(vec![op(Op::RequestRange(late))]),
        only(vec![op(Op::RequestRange(RangeRequest { revision: -2, ..get("t/a") }))]),
        only(vec![op_put("t/a", "no"), op(Op::RequestRange(RangeRequest { revision: -2, ..get("t/a") }))]),
        only(vec![op_put("t/a", "9"), op(Op::RequestRange(RangeRequest { revision: -1, ..get("t/a") }))]),
        only(vec![op(Op::RequestPut(PutRequest { lease: 77, ..put("t/q", "1") }))]),
        only(vec![op_put("t/a", "no"), op(Op::RequestPut(PutRequest { ignore_value: true, ..put("t/none", "") }))]),
        only(vec![op(Op::RequestPut(PutRequest { ignore_value: true, lease: 77, ..put("t/none", "") }))]),
        only(vec![op(Op::RequestPut(PutRequest { ignore_value: true, ..put("t/a", "x") }))]),
        only(vec![op(Op::RequestPut(PutRequest { ignore_lease: true, lease: 50, ..put("t/a", "x") }))]),
        only(vec![op(Op::RequestRange(RangeRequest { sort_order: 9, ..get("t/a") }))]),
        only(vec![op(Op::RequestRange(RangeRequest { sort_target: 9, ..get("t/a") }))]),
        only(vec![op_put("", "1")]),
        only(vec![op(Op::RequestDeleteRange(delete("", "z")))]),
        TxnRequest { failure: vec![op_put("", "1")], ..Default::default() },
    ]
}
