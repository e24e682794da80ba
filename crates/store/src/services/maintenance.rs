//! `etcdserverpb.Maintenance`.

use std::sync::Arc;

use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::downgrade_request::DowngradeAction;
use proto::etcdserverpb::maintenance_server::Maintenance;
use proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeInfo, DowngradeRequest,
    DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest, MoveLeaderResponse,
    SnapshotRequest, StatusRequest, StatusResponse,
};
use proto::raftsman_store_v1::command::Change;
use tonic::{Request, Response, Status};

use super::backup::{self, Blobs};
use super::{CLUSTER_VERSION, Context, ETCD_VERSION, status};
use crate::machine::Reply;

/// What the hash of a store without any record is told as: in JSON, a zero would be no field at all.
const NO_RECORDS: u32 = 0x6b65_7973;

/// The maintenance service.
pub struct MaintenanceService(pub Arc<Context>);

#[tonic::async_trait]
impl Maintenance for MaintenanceService {
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        let request = request.into_inner();
        if request.action() == AlarmAction::Get {
            self.0.read_barrier().await?;
            // As etcd: those of every member, whichever is asked for.
            let wanted = |(_, kind): &&(u64, i32)| request.alarm == 0 || *kind == request.alarm;
            let group = self.0.view.shared().group.read();
            let alarms = group
                .alarms
                .iter()
                .filter(wanted)
                .map(|(member_id, alarm)| AlarmMember { member_id: *member_id, alarm: *alarm });
            return Ok(Response::new(AlarmResponse { header: self.0.header_now(), alarms: alarms.collect() }));
        }
        let Reply::Alarm(mut response) = self.0.propose(Change::Alarm(request)).await? else {
            return Err(status::mismatch());
        };
        self.0.sign(&mut response.header);
        Ok(Response::new(response))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let raft = self.0.node.status();
        let context = self.0.clone();
        let sizes = tokio::task::spawn_blocking(move || context.view.disk().sizes());
        let (db_size, db_size_in_use) = sizes.await.map_err(|_| status::stopped())?;
        let mut errors = Vec::new();
        if raft.leadership.leader.is_none() {
            errors.push("etcdserver: no leader".to_owned());
        }
        let alarms = self.0.view.shared().group.read().alarms.clone();
        errors.extend(alarms.iter().map(|(member, kind)| {
            let alarm = proto::etcdserverpb::AlarmType::try_from(*kind).unwrap_or_default();
            format!("memberID:{member} alarm:{} ", alarm.as_str_name())
        }));
        Ok(Response::new(StatusResponse {
            header: self.0.header_now(),
            version: ETCD_VERSION.into(),
            db_size,
            leader: raft.leadership.leader.unwrap_or(0),
            raft_index: raft.last_index,
            raft_term: raft.leadership.term,
            raft_applied_index: raft.applied_index,
            errors,
            db_size_in_use,
            is_learner: raft.learner,
            storage_version: CLUSTER_VERSION.into(),
            db_size_quota: self.0.quota.bytes(),
            downgrade_info: Some(DowngradeInfo::default()),
        }))
    }

    async fn defragment(&self, _: Request<DefragmentRequest>) -> Result<Response<DefragmentResponse>, Status> {
        let context = self.0.clone();
        let done = tokio::task::spawn_blocking(move || context.view.disk().defragment());
        done.await.map_err(|_| status::stopped())?;
        Ok(Response::new(DefragmentResponse { header: None }))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let hash = self.0.read(|view| view.hash(0)).await?;
        Ok(Response::new(HashResponse { header: self.0.header_now(), hash: hash.hash ^ NO_RECORDS }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        let revision = request.into_inner().revision;
        let hash = self.0.read(move |view| view.hash(revision)).await?;
        Ok(Response::new(HashKvResponse {
            header: self.0.header_now(),
            hash: hash.hash ^ NO_RECORDS,
            compact_revision: hash.compacted,
            // As etcd: a revision below 0 is the newest one, but is told as it was asked for.
            hash_revision: if revision < 0 { revision } else { hash.revision },
        }))
    }

    type SnapshotStream = Blobs;

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Blobs>, Status> {
        Ok(Response::new(backup::stream(&self.0)))
    }

    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> Result<Response<MoveLeaderResponse>, Status> {
        let target = request.into_inner().target_id;
        let own = self.0.node.id();
        if self.0.node.status().leadership.leader != Some(own) {
            return Err(Status::failed_precondition("etcdserver: not leader"));
        }
        if !self.0.node.members().iter().any(|member| member.id == target && !member.learner) {
            return Err(Status::failed_precondition("etcdserver: bad leader transferee"));
        }
        if target != own {
            self.0.node.transfer_leader(target).await.map_err(status::propose)?;
        }
        Ok(Response::new(MoveLeaderResponse { header: None }))
    }

    async fn downgrade(&self, request: Request<DowngradeRequest>) -> Result<Response<DowngradeResponse>, Status> {
        let request = request.into_inner();
        let done = || Response::new(DowngradeResponse { header: self.0.header_now(), version: "3.6".into() });
        // As etcd: canceling what was not begun is no failure.
        match DowngradeAction::try_from(request.action) {
            Ok(DowngradeAction::Cancel) => return Ok(done()),
            Ok(DowngradeAction::Validate | DowngradeAction::Enable) => {}
            Err(_) => return Err(Status::unknown("etcdserver: unknown method")),
        }
        let target = minor(&request.version)
            .ok_or_else(|| Status::invalid_argument("etcdserver: wrong downgrade target version format"))?;
        if minor(CLUSTER_VERSION) != Some((target.0, target.1 + 1)) {
            return Err(Status::invalid_argument("etcdserver: invalid downgrade target version"));
        }
        if request.action() == DowngradeAction::Enable {
            return Err(Status::unimplemented("raftsman: there is no older version to go to"));
        }
        self.0.read_barrier().await?;
        Ok(done())
    }
}

/// Major and minor of a version `MAJOR.MINOR` or `MAJOR.MINOR.PATCH`, the patch with what semantic versioning allows
/// behind it.
fn minor(version: &str) -> Option<(i64, i64)> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let (major, rest) = version.split_once('.')?;
    let (minor, patch) = rest.split_once('.').unwrap_or((rest, "0"));
    let patch = patch.split(['-', '+']).next().unwrap_or_default();
    number(patch)?;
    Some((number(major)?, number(minor)?))
}
