//! Taking a command: what each kind does to the state.

use prost::Message;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::raftsman_store_v1 as pb;
use proto::raftsman_store_v1::command::Change;

use super::txn::Transaction;
use super::{Disk, DiskError, Event, Failure, Machine, Outcome, Refused, Reply};
use crate::keys;

/// The result of one command before failures of the disk are told from those of the request.
type Answer = Result<(Reply, Vec<Event>), Refused>;

impl<D: Disk> Machine<D> {
    pub(super) fn run(&mut self, command: &pb::Command) -> Result<Outcome, DiskError> {
        let answer = match &command.change {
            Some(change) => self.change(change),
            None => Ok((Reply::Done, Vec::new())),
        };
        let (reply, events) = match answer {
            Ok((reply, events)) => (Ok(reply), events),
            Err(Refused::Failure(failure)) => (Err(failure), Vec::new()),
            Err(Refused::Disk(error)) => return Err(error),
        };
        Ok(Outcome { reply, events, revision: self.progress.revision })
    }

    fn change(&mut self, change: &Change) -> Answer {
        match change {
            Change::Put(request) => {
                self.refuse_growth(true)?;
                self.transaction(|txn| Ok(Reply::Put(txn.put(request)?)))
            }
            Change::DeleteRange(request) => {
                self.refuse_growth(false)?;
                self.transaction(|txn| Ok(Reply::DeleteRange(txn.delete_range(request)?)))
            }
            Change::Txn(request) => {
                self.refuse_growth(grows(request))?;
                self.transaction(|txn| Ok(Reply::Txn(txn.txn(request)?)))
            }
            Change::Compact(request) => self.compact(request),
            Change::LeaseGrant(request) => self.lease_grant(request),
            Change::LeaseRevoke(request) => self.lease_revoke(request),
            Change::LeaseCheckpoint(request) => Ok(self.lease_checkpoint(request)),
            Change::Alarm(request) => Ok(self.alarm(request)),
            Change::Found(found) => Ok(self.found(found)),
            Change::Publish(publish) => Ok((self.publish_member(publish)?, Vec::new())),
            Change::HashReport(report) => Ok(self.report(report)),
        }
    }

    fn refuse_growth(&self, grows: bool) -> Result<(), Failure> {
        self.shared.group.read().forbidden(grows).map_or(Ok(()), Err)
    }

