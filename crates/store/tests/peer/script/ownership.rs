//! v3lock and v3election, as far as nobody has to wait; waiting is another test's.

use proto::etcdserverpb::*;
use proto::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use proto::v3lockpb::{LockRequest, UnlockRequest};

use super::range;
use crate::step::Step;

/// The revision of the first step that writes here is not known beforehand; a key that was never created has 0.
const NEVER: i64 = 0;

pub fn script() -> Vec<Step> {
    [
        vec![
            Step::Grant(LeaseGrantRequest { id: 0x1a, ttl: 600 }),
            Step::Grant(LeaseGrantRequest { id: 0x2b, ttl: 600 }),
        ],
        locks(),
        elections(),
        vec![
            Step::Revoke(LeaseRevokeRequest { id: 0x1a }),
            Step::Revoke(LeaseRevokeRequest { id: 0x2b }),
            Step::Leader(LeaderRequest { name: "election".into() }),
        ],
    ]
    .concat()
}

fn locks() -> Vec<Step> {
    let lock = |name: &'static str, lease| Step::Lock(LockRequest { name: name.into(), lease });
    let unlock = |key: &'static str| Step::Unlock(UnlockRequest { key: key.into() });
    vec![
        lock("lock", 0x1a),
        lock("lock", 0x1a),
        Step::Range(range("lock", "locl")),
        lock("lock", 404),
        lock("lock", -1),
        lock("", 0x1a),
        unlock("/1a"),
        unlock("lock/1a"),
        unlock("lock/1a"),
        unlock(""),
        lock("lock", 0x2b),
        Step::Grant(LeaseGrantRequest { id: -0x3c, ttl: 600 }),
        lock("negative", -0x3c),
        unlock("negative/-3c"),
        Step::Campaign(CampaignRequest { name: "negative".into(), lease: -0x3c, value: "v".into() }),
        Step::Revoke(LeaseRevokeRequest { id: -0x3c }),
        unlock("lock/2b"),
        Step::Range(range("lock", "locl")),
    ]
}

fn elections() -> Vec<Step> {
    let campaign = |lease, value: &'static str| {
        Step::Campaign(CampaignRequest { name: "election".into(), lease, value: value.into() })
    };
    let leader = |name: &'static str| Step::Leader(LeaderRequest { name: name.into() });
    let key = |key: &'static str, rev| LeaderKey { name: "election".into(), key: key.into(), rev, lease: 0x1a };
    let proclaim = |leader| Step::Proclaim(ProclaimRequest { leader, value: "proclaimed".into() });
    let resign = |leader| Step::Resign(ResignRequest { leader });
    vec![
        leader("election"),
        leader(""),
        proclaim(None),
        resign(None),
        proclaim(Some(key("election/1a", 1_000_000))),
        resign(Some(key("election/1a", 1_000_000))),
        campaign(404, "x"),
        campaign(0x1a, "one"),
        leader("election"),
        campaign(0x1a, "one"),
        campaign(0x1a, "two"),
        leader("election"),
        proclaim(Some(key("election/1a", 1_000_000))),
        proclaim(Some(key("", 5))),
        proclaim(Some(key("election/never", NEVER))),
        resign(Some(key("election/1a", 1_000_000))),
        resign(Some(key("", 5))),
        leader("election"),
        Step::Range(range("election", "electioo")),
    ]
}
