//! Watches: every option, many on a stream, and what is refused.

use proto::etcdserverpb::*;

use super::{delete, op_delete, op_put, put};
use crate::play::Act;
use crate::step::Step;

pub fn script() -> Vec<Act> {
    [options(), ids(), refusals(), large(), twice(), compacted(), future(), ends()].concat()
}

fn create(stream: usize, request: WatchCreateRequest) -> Act {
    Act::Create(stream, request)
}

fn of(key: &str, end: &str) -> WatchCreateRequest {
    WatchCreateRequest { key: key.to_owned().into(), range_end: end.to_owned().into(), ..Default::default() }
}

fn write(key: &str, value: &str) -> Act {
    Act::Ask(Step::Put(put(key, value)))
}

fn txn(success: Vec<RequestOp>) -> Act {
    Act::Ask(Step::Txn(TxnRequest { success, ..Default::default() }))
}

/// One watch for each option and range on one stream, some from the start, some from now.
fn options() -> Vec<Act> {
    let ranges = [("w/a", ""), ("w/", "w0"), ("w/b", "w/d"), ("", "\0"), ("", ""), ("w/b", "\0"), ("w/zz", "w0")];
    let filters = [vec![], vec![0], vec![1], vec![0, 1], vec![7]];
    let mut acts =
        vec![write("w/a", "1"), write("w/b", "1"), txn(vec![op_put("w/a", "2"), op_put("w/c", "1"), op_put("v", "1")])];
    for (key, end) in ranges {
        for start_revision in [0, 1, 3] {
            acts.push(create(1, WatchCreateRequest { start_revision, prev_kv: true, ..of(key, end) }));
        }
    }
    for filters in filters {
        for prev_kv in [false, true] {
            let filters = filters.clone();
            let options =
                WatchCreateRequest { filters, prev_kv, fragment: prev_kv, progress_notify: true, ..of("w/", "w0") };
            acts.push(create(1, options.clone()));
            acts.push(create(1, WatchCreateRequest { start_revision: 2, ..options }));
        }
    }
    acts.extend([
        Act::Drain(1),
        write("w/a", "3"),
        Act::Ask(Step::Put(PutRequest { ignore_value: true, ..put("w/a", "") })),
        Act::Ask(Step::Grant(LeaseGrantRequest { id: 70, ttl: 600 })),
        Act::Ask(Step::Put(PutRequest { lease: 70, ..put("w/leased", "x") })),
        Act::Ask(Step::Put(PutRequest { lease: 70, ..put("w/b", "x") })),
        Act::Ask(Step::Delete(delete("w/b", "w/d"))),
        Act::Ask(Step::Delete(delete("w/none", ""))),
        txn(vec![op_put("w/b", "5"), op_delete("w/c", ""), op_put("w/d", "5"), op_delete("w/a", "")]),
        Act::Ask(Step::Revoke(LeaseRevokeRequest { id: 70 })),
        write("w/a", "reborn"),
        write("x", "elsewhere"),
        Act::Drain(1),
    ]);
    acts
}

/// Which id a watch gets.
fn ids() -> Vec<Act> {
    let with = |watch_id| WatchCreateRequest { watch_id, ..of("id", "") };
    vec![
        create(2, with(0)),
        create(2, with(0)),
        create(2, with(1)),
        create(2, with(5)),
        create(2, with(5)),
        create(2, with(2)),
        create(2, with(0)),
        Act::Cancel(2, 0),
        create(2, with(0)),
        Act::Cancel(2, 3),
        Act::Cancel(2, 3),
        Act::Cancel(2, 404),
        create(2, with(3)),
        create(2, with(0)),
        create(2, with(0)),
        create(2, with(-5)),
        create(2, with(-5)),
        Act::Cancel(2, -5),
        create(2, with(i64::MAX)),
        Act::Nothing(2),
        write("id", "1"),
        Act::Drain(2),
    ]
}

fn refusals() -> Vec<Act> {
    vec![
        create(3, of("b", "a")),
        create(3, of("b", "b")),
        create(3, WatchCreateRequest { start_revision: -1, ..of("a", "") }),
        create(3, WatchCreateRequest { start_revision: i64::MIN, ..of("b", "a") }),
        create(3, WatchCreateRequest { watch_id: 9, ..of("b", "a") }),
        create(3, of("a", "")),
        write("a", "after refusals"),
        Act::Drain(3),
    ]
}

