//! Claims: leadership as keys of the store (design D4).
//!
//! ```text
//!  claim    If mod_revision(claim) == 0                Then Put under a new store lease     epoch = the Put's revision
//!  steal    If mod_revision(claim) == the epoch seen   Then Put under a new store lease
//!  renew    keep the lease alive; the key, and so the epoch, stays
//!  release  If mod_revision(claim) == epoch            Then Delete
//! ```
//!
//! The claim's value is its holder. The lease is attached to the key itself, so any API server can renew it.

use std::collections::HashMap;
use std::sync::Arc;

use api::status::{self, StatusError};
use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
use proto::etcdserverpb as etcd;
use proto::raftsman_v1::{
    ClaimRequest, ClaimResponse, ElectionWatchResponse, ReleaseRequest, ReleaseResponse, RenewRequest, RenewResponse,
};
use tonic::Status;

use crate::cache::Caches;
use crate::commit::{Change, Committer, Condition, Outcome, PreparedGroup};
use crate::keys;
use crate::storage::{Storage, unavailable};

/// Bounds of a claim's life without renewal, in seconds.
const LIFE: std::ops::RangeInclusive<i32> = 2..=60;

/// All claims.
pub(crate) struct Elections {
    caches: Arc<Caches>,
    storage: Arc<Storage>,
    committer: Committer,
    /// The store lease of each claim and epoch that was won or renewed here.
    leases: Mutex<HashMap<(String, i64), i64>>,
}

impl Elections {
    pub(crate) fn new(caches: Arc<Caches>, committer: Committer) -> Self {
        let storage = committer.storage().clone();
        Elections { caches, storage, committer, leases: Mutex::default() }
    }

    /// Takes the claim if it is free, or held in just the epoch that is to be ended.
    ///
    /// # Errors
    /// 400 for a bad name or life; the store's.
    pub(crate) async fn claim(&self, asked: &ClaimRequest) -> Result<ClaimResponse, StatusError> {
        if asked.claim.is_empty() || asked.claim.contains('/') || asked.holder.is_empty() {
            return Err(status::bad_request("a claim needs a name without '/' and a holder"));
        }
        if !LIFE.contains(&asked.lease_seconds) {
            return Err(status::bad_request(format!("lease_seconds: {} is not within 2 to 60", asked.lease_seconds)));
        }
        let key = keys::claim(&asked.claim);
        let held = self.look(&key).await?;
        if held.as_ref().is_some_and(|kv| kv.mod_revision != asked.steal_epoch) {
            return Ok(lost(held));
        }
        let lease = self.storage.grant(asked.lease_seconds.into()).await.map_err(|failure| unavailable(&failure))?;
        let group = PreparedGroup {
            conditions: vec![Condition { key: key.clone(), revision: held.map_or(0, |kv| kv.mod_revision) }],
            changes: vec![Change::Put { key: key.clone(), value: Bytes::from(asked.holder.clone()), lease }],
        };
        let outcome = self.committer.commit(&[group]).await.map_err(|failure| unavailable(&failure))?.pop();
        match outcome {
            Some(Outcome::Done { revision }) => {
                let mut leases = self.leases.lock();
                leases.retain(|(claim, _), _| *claim != asked.claim);
                leases.insert((asked.claim.clone(), revision), lease);
                Ok(ClaimResponse { won: true, holder: asked.holder.clone(), epoch: revision })
            }
            _ => {
                // An unused lease ends by itself; taking it back is only tidier.
                self.storage.revoke(lease).await.ok();
                Ok(lost(self.look(&key).await?))
            }
        }
    }

    /// Extends the claim's lease.
    ///
    /// # Errors
    /// `FailedPrecondition` when the claim is not held in this epoch any more; the store's.
    pub(crate) async fn renew(&self, asked: &RenewRequest) -> Result<RenewResponse, Status> {
        let over = || {
            Status::failed_precondition(format!(
                "the claim {} is not held in epoch {} any more",
                asked.claim, asked.epoch
            ))
        };
        let id = (asked.claim.clone(), asked.epoch);
        let known = self.leases.lock().get(&id).copied();
        let lease = match known {
            Some(lease) => lease,
            None => {
                let held = self.look(&keys::claim(&asked.claim)).await.map_err(crate::grpc::grpc)?;
                let held = held.filter(|kv| kv.mod_revision == asked.epoch).ok_or_else(over)?;
                self.leases.lock().insert(id.clone(), held.lease);
                held.lease
            }
        };
        // A stolen claim lies under another lease, so the old one still lives: only the key tells.
        let side = self.caches.side.get(&keys::claim(&asked.claim));
        let stolen = side.is_some_and(|side| side.revision > asked.epoch);
        let seconds = if stolen { 0 } else { self.storage.keep_alive(lease).await? };
        if seconds <= 0 {
            self.leases.lock().remove(&id);
            return Err(over());
        }
        Ok(RenewResponse { lease_seconds: i32::try_from(seconds).unwrap_or(i32::MAX) })
    }

    /// Gives the claim up, if it is held in this epoch.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn release(&self, asked: &ReleaseRequest) -> Result<ReleaseResponse, StatusError> {
        let key = keys::claim(&asked.claim);
        let group = PreparedGroup {
            conditions: vec![Condition { key: key.clone(), revision: asked.epoch }],
            changes: vec![Change::Delete { key }],
        };
        self.committer.commit(&[group]).await.map_err(|failure| unavailable(&failure))?;
        let lease = self.leases.lock().remove(&(asked.claim.clone(), asked.epoch));
        if let Some(lease) = lease {
            self.storage.revoke(lease).await.map_err(|failure| unavailable(&failure))?;
        }
        Ok(ReleaseResponse {})
    }

    /// The present holder first, then each change.
    pub(crate) fn watch(&self, claim: &str) -> impl Stream<Item = ElectionWatchResponse> + Send + 'static {
        let (caches, key) = (self.caches.clone(), keys::claim(claim));
        let changed = caches.side.subscribe();
        futures::stream::unfold((caches, key, changed, None), |(caches, key, mut changed, last)| async move {
            loop {
                changed.borrow_and_update();
                let now =
                    caches.side.get(&key).map_or_else(ElectionWatchResponse::default, |side| ElectionWatchResponse {
                        holder: String::from_utf8_lossy(&side.value).into_owned(),
                        epoch: side.revision,
                    });
                if caches.ready() && last.as_ref() != Some(&now) {
                    return Some((now.clone(), (caches, key, changed, Some(now))));
                }
                caches.draining.run_until_cancelled(changed.changed()).await?.ok()?;
            }
        })
    }

    async fn look(&self, key: &str) -> Result<Option<proto::mvccpb::KeyValue>, StatusError> {
        let request = etcd::RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..Default::default() };
        let answer = self.storage.range(request).await.map_err(|failure| unavailable(&failure))?;
        Ok(answer.kvs.into_iter().next())
    }
}

fn lost(held: Option<proto::mvccpb::KeyValue>) -> ClaimResponse {
    let held = held.unwrap_or_default();
    ClaimResponse { won: false, holder: String::from_utf8_lossy(&held.value).into_owned(), epoch: held.mod_revision }
}
