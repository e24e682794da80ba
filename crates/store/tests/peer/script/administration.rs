//! Cluster (what leaves the group as it is) and Maintenance.

use proto::etcdserverpb::*;

use super::{delete, op_delete, op_put, put, range};
use crate::step::{OWN, Step};

pub fn script() -> Vec<Step> {
    [cluster(), statuses(), hashes(), alarms(), downgrades()].concat()
}

pub fn cluster() -> Vec<Step> {
    let add = |url: &str, is_learner| {
        let peer_urls = if url.is_empty() { vec![] } else { vec![url.to_owned()] };
        Step::MemberAdd(MemberAddRequest { peer_urls, is_learner })
    };
    vec![
        Step::MemberList(MemberListRequest { linearizable: true }),
        Step::MemberList(MemberListRequest { linearizable: false }),
        Step::MemberRemove(MemberRemoveRequest { id: 404 }),
        Step::MemberUpdate(MemberUpdateRequest { id: 404, peer_urls: vec!["http://127.0.0.1:1".into()] }),
        Step::MemberPromote(MemberPromoteRequest { id: 404 }),
        Step::MemberPromote(MemberPromoteRequest { id: OWN }),
        add("", false),
        add("", true),
        add("nonsense", false),
        add("ftp://127.0.0.1:1", false),
        add("http://127.0.0.1", true),
        add("http://127.0.0.1:1/path", false),
        Step::MoveLeader(MoveLeaderRequest { target_id: 404 }),
        Step::MoveLeader(MoveLeaderRequest { target_id: 0 }),
        Step::MoveLeader(MoveLeaderRequest { target_id: OWN }),
    ]
}

fn statuses() -> Vec<Step> {
    vec![Step::Status, Step::Defragment, Step::Status]
}

fn hashes() -> Vec<Step> {
    let mut steps = vec![Step::Hash];
    steps.extend([0, 1, 2, 9, 99_999, -1].map(|revision| Step::HashKv(HashKvRequest { revision })));
    steps
}

fn alarms() -> Vec<Step> {
    let alarm = |action, member_id, alarm| Step::Alarm(AlarmRequest { action, member_id, alarm });
    let (get, on, off) = (0, 1, 2);
    let (none, no_space, corrupt) = (0, 1, 2);
    let mut steps = vec![
        alarm(get, 0, none),
        alarm(get, OWN, no_space),
        alarm(on, OWN, none),
        alarm(off, OWN, no_space),
        alarm(off, 0, none),
        alarm(on, OWN, no_space),
        alarm(on, OWN, no_space),
        alarm(on, 12, no_space),
        alarm(get, 0, none),
        alarm(get, 12, none),
        alarm(get, 0, no_space),
        alarm(get, 0, corrupt),
        Step::Status,
    ];
    steps.extend(under_alarm());
    steps.extend([alarm(off, 12, no_space), alarm(off, 12, no_space)]);
    steps.extend([alarm(off, 0, no_space), alarm(off, OWN, no_space), alarm(on, OWN, corrupt), Step::Status]);
    steps.extend(under_alarm());
    steps.extend([alarm(off, OWN, corrupt), alarm(get, 0, none), Step::Status]);
    steps.extend(under_alarm());
    steps
}

/// What an alarm forbids, and what not.
fn under_alarm() -> Vec<Step> {
    let only = |op: RequestOp| Step::Txn(TxnRequest { success: vec![op], ..Default::default() });
    vec![
        Step::Put(put("alarmed", "1")),
        only(op_put("alarmed", "2")),
        only(op_delete("alarmed", "")),
        Step::Txn(TxnRequest {
            compare: vec![super::compare("none", 1, 0, compare::TargetUnion::Version(0))],
            success: vec![op_put("alarmed", "3")],
            failure: vec![op_delete("none", "")],
        }),
        // What only reads as it turns out, but might have written.
        Step::Txn(TxnRequest {
            success: vec![super::op_get("alarmed")],
            failure: vec![op_put("alarmed", "4")],
            ..Default::default()
        }),
        Step::Grant(LeaseGrantRequest { id: 61, ttl: 9_000_000_001 }),
        Step::Delete(delete("alarmed", "")),
        Step::Range(range("alarmed", "alarmee")),
        Step::Grant(LeaseGrantRequest { id: 60, ttl: 100 }),
        Step::Revoke(LeaseRevokeRequest { id: 60 }),
        Step::Compact(CompactionRequest { revision: 99_999, physical: false }),
    ]
}

/// The beginning of a downgrade, which is an accepted difference; it comes last of all.
pub fn unlike() -> Vec<Step> {
    vec![Step::Downgrade(DowngradeRequest { action: 1, version: "3.5".into() })]
}

pub fn downgrades() -> Vec<Step> {
    let (validate, enable, cancel) = (0, 1, 2);
    let downgrade = |action, version: &str| Step::Downgrade(DowngradeRequest { action, version: version.to_owned() });
    let mut steps = Vec::new();
    for version in
        ["3.5", "3.5.0", "3.5.7", "3.6", "3.6.0", "3.4", "3.7", "4.5", "", "3", "v3.5", "3.5.x", "3.5.0.0", "x"]
    {
        steps.push(downgrade(validate, version));
    }
    for version in ["3.6", "3.4", "", "x"] {
        steps.push(downgrade(enable, version));
    }
    steps.extend([downgrade(cancel, ""), downgrade(cancel, "3.5"), downgrade(cancel, "x"), downgrade(7, "3.5")]);
    steps
}
