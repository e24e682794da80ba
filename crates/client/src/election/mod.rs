//! Fenced election (design D4): winning a claim, holding it, and telling who leads.
//!
//! The claim is a key of the store under a store lease; the revision that took it is the epoch. A leader's writes carry claim
//! and epoch, and the store refuses them once somebody else has taken it: so losing the claim late does no harm, and taking it
//! away (`prefer`) is safe.
//!
//! ```text
//!             free, or held and we are preferred
//!  Following ------------------------------------> Leading (renews at a third of the lease)
//!      ^                                              |
//!      +-- another epoch seen, renewal refused, ------+
//!          or a whole lease without a renewal
//! ```

mod mirror;

use std::time::Duration;

use http::uri::PathAndQuery;
use proto::raftsman_v1::{
    ClaimRequest, ClaimResponse, ElectionWatchRequest, ElectionWatchResponse, Fence, ReleaseRequest, ReleaseResponse,
    RenewRequest, RenewResponse,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Stream};
use crate::error::Error;

const RETRY: Duration = Duration::from_millis(500);
/// After losing the claim it isn't taken away again at once: of two that are both preferred, each gets something done.
const STEAL_BACK_AFTER: Duration = Duration::from_secs(1);
/// How long giving the claim up may hold up a stop.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// What to run for.
#[derive(Clone, Debug)]
pub struct Candidacy {
    /// The claim: `controllers`, `scheduler`.
    pub claim: String,
    /// Who we are, for people.
    pub holder: String,
    /// Seconds after which the store gives up a claim that is not renewed; 2 to 60.
    pub lease_seconds: i32,
}

/// Runs for a claim until `shutdown`, then gives it up.
///
/// The receiver holds the fence while we lead. While `prefer` is true, the claim is taken away from whoever has it.
pub fn run(
    client: Client,
    candidacy: Candidacy,
    prefer: watch::Receiver<bool>,
    shutdown: CancellationToken,
) -> (watch::Receiver<Option<Fence>>, tokio::task::JoinHandle<()>) {
    let fence = watch::Sender::new(None);
    let receiver = fence.subscribe();
    let elector = Elector { client, candidacy, prefer, fence, steal_after: Instant::now() };
    (receiver, tokio::spawn(elector.run(shutdown)))
}

struct Elector {
    client: Client,
    candidacy: Candidacy,
    prefer: watch::Receiver<bool>,
    fence: watch::Sender<Option<Fence>>,
    /// Until then another's claim is respected.
    steal_after: Instant,
}

