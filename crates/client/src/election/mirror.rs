//! The claim as people see it: `kubectl -n kube-system get lease controllers`.
//!
//! Written once by each new holder, best effort. Nothing depends on it, so it isn't renewed.

use api::time::to_micro_time;
use chrono::Utc;
use proto::coordination_v1::{Lease, LeaseSpec};
use proto::meta_v1::ObjectMeta;

use super::Candidacy;
use crate::client::Client;
use crate::error::Error;

const NAMESPACE: &str = "kube-system";

pub(super) async fn write(client: Client, candidacy: Candidacy) {
    if let Err(error) = put(&client, &candidacy).await {
        tracing::debug!(claim = candidacy.claim, %error, "showing the claim as a Lease");
    }
}

async fn put(client: &Client, candidacy: &Candidacy) -> Result<(), Error> {
    match client.get::<Lease>(NAMESPACE, &candidacy.claim).await {
        Ok(mut lease) => {
            let before = lease.spec.unwrap_or_default();
            let transitions = before.lease_transitions.unwrap_or_default().saturating_add(1);
            lease.spec = Some(spec(candidacy, transitions));
            client.update(lease).await?;
        }
        Err(error) if error.is_not_found() => {
            let metadata =
                ObjectMeta { namespace: NAMESPACE.into(), name: candidacy.claim.clone(), ..Default::default() };
            client.create(Lease { metadata: Some(metadata), spec: Some(spec(candidacy, 0)) }).await?;
        }
        Err(error) => return Err(error),
    }
    Ok(())
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