    /// Runs `body` as one transaction: one revision if it changes anything, none otherwise.
    fn transaction(&mut self, body: impl FnOnce(&mut Transaction<'_, D>) -> Result<Reply, Refused>) -> Answer {
        let shared = self.shared.clone();
        let mut txn = Transaction {
            index: &mut shared.index.write(),
            leases: &mut shared.leases.write(),
            disk: &*self.disk,
            batch: &mut self.batch,
            pending: &mut self.pending,
            base: self.progress.revision,
            compacted: super::first(&self.progress),
            events: Vec::new(),
        };
        let reply = body(&mut txn)?;
        self.progress.revision = txn.current();
        Ok((reply, txn.events))
    }

    fn compact(&mut self, request: &etcd::CompactionRequest) -> Answer {
        self.refuse_growth(false)?;
        if request.revision > self.progress.revision {
            return Err(Failure::FutureRevision.into());
        }
        if request.revision <= super::first(&self.progress) {
            return Err(Failure::Compacted.into());
        }
        self.progress.compacted = request.revision;
        // Nothing is forgotten by it, so a member of an earlier version, which refuses it, holds the same.
        self.progress.compacted_at_zero = request.revision == 0;
        Ok((Reply::Compact(etcd::CompactionResponse { header: self.header() }), Vec::new()))
    }

    fn lease_grant(&mut self, request: &etcd::LeaseGrantRequest) -> Answer {
        self.refuse_growth(true)?;
        let mut leases = self.shared.leases.write();
        if leases.exists(request.id) {
            return Err(Failure::LeaseExists.into());
        }
        let granted_index = self.progress.applied.map_or(0, |id| id.index);
        let terms = pb::Lease { granted_ttl_seconds: request.ttl, remaining_ttl_seconds: 0, granted_index };
        self.batch.put(&keys::state::lease(request.id), terms.encode_to_vec().into());
        leases.set(request.id, terms);
        let response =
            etcd::LeaseGrantResponse { header: self.header(), id: request.id, ttl: request.ttl, error: String::new() };
        Ok((Reply::LeaseGrant(response), Vec::new()))
    }

    fn lease_revoke(&mut self, request: &pb::LeaseRevoke) -> Answer {
        self.refuse_growth(false)?;
        if !request.expired && request.ids.iter().any(|id| !self.shared.leases.read().exists(*id)) {
            return Err(Failure::LeaseNotFound.into());
        }
        let (_, events) = self.transaction(|txn| {
            for (position, id) in request.ids.iter().enumerate() {
                // An entry of an earlier version names no grant, and ends whatever lease has the id, as it did then.
                let named = request.granted.get(position);
                let is_another = |named: &u64| txn.leases.terms(*id).is_none_or(|terms| terms.granted_index != *named);
                if named.is_some_and(is_another) {
                    continue;
                }
                let Some(keys) = txn.leases.remove(*id) else { continue };
                txn.batch.delete(&keys::state::lease(*id));
                for key in keys {
                    if let Some(version) = txn.index.get(&key, txn.current()) {
                        txn.delete(&key, version);
                    }
                }
            }
            Ok(Reply::Done)
        })?;
        Ok((Reply::LeaseRevoke(etcd::LeaseRevokeResponse { header: self.header() }), events))
    }

    fn lease_checkpoint(&mut self, request: &etcd::LeaseCheckpointRequest) -> (Reply, Vec<Event>) {
        let mut leases = self.shared.leases.write();
        for checkpoint in &request.checkpoints {
            let Some(terms) = leases.terms(checkpoint.id) else { continue };
            let terms = pb::Lease { remaining_ttl_seconds: checkpoint.remaining_ttl, ..*terms };
            self.batch.put(&keys::state::lease(checkpoint.id), terms.encode_to_vec().into());
            leases.set(checkpoint.id, terms);
        }
        (Reply::Done, Vec::new())
    }

    fn alarm(&mut self, request: &etcd::AlarmRequest) -> (Reply, Vec<Event>) {
        let mut group = self.shared.group.write();
        let mut touched = Vec::new();
        match request.action() {
            // Answered without a place in the log.
            AlarmAction::Get => {}
            AlarmAction::Activate if request.alarm() != etcd::AlarmType::None => {
                let alarm = (request.member_id, request.alarm);
                group.alarms.insert(alarm);
                self.batch.put(&keys::state::alarm(alarm.0, alarm.1), Default::default());
                touched.push(alarm);
            }
            AlarmAction::Activate => {}
            AlarmAction::Deactivate => {
                let alarm = (request.member_id, request.alarm);
                if group.alarms.remove(&alarm) {
                    self.batch.delete(&keys::state::alarm(alarm.0, alarm.1));
                    touched.push(alarm);
                }
            }
        }
        let alarms = touched.into_iter().map(|(member_id, alarm)| etcd::AlarmMember { member_id, alarm }).collect();
        (Reply::Alarm(etcd::AlarmResponse { header: self.header(), alarms }), Vec::new())
    }

    fn found(&mut self, found: &pb::Found) -> (Reply, Vec<Event>) {
        // A group is founded once; a second proposal of the same start is without effect.
        if self.progress.cluster_id == 0 {
            self.progress.cluster_id = found.cluster_id;
            self.progress.cluster_version = found.cluster_version;
            let mut group = self.shared.group.write();
            group.cluster_id = found.cluster_id;
            group.cluster_version = found.cluster_version;
        }
        (Reply::Done, Vec::new())
    }

    fn report(&mut self, report: &pb::HashReport) -> (Reply, Vec<Event>) {
        self.batch.put(&keys::state::report(report.member_id), report.encode_to_vec().into());
        self.shared.group.write().reports.insert(report.member_id, *report);
        (Reply::Done, Vec::new())
    }

    fn header(&self) -> Option<etcd::ResponseHeader> {
        Some(etcd::ResponseHeader { revision: self.progress.revision, ..Default::default() })
    }
}

/// Whether a transaction can add anything, on whatever path.
fn grows(request: &etcd::TxnRequest) -> bool {
    use etcd::request_op::Request;
    request.success.iter().chain(&request.failure).any(|op| match &op.request {
        Some(Request::RequestPut(_)) => true,
        Some(Request::RequestTxn(nested)) => grows(nested),
        Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => false,
    })
}
