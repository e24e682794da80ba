//! The store lease that events hang on: they go an hour after they were written.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::ask::{Ask, GroupAsk};
use super::{Registry, StatusError};
use crate::storage;

/// How long an event stays, in seconds.
const EVENT_TTL: i64 = 3600;
/// One lease is shared by the events of this long; they all stay at least [`EVENT_TTL`].
const SHARED_FOR: Duration = Duration::from_secs(180);

/// The lease that new events get, and since when.
#[derive(Default)]
pub(crate) struct EventLease(Mutex<Option<(i64, Instant)>>);

impl EventLease {
    /// Asks for a new one next time: the store does not know it any more.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

impl Registry {
    /// The store lease for the events among these groups; 0 when there are none.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn lease_for(&self, groups: &[GroupAsk<'_>]) -> Result<i64, StatusError> {
        let writes = |ask: &Ask<'_>| !matches!(ask, Ask::Delete { .. }) && ask.target().resource.expires;
        if !groups.iter().any(|group| group.writes.iter().any(writes)) {
            return Ok(0);
        }
        // Held over the grant: others wait for the same lease instead of asking for one each.
        let mut current = self.event_lease.0.lock().await;
        if let Some((lease, since)) = *current
            && since.elapsed() < SHARED_FOR
        {
            return Ok(lease);
        }
        let ttl = EVENT_TTL + i64::try_from(SHARED_FOR.as_secs()).unwrap_or(0);
        let lease = self.committer.storage().grant(ttl).await.map_err(|failure| storage::unavailable(&failure))?;
        *current = Some((lease, Instant::now()));
        Ok(lease)
    }
}
