//! Members compare their content: after each compaction every member hashes what can be read at the compacted
//! revision and reports it through the log. The leader compares the reports of one revision; who differs from the
//! majority gets a CORRUPT alarm, which every member sees at the same place of the log. From then on the group
//! refuses changes, and that member gives nothing away at all.

mod judge;

use std::collections::BTreeSet;

use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, AlarmType};
use proto::raftsman_store_v1::HashReport;
use proto::raftsman_store_v1::command::Change;

use crate::machine::{Failure, Refused};
use crate::services::Context;

/// How often the reports are looked at.
const INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// Reports, compares and refuses for as long as it is polled. Returns when this member's state can't be read any more,
/// with the reason.
pub async fn watch(context: &Context) -> String {
    tokio::select! {
        reason = report(context) => reason,
        never = compare(context) => never,
        never = refuse(context) => never,
    }
}

/// Reports this member's hash after each compaction. A member that can't would never be found to differ.
async fn report(context: &Context) -> String {
    let mut pruned = context.pruned.clone();
    while pruned.changed().await.is_ok() {
        let revision = *pruned.borrow_and_update();
        // At a start it tells of the last compaction, of none by 0, which would hash what is newest at that moment.
        if revision <= 0 || context.node.members().len() < 2 {
            continue;
        }
        let view = context.view.clone();
        let hashed = tokio::task::spawn_blocking(move || view.hash(revision)).await;
        let hash = match hashed {
            // A later compaction came between: it has a report of its own.
            Ok(Ok(hash)) if hash.compacted != revision => continue,
            Ok(Err(Refused::Failure(Failure::Compacted))) => continue,
            Ok(Ok(hash)) => hash.hash,
            Ok(Err(error)) => return format!("the content up to revision {revision} can't be hashed: {error}"),
            Err(error) => return format!("the content up to revision {revision} can't be hashed: {error}"),
        };
        let report = HashReport { member_id: context.node.id(), revision, hash };
        if let Err(error) = context.node.propose(Change::HashReport(report)).await {
            tracing::debug!("the hash of revision {revision} is not reported: {error}");
        }
    }
    "what compactions left can't be removed: the state can't be read".into()
}

/// Compares the reports, where this member leads.
async fn compare(context: &Context) -> ! {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if context.node.status().leadership.leader != Some(context.node.id()) {
            continue;
        }
        let members: BTreeSet<u64> = context.node.members().into_iter().map(|member| member.id).collect();
        let (reports, alarms) = {
            let group = context.view.shared().group.read();
            (group.reports.clone(), group.alarms.clone())
        };
        for accused in judge::accused(&members, &reports) {
            if alarms.contains(&(accused, AlarmType::Corrupt as i32)) {
                continue;
            }
            let alarm = AlarmRequest {
                action: AlarmAction::Activate as i32,
                member_id: accused,
                alarm: AlarmType::Corrupt as i32,
            };
            match context.node.propose(Change::Alarm(alarm)).await {
                Ok(_) => tracing::error!(
                    "member {accused:x} has other content than the majority; remove it, delete its directory, add it \
                     again, then disarm the alarm"
                ),
                Err(error) => tracing::warn!("the alarm of damaged content can't be raised: {error}"),
            }
        }
    }
}

/// Ends this member's watches when it is the one that differs. Reads and new watches ask for themselves.
async fn refuse(context: &Context) -> ! {
    loop {
        if context.is_corrupt() {
            context.hub.clear();
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
