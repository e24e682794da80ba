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
//!      +-- a later epoch seen, renewal refused, ------+
//!          or a whole lease without a renewal
//! ```
//!
//! A server that does not answer, or that is behind, takes nothing away: only a later epoch, a refusal or the end of the lease
//! does. A claim that stands under our name while we follow is one whose answer was lost, or that we had given up for lost:
//! nobody renews it, so it is taken over under a new epoch, which is safe also where two run under one name.

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
use crate::servers::Server;

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
    /// Who we are, for people; no other candidate has this name.
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
    let now = Instant::now();
    let elector = Elector { client, candidacy, prefer, fence, steal_after: now, lead_until: now };
    (receiver, tokio::spawn(elector.run(shutdown)))
}

struct Elector {
    client: Client,
    candidacy: Candidacy,
    prefer: watch::Receiver<bool>,
    fence: watch::Sender<Option<Fence>>,
    /// Until then another's claim is respected.
    steal_after: Instant,
    /// Until then the claim is certainly held, if it was not taken away: a lease after the last renewal was sent.
    lead_until: Instant,
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
        let server = self.client.server().clone();
        // While it opens nothing is renewed.
        let opening = self.client.stream::<_, ElectionWatchResponse>(path("Watch"), request);
        let opened = match tokio::time::timeout(self.lease() / 3, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(self.unanswered(&server)),
        };
        let stream = match opened {
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
        // What is older than our own claim is no news, however late the server tells it.
        let mut holder = self.fence.borrow().as_ref().map(|fence| self.ours(fence.epoch)).unwrap_or_default();
        let mut known = false;
        // The watch's last word.
        let mut told = ElectionWatchResponse::default();
        let mut renew_at = Instant::now();
        // A `prefer` whose sender is gone never changes again.
        let mut prefer_open = true;
        loop {
            let ours = self.fence.borrow().clone();
            match ours {
                Some(fence) if known && fence.epoch != holder.epoch => self.lost("another holder took it"),
                None if known && self.may_take(&holder) => {
                    if let Some(epoch) = self.claim(holder.epoch).await? {
                        holder = self.ours(epoch);
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
                next = stream.next() => match next?.inspect(|next| told = next.clone()) {
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
                    renew_at = self.renew().await;
                    if self.fence.borrow().is_none() {
                        // It may have told already that the claim is free, and tells nothing twice.
                        (holder, known) = (told.clone(), true);
                    }
                }
            }
        }
    }

    /// The watch can't be had: whoever leads goes on for as long as the lease lasts.
    async fn hold_without_watch(&mut self) {
        if self.fence.borrow().is_some() {
            self.renew().await;
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
        let (asked_at, server) = (Instant::now(), self.client.server().clone());
        let asking = self.client.call::<_, ClaimResponse>(path("Claim"), request);
        // A claim that is told after its lease has ended is worth nothing.
        let answer = match tokio::time::timeout(self.lease(), asking).await {
            Ok(answer) => answer?,
            Err(_) => return Err(self.unanswered(&server)),
        };
        if !answer.won {
            return Ok(None);
        }
        tracing::info!(claim = %self.candidacy.claim, epoch = answer.epoch, "leading");
        self.lead_until = asked_at + self.lease();
        let fence = Fence { claim: self.candidacy.claim.clone(), epoch: answer.epoch };
        tokio::spawn(mirror::write(self.client.clone(), self.candidacy.clone(), fence.clone()));
        self.fence.send_replace(Some(fence));
        Ok(Some(answer.epoch))
    }

    /// Renews the claim, or gives it up for lost; answers when to do so again.
    async fn renew(&mut self) -> Instant {
        let asked_at = Instant::now();
        match self.ask_renewal().await {
            Ok(()) => {
                self.lead_until = asked_at + self.lease();
                return asked_at + self.lease() / 3;
            }
            // No answer, or one of a server that has none of its store.
            Err(error) if error.is_unreachable() || error.is_servers_fault() => {
                tracing::warn!(claim = %self.candidacy.claim, %error, "renewing the claim");
                if Instant::now() >= self.lead_until {
                    self.lost("no renewal within the lease");
                }
            }
            Err(error) => self.lost(&error.to_string()),
        }
        Instant::now() + RETRY
    }

    /// Asks one server, so that it is known whom to leave when no answer comes.
    async fn ask_renewal(&self) -> Result<(), Error> {
        let epoch = self.fence.borrow().as_ref().map_or(0, |fence| fence.epoch);
        let request = RenewRequest { claim: self.candidacy.claim.clone(), epoch };
        let server = self.client.server().clone();
        let renewal = self.client.call_on::<_, RenewResponse>(&server, path("Renew"), request);
        // Not longer than it matters: a hung call must not outlive the lease.
        match tokio::time::timeout(self.lease() / 3, renewal).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(self.unanswered(&server)),
        }
    }

    /// The error of a call that took too long; others are tried from now on.
    fn unanswered(&self, server: &Server) -> Error {
        self.client.move_on(server);
        Error::timeout(&server.url)
    }

    /// The claim as the watch tells it while we hold it.
    fn ours(&self, epoch: i64) -> ElectionWatchResponse {
        ElectionWatchResponse { holder: self.candidacy.holder.clone(), epoch }
    }

    /// It is free, or we are preferred, or it stands under our name though we don't hold it.
    fn may_take(&self, holder: &ElectionWatchResponse) -> bool {
        let steals = || *self.prefer.borrow() || holder.holder == self.candidacy.holder;
        holder.holder.is_empty() || (Instant::now() >= self.steal_after && steals())
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
