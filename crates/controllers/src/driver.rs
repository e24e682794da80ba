//! Runs one controller: takes keys from its queue, lets it decide, commits what it decided.
//!
//! ```text
//!  queue --keys--> plan (observe, decide) --Plans--> one Commit, a group each --+
//!    ^                                                                          |
//!    |   done(key): only when the informer of every kind that the Plan wrote    |  committed: events
//!    +-- has reached the Commit's revision, so nothing is decided twice <-------+
//!        conflict, error: looked at again, a little later each time
//! ```
//!
//! Where that is not enough, because an outcome is unknown or because a decision rests on what is not there, the informers must
//! have reached the object's own revision (see [`crate::footing`]). A key that can't be decided on, by a fault of the program,
//! is logged and holds up nobody else.
//!
//! A key is with the driver from `take_ready` to `done`; others go on meanwhile. Only the holder of the claim decides:
//! a new leader first waits until its informers know everything that was written before its epoch, and each group is
//! fenced by that epoch (design D4), so what a deposed leader still has under way is refused by the store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use api::proto::meta_v1::Status;
use chrono::{DateTime, Utc};
use client::{Client, EventDraft, Fence, Group, GroupResult, Recorder, WorkQueue};
use futures::future::join_all;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::footing::{Doubts, Footing, awaited};
use crate::informers::{Informers, Known};
use crate::metrics::{Ending, Reconciles};
use crate::plan::Plan;
use crate::standby::Standby;

/// Keys that are decided together; as many groups as a Commit takes.
const BATCH_KEYS_MAX: usize = client::commit::COMMIT_GROUPS_MAX;
/// Commits under way at once: while one waits for the disk, the next is made.
const COMMITS_MAX: usize = 6;

/// One controller: the two pure steps of design D3. What it watches puts keys into its queue.
pub trait Controller: Send + Sync + 'static {
    /// For logs: `job`, `cronjob`.
    fn name(&self) -> &'static str;

    /// Observes the key's objects as they are known now, and decides. Quick, and without effects.
    fn plan(&self, key: &str, now: DateTime<Utc>) -> Plan;

    /// What must be known for a Plan of this key to stand; `None`: no more than is, or the object is gone.
    fn footing(&self, _key: &str) -> Option<Footing> {
        None
    }

    /// This process has taken over: clocks that watch others start anew, for nobody knows what was missed.
    fn took_over(&self, _now: DateTime<Utc>) {}

    /// The API refused the Plan for another reason than a conflict: what to tell the user. `failed` is the index of the
    /// write at fault.
    fn refused(&self, _key: &str, _plan: &Plan, _status: &Status, _failed: Option<usize>) -> Vec<EventDraft> {
        Vec::new()
    }
}

/// What all controllers of a process share.
#[derive(Clone)]
pub struct Context {
    pub client: Client,
    pub fence: watch::Receiver<Option<Fence>>,
    pub informers: Arc<Informers>,
    /// How this controller signs its events.
    pub recorder: Recorder,
    pub metrics: Reconciles,
}

/// Drives the controller until `shutdown`; what is under way then is finished first.
pub async fn run(
    controller: Arc<dyn Controller>,
    queue: WorkQueue<String>,
    context: Context,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(COMMITS_MAX));
    let mut standby = Standby::default();
    let stopped = shutdown.clone();
    let (mut fences, name) = (context.fence.clone(), controller.name());
    let driven = Driven { controller, queue: queue.clone(), context, doubts: Arc::default() };
    let lead = async {
        loop {
            let fence = fences.borrow_and_update().clone();
            match fence {
                Some(fence) => {
                    standby.take_over(&queue);
                    tokio::select! {
                        () = drive(&driven, fence, &slots) => return,
                        changed = wait_for_change(fences.clone()) => if !changed { return },
                    }
                }
                None => {
                    tokio::select! {
                        () = standby.watch(driven.controller.as_ref(), &queue) => return,
                        changed = wait_for_change(fences.clone()) => if !changed { return },
                    }
                }
            }
        }
    };
    stopped.run_until_cancelled(lead).await;
    queue.close();
    // All slots free: nothing is under way any more.
    let settled = slots.acquire_many(COMMITS_MAX as u32).await;
    tracing::debug!(controller = name, settled = settled.is_ok(), "stopped");
}

