//! The claim as people see it: `kubectl -n kube-system get lease controllers`.
//!
//! Written once by each new holder, under its fence, so that a late one does not write over its successor. Nothing depends on
//! it, so it isn't renewed.

use std::time::Duration;

use api::time::to_micro_time;
use chrono::Utc;
use proto::coordination_v1::{Lease, LeaseSpec};
use proto::meta_v1::ObjectMeta;
use proto::raftsman_v1::Fence;

use super::Candidacy;
use crate::client::Client;
use crate::commit::{Group, GroupResult, Write};
use crate::error::Error;

const NAMESPACE: &str = "kube-system";
/// A change of leader is a restless time: so often, and with such pauses, is it tried.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn write(client: Client, candidacy: Candidacy, fence: Fence) {
    for _ in 0..ATTEMPTS {
        match put(&client, &candidacy, &fence).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::debug!(claim = candidacy.claim, %error, "showing the claim as a Lease"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether it is written; not, when another wrote at the same time or the claim is another's by now.
async fn put(client: &Client, candidacy: &Candidacy, fence: &Fence) -> Result<bool, Error> {
    let write = match client.get::<Lease>(NAMESPACE, &candidacy.claim).await {
        Ok(mut lease) => {
            let before = lease.spec.unwrap_or_default();
            let transitions = before.lease_transitions.unwrap_or_default().saturating_add(1);
            lease.spec = Some(spec(candidacy, transitions));
            Write::update(lease)
        }
        Err(error) if error.is_not_found() => {
            let metadata =
                ObjectMeta { namespace: NAMESPACE.into(), name: candidacy.claim.clone(), ..Default::default() };
            Write::create(Lease { metadata: Some(metadata), spec: Some(spec(candidacy, 0)) })
        }
        Err(error) => return Err(error),
    };
    let group = Group { writes: vec![write], fence: Some(fence.clone()), ..Group::default() };
    let results = client.commit(vec![group]).await?;
    Ok(results.iter().all(|result| matches!(result, GroupResult::Committed { .. })))
}

fn spec(candidacy: &Candidacy, transitions: i32) -> LeaseSpec {
    let now = Some(to_micro_time(Utc::now()));
    LeaseSpec {
        holder_identity: Some(candidacy.holder.clone()),
        lease_duration_seconds: Some(candidacy.lease_seconds),
        acquire_time: now,
        renew_time: now,
        lease_transitions: Some(transitions),
        ..Default::default()
    }
}
