//! Leases, locks, elections, and what concerns the group.

use proto::etcdserverpb::*;
use proto::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use proto::v3lockpb::{LockRequest, UnlockRequest};
use rand::RngExt;

use super::Draw;
use crate::play::Act;
use crate::script;
use crate::step::{OWN, Step};

impl Draw {
    /// Leases live long: one that would end soon is revoked at once.
    pub fn leasing(&mut self, acts: &mut Vec<Act>) {
        let id = if self.chance(90) { self.lease_id() } else { self.pick(&[0, 404, i64::MIN, i64::MAX]) };
        let step = match self.upto(12) {
            0..5 => {
                let ttl = self.pick(&[600, 1_000, 77, 9_000_000_000, 9_000_000_001, i64::MAX]);
                Step::Grant(LeaseGrantRequest { id, ttl })
            }
            5..7 => {
                self.revision += 1;
                Step::Revoke(LeaseRevokeRequest { id })
            }
            7..9 => Step::TimeToLive(LeaseTimeToLiveRequest { id, keys: self.chance(70) }),
            9 => Step::Leases,
            10 => Step::KeepAlive(vec![id, self.lease_id(), 404]),
            _ => {
                let ttl = self.pick(&[0, -1, i64::MIN, 1, 2, 3]);
                acts.push(Act::Ask(Step::Grant(LeaseGrantRequest { id: 77, ttl })));
                Step::Revoke(LeaseRevokeRequest { id: 77 })
            }
        };
        acts.push(Act::Ask(step));
    }

    /// Nobody has to wait: each lease has a lock and an election of its own.
    pub fn owning(&mut self) -> Step {
        self.revision += 1;
        let lease = if self.chance(90) { self.lease_id() } else { 404 };
        let (lock, ballot) = (format!("lock{lease}"), format!("ballot{lease}"));
        let held = |name: &str| if lease < 0 { format!("{name}/-{:x}", -lease) } else { format!("{name}/{lease:x}") };
        let rev = self.random.random_range(0..=self.revision);
        let key = if self.chance(80) { held(&ballot).into() } else { self.key() };
        let leader = LeaderKey { name: ballot.clone().into(), key, rev, lease };
        let leader = if self.chance(90) { Some(leader) } else { None };
        match self.upto(8) {
            0 | 1 => Step::Lock(LockRequest { name: lock.into(), lease }),
            2 => Step::Unlock(UnlockRequest { key: if self.chance(80) { held(&lock).into() } else { self.key() } }),
            3 | 4 => Step::Campaign(CampaignRequest { name: ballot.into(), lease, value: self.value() }),
            5 => Step::Proclaim(ProclaimRequest { leader, value: self.value() }),
            6 => Step::Leader(LeaderRequest { name: ballot.into() }),
            _ => Step::Resign(ResignRequest { leader }),
        }
    }

    /// What leaves the group as it is.
    pub fn administering(&mut self) -> Step {
        let alarm = |action, member_id, alarm| Step::Alarm(AlarmRequest { action, member_id, alarm });
        match self.upto(10) {
            0 => Step::Status,
            1 => Step::Hash,
            2 => Step::Defragment,
            3 => alarm(0, self.pick(&[0, OWN, 12]), self.pick(&[0, 1, 2, 9])),
            4 => alarm(self.pick(&[1, 2, 2, 2]), self.pick(&[OWN, 12]), 1),
            5 => alarm(2, OWN, 1),
            6 => Step::MemberList(MemberListRequest { linearizable: self.chance(50) }),
            7 => Step::MoveLeader(MoveLeaderRequest { target_id: self.pick(&[0, 404, OWN]) }),
            _ => {
                let harmless = script::harmless();
                self.pick(&harmless)
            }
        }
    }
}