/// False: there will be no further change.
async fn wait_for_change(mut fence: watch::Receiver<Option<Fence>>) -> bool {
    fence.changed().await.is_ok()
}

/// Decides for as long as the claim is held; the caller drops this when it is lost.
async fn drive(driven: &Driven, fence: Fence, slots: &Arc<Semaphore>) {
    let Driven { controller, queue, context, .. } = driven;
    context.informers.all_reached(fence.epoch).await;
    tracing::info!(controller = controller.name(), epoch = fence.epoch, "leading");
    controller.took_over(Utc::now());
    loop {
        // The slot comes first: while all Commits are under way, keys gather and share the next one.
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let Some(keys) = queue.take_ready(BATCH_KEYS_MAX).await else { return };
        let taken = Instant::now();
        let decided = driven.decide(keys);
        if decided.is_empty() {
            continue;
        }
        let work = Work { driven: driven.clone(), taken, epoch: fence.epoch };
        let fence = fence.clone();
        tokio::spawn(async move {
            let settled = work.commit(decided, fence).await;
            drop(slot);
            work.release(settled).await;
        });
    }
}

/// Decides on one key. `None`: that failed, by a fault of the program; no key must take the others with it.
pub(crate) fn decide_on(controller: &dyn Controller, key: &str, now: DateTime<Utc>) -> Option<Plan> {
    match catch_unwind(AssertUnwindSafe(|| controller.plan(key, now))) {
        Ok(plan) => Some(plan),
        Err(_) => {
            // The cause has been printed where it was raised.
            tracing::error!(controller = controller.name(), key, "deciding panicked; the key is tried again later");
            None
        }
    }
}

/// A controller and what it is driven with.
#[derive(Clone)]
struct Driven {
    controller: Arc<dyn Controller>,
    queue: WorkQueue<String>,
    context: Context,
    doubts: Arc<Doubts>,
}

impl Driven {
    /// The Plans that write something; the other keys are done, and what they have to tell is told.
    fn decide(&self, keys: Vec<String>) -> Vec<(String, Plan)> {
        let mut decided = Vec::with_capacity(keys.len());
        let mut lacking = Vec::new();
        // Before anything is looked at: what is seen of each kind is at least as new.
        let known = self.context.informers.known();
        for key in keys {
            let begun = Instant::now();
            let Some(plan) = decide_on(self.controller.as_ref(), &key, Utc::now()) else {
                self.look_again(&key, Ending::Panicked, begun);
                continue;
            };
            if let Some(footing) = self.lacking(&key, &known) {
                lacking.push((key, footing));
                continue;
            }
            let (controller, writes) = (self.controller.name(), plan.writes.len());
            tracing::trace!(controller, key, why = plan.why, writes, "decided");
            if plan.writes.is_empty() {
                self.nothing_to_write(&key, plan, begun);
            } else {
                decided.push((key, plan));
            }
        }
        self.postpone(lacking);
        decided
    }

    /// What a decision on this key lacked when no more than `known` was known. Asked after deciding, so that the root is not
    /// older than the one that was looked at.
    fn lacking(&self, key: &str, known: &Known) -> Option<Footing> {
        let footing = self.controller.footing(key);
        let doubtful = self.doubts.has(key);
        if footing.is_none() && doubtful {
            self.doubts.settle(key);
        }
        footing.filter(|footing| !footing.holds(doubtful, |kind| known.revision(kind)))
    }

    fn nothing_to_write(&self, key: &str, plan: Plan, begun: Instant) {
        self.context.metrics.ended(Ending::Nothing, begun.elapsed());
        plan.events.into_iter().for_each(|event| self.context.recorder.record(event));
        self.queue.forget(&key.to_owned());
        self.give_back(key.to_owned(), plan.requeue_after);
    }