impl Elector {
    async fn run(mut self, shutdown: CancellationToken) {
        while let Some(()) = shutdown.run_until_cancelled(self.run_once()).await {
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = shutdown.cancelled() => {}
            }
        }
        let held = self.fence.send_replace(None);
        if let Some(fence) = held {
            let path = path("Release");
            let request = ReleaseRequest { claim: fence.claim, epoch: fence.epoch };
            let release = self.client.call::<_, ReleaseResponse>(path, request);
            match tokio::time::timeout(RELEASE_TIMEOUT, release).await {
                Ok(Ok(_)) => tracing::info!(claim = %self.candidacy.claim, "gave the claim up"),
                Ok(Err(error)) => tracing::warn!(claim = %self.candidacy.claim, %error, "giving the claim up"),
                Err(_) => tracing::warn!(claim = %self.candidacy.claim, "giving the claim up took too long"),
            }
        }
    }

    /// One watch of the claim, for as long as it goes well.
    async fn run_once(&mut self) {
        let request = ElectionWatchRequest { claim: self.candidacy.claim.clone() };
        let stream = match self.client.stream::<_, ElectionWatchResponse>(path("Watch"), request).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(claim = %self.candidacy.claim, %error, "watching the claim");
                return self.hold_without_watch().await;
            }
        };
        if let Err(error) = self.compete(stream).await {
            tracing::warn!(claim = %self.candidacy.claim, %error, "running for the claim");
        }
    }

    /// Follows the claim's holder, takes the claim when we may, and renews it while it is ours.
    async fn compete(&mut self, mut stream: Stream<ElectionWatchResponse>) -> Result<(), Error> {
        let mut holder = ElectionWatchResponse::default();
        let mut known = false;
        let mut renew_at = Instant::now();
        let mut lead_until = Instant::now() + self.lease();
        // A `prefer` whose sender is gone never changes again.
        let mut prefer_open = true;
        loop {
            let ours = self.fence.borrow().clone();
            match ours {
                Some(fence) if known && fence.epoch != holder.epoch => self.lost("another holder took it"),
                None if known && (holder.holder.is_empty() || self.may_steal()) => {
                    if let Some(epoch) = self.claim(holder.epoch).await? {
                        holder = ElectionWatchResponse { holder: self.candidacy.holder.clone(), epoch };
                        lead_until = Instant::now() + self.lease();
                        renew_at = Instant::now() + self.lease() / 3;
                    } else {
                        // Somebody was faster: the watch is about to say who.
                        known = false;
                    }
                }
                _ => {}
            }
            let leading = self.fence.borrow().is_some();
            tokio::select! {
                next = stream.next() => match next? {
                    // The watch may still be telling of those before us; whether nobody is after us, the renewal says.
                    Some(next) if leading && next.holder.is_empty() => renew_at = Instant::now(),
                    Some(next) if leading && next.epoch < holder.epoch => {}
                    Some(next) => {
                        holder = next;
                        known = true;
                    }
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(self.steal_after), if !leading && self.steal_after > Instant::now() => {}
                changed = self.prefer.changed(), if prefer_open => prefer_open = changed.is_ok(),
                () = tokio::time::sleep_until(renew_at), if leading => {
                    let asked_at = Instant::now();
                    match self.renew().await {
                        Ok(()) => {
                            lead_until = asked_at + self.lease();
                            renew_at = asked_at + self.lease() / 3;
                        }
                        Err(error) if !error.is_unreachable() => self.lost(&error.to_string()),
                        Err(_) if Instant::now() >= lead_until => self.lost("no renewal within the lease"),
                        Err(_) => renew_at = Instant::now() + RETRY,
                    }
                }
            }
        }
    }

    /// The watch can't be had: whoever leads goes on for as long as renewals succeed.
    async fn hold_without_watch(&mut self) {
        if self.fence.borrow().is_some()
            && let Err(error) = self.renew().await
        {
            self.lost(&error.to_string());
        }
    }

    /// Takes the claim if it is free or held under `seen_epoch`; the new epoch when it is ours.
    async fn claim(&mut self, seen_epoch: i64) -> Result<Option<i64>, Error> {
        let request = ClaimRequest {
            claim: self.candidacy.claim.clone(),
            holder: self.candidacy.holder.clone(),
            lease_seconds: self.candidacy.lease_seconds,
            steal_epoch: seen_epoch,
        };
        let answer: ClaimResponse = self.client.call(path("Claim"), request).await?;
        if !answer.won {
            return Ok(None);
        }
        tracing::info!(claim = %self.candidacy.claim, epoch = answer.epoch, "leading");
        let fence = Fence { claim: self.candidacy.claim.clone(), epoch: answer.epoch };
        tokio::spawn(mirror::write(self.client.clone(), self.candidacy.clone(), fence.clone()));
        self.fence.send_replace(Some(fence));
        Ok(Some(answer.epoch))
    }

    async fn renew(&self) -> Result<(), Error> {
        let epoch = self.fence.borrow().as_ref().map_or(0, |fence| fence.epoch);
        let request = RenewRequest { claim: self.candidacy.claim.clone(), epoch };
        // Not longer than it matters: a hung call must not outlive the lease.
        let renewal = self.client.call::<_, RenewResponse>(path("Renew"), request);
        match tokio::time::timeout(self.lease() / 3, renewal).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(Error::timeout(&self.client.server().url)),
        }
    }

    fn may_steal(&self) -> bool {
        *self.prefer.borrow() && Instant::now() >= self.steal_after
    }

    fn lost(&mut self, why: &str) {
        self.steal_after = Instant::now() + STEAL_BACK_AFTER;
        tracing::warn!(claim = %self.candidacy.claim, why, "no longer leading");
        self.fence.send_replace(None);
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.candidacy.lease_seconds).unwrap_or(2).max(2))
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/raftsman.v1.ElectionService/{method}").parse().expect("methods are identifiers")
}
