//! One request of a script, and its answer with everything taken out that differs lawfully between two stores: who
//! answers, drawn ids, sizes, hashes and the seconds that a lease has left.

use std::net::SocketAddr;

use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::*;
use proto::v3electionpb::election_client::ElectionClient;
use proto::v3electionpb::{CampaignRequest, LeaderRequest, ProclaimRequest, ResignRequest};
use proto::v3lockpb::lock_client::LockClient;
use proto::v3lockpb::{LockRequest, UnlockRequest};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A store that is compared.
#[derive(Clone)]
pub struct Peer {
    pub channel: Channel,
    pub address: SocketAddr,
    /// Its member's id and its group's.
    member: u64,
    cluster: u64,
}

/// Stands in requests for the id of the member that is asked.
pub const OWN: u64 = 7_777_777_777;
/// Stands in answers for an id that the store has drawn.
const DRAWN: i64 = -7;

/// One request.
#[derive(Clone, Debug)]
pub enum Step {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
    Grant(LeaseGrantRequest),
    Revoke(LeaseRevokeRequest),
    TimeToLive(LeaseTimeToLiveRequest),
    Leases,
    /// The same, in the order in which they are listed: by what they have left.
    LeasesInOrder,
    /// Keep-alives on one stream.
    KeepAlive(Vec<i64>),
    MemberList(MemberListRequest),
    MemberAdd(MemberAddRequest),
    MemberRemove(MemberRemoveRequest),
    MemberUpdate(MemberUpdateRequest),
    MemberPromote(MemberPromoteRequest),
    Alarm(AlarmRequest),
    Status,
    Defragment,
    Hash,
    HashKv(HashKvRequest),
    MoveLeader(MoveLeaderRequest),
    Downgrade(DowngradeRequest),
    AuthEnable,
    AuthDisable,
    AuthStatus,
    Authenticate(AuthenticateRequest),
    UserAdd(AuthUserAddRequest),
    UserGet(AuthUserGetRequest),
    UserList,
    UserDelete(AuthUserDeleteRequest),
    UserChangePassword(AuthUserChangePasswordRequest),
    UserGrantRole(AuthUserGrantRoleRequest),
    UserRevokeRole(AuthUserRevokeRoleRequest),
    RoleAdd(AuthRoleAddRequest),
    RoleGet(AuthRoleGetRequest),
    RoleList,
    RoleDelete(AuthRoleDeleteRequest),
    RoleGrantPermission(AuthRoleGrantPermissionRequest),
    RoleRevokePermission(AuthRoleRevokePermissionRequest),
    Lock(LockRequest),
    Unlock(UnlockRequest),
    Campaign(CampaignRequest),
    Proclaim(ProclaimRequest),
    Leader(LeaderRequest),
    Resign(ResignRequest),
}

/// Shows a response with its header in neutral form. The second form changes the response first.
macro_rules! show {
    ($peer:expr, $call:expr) => {
        show!($peer, $call, |_response| {})
    };
    ($peer:expr, $call:expr, |$response:ident| $change:block) => {
        match $call.await {
            Ok(answer) => {
                #[allow(unused_mut, reason = "some responses stay as they are")]
                let mut $response = answer.into_inner();
                $peer.neutral(&mut $response.header);
                $change
                format!("{:?}", $response)
            }
            Err(status) => refusal(&status),
        }
    };
}