    /// Looks at these keys when the informers have what was lacking. Nobody can take them meanwhile.
    fn postpone(&self, keys: Vec<(String, Footing)>) {
        if keys.is_empty() {
            return;
        }
        let driven = self.clone();
        tokio::spawn(async move {
            let (informers, controller) = (&driven.context.informers, driven.controller.name());
            let awaited = awaited(keys.iter().map(|(_, footing)| (footing.kinds, footing.revision)));
            tracing::debug!(controller, keys = keys.len(), ?awaited, "waits for its informers");
            join_all(awaited.into_iter().map(|(resource, revision)| informers.caught_up(resource, revision))).await;
            keys.into_iter().for_each(|(key, _)| driven.give_back(key, Some(Duration::ZERO)));
        });
    }

    fn look_again(&self, key: &str, ending: Ending, since: Instant) {
        self.context.metrics.ended(ending, since.elapsed());
        self.queue.add_backoff(key.to_owned());
        self.queue.done(&key.to_owned());
    }

    fn give_back(&self, key: String, after: Option<Duration>) {
        if let Some(after) = after {
            self.queue.add_after(key.clone(), after);
        }
        self.queue.done(&key);
    }
}

/// A key whose Plan is committed, with what must be known before it is looked at again.
struct Settled {
    key: String,
    requeue_after: Option<Duration>,
    revision: i64,
    kinds: Vec<&'static str>,
}

struct Work {
    driven: Driven,
    /// When the keys were taken from the queue.
    taken: Instant,
    /// In which it was decided.
    epoch: i64,
}

impl Work {
    async fn commit(&self, decided: Vec<(String, Plan)>, fence: Fence) -> Vec<Settled> {
        let groups = decided
            .iter()
            .map(|(_, plan)| Group {
                writes: plan.writes.clone(),
                preconditions: plan.preconditions.clone(),
                fence: Some(fence.clone()),
            })
            .collect();
        match self.driven.context.client.commit(groups).await {
            Ok(results) => {
                let settled = decided.into_iter().zip(results);
                settled.filter_map(|((key, plan), result)| self.settle(key, plan, result)).collect()
            }
            Err(error) => {
                let controller = self.driven.controller.name();
                tracing::error!(controller, %error, "a Plan breaks a limit of Commit");
                decided.iter().for_each(|(key, _)| self.driven.look_again(key, Ending::Refused, self.taken));
                Vec::new()
            }
        }
    }

    fn settle(&self, key: String, plan: Plan, result: GroupResult) -> Option<Settled> {
        let Driven { controller, queue, context, doubts } = &self.driven;
        let (name, epoch) = (controller.name(), self.epoch);
        let ending = match result {
            GroupResult::Committed { revision } => {
                tracing::debug!(controller = name, key, epoch, revision, why = plan.why, "committed");
                let kinds = plan.writes.iter().map(|write| write.kind().resource).collect();
                plan.events.into_iter().for_each(|event| context.recorder.record(event));
                queue.forget(&key);
                doubts.settle(&key);
                context.metrics.ended(Ending::Committed, self.taken.elapsed());
                return Some(Settled { key, requeue_after: plan.requeue_after, revision, kinds });
            }
            result @ GroupResult::Refused { .. } if result.is_conflict() => {
                tracing::debug!(controller = name, key, epoch, why = plan.why, ?result, "conflict");
                Ending::Conflict
            }
            GroupResult::Refused { status, failed } => {
                tracing::warn!(controller = name, key, why = plan.why, message = status.message, "refused");
                let told = controller.refused(&key, &plan, &status, failed);
                told.into_iter().for_each(|event| context.recorder.record(event));
                Ending::Refused
            }
            GroupResult::Unknown { error } => {
                tracing::warn!(controller = name, key, why = plan.why, error, "not known whether it was committed");
                doubts.add(&key);
                Ending::Unknown
            }
        };
        self.driven.look_again(&key, ending, self.taken);
        None
    }

    /// Gives the keys back once the informers know what was written; all of one Commit wait for the same revision.
    async fn release(&self, settled: Vec<Settled>) {
        let informers = &self.driven.context.informers;
        let awaited = awaited(settled.iter().map(|settled| (settled.kinds.as_slice(), settled.revision)));
        join_all(awaited.into_iter().map(|(resource, revision)| informers.reached(resource, revision))).await;
        for Settled { key, requeue_after, .. } in settled {
            self.driven.give_back(key, requeue_after);
        }
    }
}
