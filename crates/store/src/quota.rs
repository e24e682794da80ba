//! The space quota: before the database fills its disk, growth is refused by a replicated alarm, so that every
//! member refuses at the same place of the log. Deletions and compactions go on; an operator disarms the alarm.

use std::time::Duration;

use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, AlarmType};
use proto::raftsman_store_v1::command::Change;

use crate::services::Context;

/// Bytes that the state may take; etcd's default.
pub const QUOTA_BYTES: i64 = 2 << 30;
/// How often the size is looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Watches the size for as long as it is polled.
pub async fn watch(context: &Context) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let view = context.view.clone();
        let Ok((total, _)) = tokio::task::spawn_blocking(move || view.disk().sizes()).await else { return };
        let member_id = context.node.id();
        let raised = context.view.shared().group.read().alarms.contains(&(member_id, AlarmType::Nospace as i32));
        if total < QUOTA_BYTES || raised {
            continue;
        }
        let alarm = AlarmRequest { action: AlarmAction::Activate as i32, member_id, alarm: AlarmType::Nospace as i32 };
        match context.node.propose(Change::Alarm(alarm)).await {
            Ok(_) => tracing::error!("the store has {total} bytes, its quota is {QUOTA_BYTES}: it refuses to grow"),
            Err(error) => tracing::warn!("the space alarm can't be raised: {error}"),
        }
    }
}
