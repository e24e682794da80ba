//! The Lease service. Leases of a few seconds are another test's; here none ends by itself.

use proto::etcdserverpb::*;

use super::{delete, put, range};
use crate::step::Step;

pub fn script() -> Vec<Step> {
    [grants(), attachments(), lives()].concat()
}

fn grant(id: i64, ttl: i64) -> Step {
    Step::Grant(LeaseGrantRequest { ttl, id })
}

fn left(id: i64) -> Step {
    Step::TimeToLive(LeaseTimeToLiveRequest { id, keys: true })
}

fn revoke(id: i64) -> Step {
    Step::Revoke(LeaseRevokeRequest { id })
}

fn grants() -> Vec<Step> {
    vec![
        grant(5, 100),
        grant(5, 100),
        grant(5, 9_000_000_001),
        grant(7, 9_000_000_001),
        grant(7, 9_000_000_000),
        grant(8, i64::MAX),
        grant(-9, 500),
        grant(0, 700),
        grant(i64::MAX, 800),
        grant(i64::MIN, 800),
        // The shortest time: revoked before it could end.
        grant(6, 0),
        left(6),
        revoke(6),
        grant(6, -1),
        revoke(6),
        grant(6, 1),
        revoke(6),
        grant(6, 2),
        revoke(6),
        grant(6, 3),
        left(6),
        revoke(6),
        revoke(0),
        revoke(404),
    ]
}

fn attachments() -> Vec<Step> {
    let leased = |key: &str, lease| Step::Put(PutRequest { lease, ..put(key, "1") });
    vec![
        leased("l/a", 5),
        leased("l/b", 5),
        leased("l/c", 7),
        left(5),
        Step::TimeToLive(LeaseTimeToLiveRequest { id: 5, keys: false }),
        leased("l/a", 7),
        left(5),
        left(7),
        Step::Put(PutRequest { ignore_lease: true, ..put("l/a", "2") }),
        left(7),
        Step::Put(put("l/a", "3")),
        left(7),
        Step::Put(PutRequest { ignore_value: true, lease: 5, ..put("l/a", "") }),
        Step::Delete(delete("l/b", "")),
        left(5),
        Step::Put(PutRequest { lease: -9, ..put("l/n", "1") }),
        left(-9),
        Step::Range(range("l/", "l0")),
    ]
}

fn lives() -> Vec<Step> {
    vec![
        left(404),
        left(0),
        Step::TimeToLive(LeaseTimeToLiveRequest { id: 404, keys: false }),
        Step::Leases,
        Step::KeepAlive(vec![5]),
        Step::KeepAlive(vec![5, 404, 7, 0, -9, 5]),
        Step::KeepAlive(vec![]),
        revoke(5),
        revoke(5),
        left(5),
        Step::KeepAlive(vec![5]),
        Step::Range(range("l/", "l0")),
        revoke(7),
        revoke(-9),
        Step::Range(range("l/", "l0")),
        Step::Leases,
        revoke(i64::MAX),
        revoke(i64::MIN),
        Step::Leases,
        grant(5, 100),
        left(5),
        revoke(5),
    ]
}

/// Leases far apart in what they have left, listed before any other is granted.
pub fn listed() -> Vec<Step> {
    let granted = [(1, 900), (2, 300), (3, 600), (-4, 1_200), (5, 100)];
    let mut steps: Vec<Step> = granted.map(|(id, ttl)| grant(id, ttl)).to_vec();
    steps.push(Step::LeasesInOrder);
    steps.extend(granted.map(|(id, _)| revoke(id)));
    steps
}