/// Revisions that are larger than a message may be, for watches that take fragments and such that do not.
fn large() -> Vec<Act> {
    let value = "v".repeat(100_000);
    let mut acts: Vec<Act> = (0..12).map(|n| write(&format!("large/{n:02}"), &value)).collect();
    for fragment in [true, false] {
        acts.push(create(4, WatchCreateRequest { fragment, prev_kv: true, ..of("large/", "large0") }));
        acts.push(create(4, WatchCreateRequest { fragment, start_revision: 2, ..of("large/", "large0") }));
    }
    acts.push(txn((0..12).map(|n| op_put(&format!("large/{n:02}"), &value)).collect()));
    acts.push(Act::Ask(Step::Delete(DeleteRangeRequest { prev_kv: false, ..delete("large/", "large0") })));
    for fragment in [true, false] {
        acts.push(create(
            4,
            WatchCreateRequest { fragment, prev_kv: true, start_revision: 2, ..of("large/", "large0") },
        ));
    }
    acts.push(Act::Drain(4));
    acts
}

/// Keys that one transaction puts and deletes.
fn twice() -> Vec<Act> {
    let watch = |prev_kv, back| Act::CreateBack(7, WatchCreateRequest { prev_kv, ..of("z/", "z0") }, back);
    let open = |key: &str| op_delete(key, "\0");
    let mut acts = vec![watch(true, -1), watch(false, -1), write("z/old", "1"), write("z/kept", "1")];
    acts.extend([
        txn(vec![op_put("z/new", "2"), open("z/new")]),
        txn(vec![op_put("z/old", "2"), open("z/old")]),
        write("z/old", "3"),
        txn(vec![open("z/old"), op_put("z/old", "4")]),
        txn(vec![open("z/none"), op_put("z/p", "4")]),
        Act::Drain(7),
        watch(true, 6),
        watch(false, 6),
        Act::Drain(7),
    ]);
    acts
}

/// A stream whose client asks nothing more, and is told on; and one whose watch was canceled right after a write.
fn ends() -> Vec<Act> {
    let mut acts = vec![create(8, of("end", ""))];
    for watch in 1..20 {
        acts.extend([create(8, of("end", "")), write("end", "x"), Act::Cancel(8, watch)]);
    }
    acts.extend([Act::Drain(8), Act::CloseSend(8), write("end", "1"), write("end", "2"), Act::Until(8, 0, 21)]);
    acts
}

/// Watches whose beginning is compacted, and ones whose earlier values are.
fn compacted() -> Vec<Act> {
    let from = |start_revision| WatchCreateRequest { start_revision, prev_kv: true, ..of("w/", "w0") };
    vec![
        create(5, of("w/", "w0")),
        Act::Ask(Step::Compact(CompactionRequest { revision: 10, physical: true })),
        create(5, from(1)),
        Act::Drain(5),
        create(5, from(9)),
        Act::Drain(5),
        create(5, from(10)),
        create(5, from(11)),
        create(5, from(0)),
        write("w/a", "after the compaction"),
        Act::Drain(5),
        create(5, WatchCreateRequest { watch_id: 1, ..from(0) }),
        create(5, from(0)),
    ]
}

/// Watches that begin at a revision that is still to come.
fn future() -> Vec<Act> {
    let mut acts = vec![
        create(6, of("f", "")),
        Act::CreateBack(6, WatchCreateRequest { prev_kv: true, ..of("f", "") }, -1),
        Act::CreateBack(6, WatchCreateRequest { prev_kv: true, ..of("f", "") }, -4),
        Act::CreateBack(6, of("f", ""), -5),
    ];
    acts.extend((0..8).map(|n| write("f", &n.to_string())));
    acts.push(Act::Drain(6));
    acts.extend([Act::Until(6, 0, 8), Act::Until(6, 1, 8), Act::Until(6, 2, 5), Act::Until(6, 3, 4)]);
    acts
}