/// Code and text of a refusal.
pub fn refusal(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

impl Peer {
    /// Learns who answers there.
    pub async fn new(channel: Channel, address: SocketAddr) -> Self {
        let request = RangeRequest { key: "x".into(), ..Default::default() };
        let header = KvClient::new(channel.clone()).range(request).await.unwrap().into_inner().header.unwrap();
        Self { channel, address, member: header.member_id, cluster: header.cluster_id }
    }

    /// Its newest revision.
    pub async fn revision(&self) -> i64 {
        let request = RangeRequest { key: "x".into(), ..Default::default() };
        KvClient::new(self.channel.clone()).range(request).await.unwrap().into_inner().header.unwrap().revision
    }

    /// A header that tells only whether it names who answers, and the revision.
    pub fn neutral(&self, header: &mut Option<ResponseHeader>) {
        if let Some(header) = header {
            header.cluster_id = u64::from(header.cluster_id == self.cluster);
            header.member_id = u64::from(header.member_id == self.member);
            header.raft_term = u64::from(header.raft_term > 0);
        }
    }

    fn own(&self, id: u64) -> u64 {
        if id == OWN { self.member } else { id }
    }

    fn neutral_member(&self, member: &mut Member) {
        member.id = if member.id == self.member { OWN } else { 0 };
        member.peer_urls.clear();
        member.client_urls.retain(|url| *url != format!("http://{}", self.address));
    }

    fn neutral_alarm(&self, alarm: &mut AlarmMember) {
        if alarm.member_id == self.member {
            alarm.member_id = OWN;
        }
    }

    /// The answer to a step.
    pub async fn ask(&self, step: Step) -> String {
        match step {
            Step::Range(_) | Step::Put(_) | Step::Delete(_) | Step::Txn(_) | Step::Compact(_) => {
                self.ask_kv(step).await
            }
            Step::Grant(_)
            | Step::Revoke(_)
            | Step::TimeToLive(_)
            | Step::Leases
            | Step::LeasesInOrder
            | Step::KeepAlive(_) => self.ask_lease(step).await,
            Step::MemberList(_)
            | Step::MemberAdd(_)
            | Step::MemberRemove(_)
            | Step::MemberUpdate(_)
            | Step::MemberPromote(_) => self.ask_cluster(step).await,
            Step::Alarm(_)
            | Step::Status
            | Step::Defragment
            | Step::Hash
            | Step::HashKv(_)
            | Step::MoveLeader(_)
            | Step::Downgrade(_) => self.ask_maintenance(step).await,
            Step::Lock(_)
            | Step::Unlock(_)
            | Step::Campaign(_)
            | Step::Proclaim(_)
            | Step::Leader(_)
            | Step::Resign(_) => self.ask_concurrency(step).await,
            auth => self.ask_auth(auth).await,
        }
    }

    async fn ask_kv(&self, step: Step) -> String {
        let mut kv = KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        match step {
            Step::Range(request) => show!(self, kv.range(request)),
            Step::Put(request) => show!(self, kv.put(request)),
            Step::Delete(request) => show!(self, kv.delete_range(request)),
            Step::Txn(request) => show!(self, kv.txn(request)),
            Step::Compact(request) => show!(self, kv.compact(request)),
            other => unreachable!("{other:?}"),
        }
    }

    async fn ask_lease(&self, step: Step) -> String {
        let mut lease = LeaseClient::new(self.channel.clone());
        match step {
            Step::Grant(request) => show!(self, lease.lease_grant(request), |answer| {
                if request.id == 0 && answer.id > 0 {
                    answer.id = DRAWN;
                }
            }),
            Step::Revoke(request) => show!(self, lease.lease_revoke(request)),
            Step::TimeToLive(request) => show!(self, lease.lease_time_to_live(request), |answer| {
                answer.keys.sort();
                let spent = answer.granted_ttl - answer.ttl;
                if answer.ttl >= 0 && (0..=answer.granted_ttl.min(60)).contains(&spent) {
                    answer.ttl = answer.granted_ttl;
                }
            }),
            Step::LeasesInOrder => show!(self, lease.lease_leases(LeaseLeasesRequest {})),
            Step::Leases => show!(self, lease.lease_leases(LeaseLeasesRequest {}), |answer| {
                for lease in &mut answer.leases {
                    // Those that scripts name are small, or the largest.
                    lease.id = if (1 << 32..i64::MAX).contains(&lease.id) { DRAWN } else { lease.id };
                }
                // They are listed by the time that they have left, which two stores count from different moments.
                answer.leases.sort_by_key(|lease| lease.id);
            }),
            Step::KeepAlive(ids) => {
                let requests = ids.into_iter().map(|id| LeaseKeepAliveRequest { id });
                match lease.lease_keep_alive(tokio_stream::iter(requests.collect::<Vec<_>>())).await {
                    Ok(answers) => {
                        let mut answers = answers.into_inner();
                        let mut said = String::new();
                        while let Some(mut answer) = answers.message().await.transpose() {
                            if let Ok(answer) = &mut answer {
                                self.neutral(&mut answer.header);
                            }
                            said += &answer.map_or_else(|status| refusal(&status), |answer| format!("{answer:?}"));
                        }
                        said
                    }
                    Err(status) => refusal(&status),
                }
            }
            other => unreachable!("{other:?}"),
        }
    }

    async fn ask_cluster(&self, step: Step) -> String {
        let mut cluster = ClusterClient::new(self.channel.clone());
        match step {
            Step::MemberList(request) => show!(self, cluster.member_list(request), |answer| {
                answer.members.iter_mut().for_each(|member| self.neutral_member(member));
            }),
            Step::MemberAdd(request) => show!(self, cluster.member_add(request)),
            Step::MemberRemove(MemberRemoveRequest { id }) => {
                show!(self, cluster.member_remove(MemberRemoveRequest { id: self.own(id) }))
            }
            Step::MemberUpdate(MemberUpdateRequest { id, peer_urls }) => {
                show!(self, cluster.member_update(MemberUpdateRequest { id: self.own(id), peer_urls }))
            }
            Step::MemberPromote(MemberPromoteRequest { id }) => {
                show!(self, cluster.member_promote(MemberPromoteRequest { id: self.own(id) }))
            }
            other => unreachable!("{other:?}"),
        }
    }

    async fn ask_maintenance(&self, step: Step) -> String {
        let mut maintenance = MaintenanceClient::new(self.channel.clone());
        match step {
            Step::Alarm(request) => {
                let request = AlarmRequest { member_id: self.own(request.member_id), ..request };
                show!(self, maintenance.alarm(request), |answer| {
                    answer.alarms.iter_mut().for_each(|alarm| self.neutral_alarm(alarm));
                    answer.alarms.sort_by_key(|alarm| (alarm.member_id, alarm.alarm));
                })
            }
            Step::Status => show!(self, maintenance.status(StatusRequest {}), |answer| {
                answer.leader = if answer.leader == self.member { OWN } else { 0 };
                for number in [&mut answer.raft_index, &mut answer.raft_applied_index, &mut answer.raft_term] {
                    *number = u64::from(*number > 0);
                }
                for size in [&mut answer.db_size, &mut answer.db_size_in_use] {
                    *size = i64::from(*size > 0);
                }
                for error in &mut answer.errors {
                    *error = error.replace(&self.member.to_string(), "OWN");
                }
                answer.errors.sort();
            }),
            Step::Defragment => show!(self, maintenance.defragment(DefragmentRequest {})),
            Step::Hash => show!(self, maintenance.hash(HashRequest {}), |answer| { answer.hash = 0 }),
            Step::HashKv(request) => show!(self, maintenance.hash_kv(request), |answer| { answer.hash = 0 }),
            Step::MoveLeader(MoveLeaderRequest { target_id }) => {
                show!(self, maintenance.move_leader(MoveLeaderRequest { target_id: self.own(target_id) }))
            }
            Step::Downgrade(request) => show!(self, maintenance.downgrade(request)),
            other => unreachable!("{other:?}"),
        }
    }

    async fn ask_concurrency(&self, step: Step) -> String {
        let mut locks = LockClient::new(self.channel.clone());
        let mut elections = ElectionClient::new(self.channel.clone());
        match step {
            Step::Lock(request) => show!(self, locks.lock(request)),
            Step::Unlock(request) => show!(self, locks.unlock(request)),
            Step::Campaign(request) => show!(self, elections.campaign(request)),
            Step::Proclaim(request) => show!(self, elections.proclaim(request)),
            Step::Leader(request) => show!(self, elections.leader(request)),
            Step::Resign(request) => show!(self, elections.resign(request)),
            other => unreachable!("{other:?}"),
        }
    }

    async fn ask_auth(&self, step: Step) -> String {
        let mut auth = AuthClient::new(self.channel.clone());
        match step {
            Step::AuthEnable => show!(self, auth.auth_enable(AuthEnableRequest {})),
            Step::AuthDisable => show!(self, auth.auth_disable(AuthDisableRequest {})),
            Step::AuthStatus => show!(self, auth.auth_status(AuthStatusRequest {})),
            Step::Authenticate(request) => show!(self, auth.authenticate(request)),
            Step::UserAdd(request) => show!(self, auth.user_add(request)),
            Step::UserGet(request) => show!(self, auth.user_get(request)),
            Step::UserList => show!(self, auth.user_list(AuthUserListRequest {})),
            Step::UserDelete(request) => show!(self, auth.user_delete(request)),
            Step::UserChangePassword(request) => show!(self, auth.user_change_password(request)),
            Step::UserGrantRole(request) => show!(self, auth.user_grant_role(request)),
            Step::UserRevokeRole(request) => show!(self, auth.user_revoke_role(request)),
            Step::RoleAdd(request) => show!(self, auth.role_add(request)),
            Step::RoleGet(request) => show!(self, auth.role_get(request)),
            Step::RoleList => show!(self, auth.role_list(AuthRoleListRequest {})),
            Step::RoleDelete(request) => show!(self, auth.role_delete(request)),
            Step::RoleGrantPermission(request) => show!(self, auth.role_grant_permission(request)),
            Step::RoleRevokePermission(request) => show!(self, auth.role_revoke_permission(request)),
            other => unreachable!("{other:?}"),
        }
    }
}

/// Whether an answer is a refusal with this code.
pub fn refused(answer: &str, code: Code) -> bool {
    answer.starts_with(&format!("{code:?}: "))
}
