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
//! A key is with the driver from `take_ready` to `done`; others go on meanwhile. Only the holder of the claim decides:
//! a new leader first waits until its informers know everything that was written before its epoch, and each group is
//! fenced by that epoch (design D4), so what a deposed leader still has under way is refused by the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::proto::meta_v1::Status;
use chrono::{DateTime, Utc};
use client::{Client, EventDraft, Fence, Group, GroupResult, Recorder, WorkQueue};
use futures::future::join_all;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::informers::Informers;
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
    mut context: Context,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(COMMITS_MAX));
    let mut standby = Standby::default();
    let stopped = shutdown.clone();
    let lead = async {
        loop {
            let fence = context.fence.borrow_and_update().clone();
            match fence {
                Some(fence) => {
                    standby.take_over(&queue);
                    tokio::select! {
                        () = drive(&controller, &queue, &context, fence, &slots) => return,
                        changed = wait_for_change(context.fence.clone()) => if !changed { return },
                    }
                }
                None => {
                    tokio::select! {
                        () = standby.watch(controller.as_ref(), &queue) => return,
                        changed = wait_for_change(context.fence.clone()) => if !changed { return },
                    }
                }
            }
        }
    };
    stopped.run_until_cancelled(lead).await;
    queue.close();
    // All slots free: nothing is under way any more.
    let settled = slots.acquire_many(COMMITS_MAX as u32).await;
    tracing::debug!(controller = controller.name(), settled = settled.is_ok(), "stopped");
}

/// False: there will be no further change.
async fn wait_for_change(mut fence: watch::Receiver<Option<Fence>>) -> bool {
    fence.changed().await.is_ok()
}

/// Decides for as long as the claim is held; the caller drops this when it is lost.
async fn drive(
    controller: &Arc<dyn Controller>,
    queue: &WorkQueue<String>,
    context: &Context,
    fence: Fence,
    slots: &Arc<Semaphore>,
) {
    context.informers.all_reached(fence.epoch).await;
    tracing::info!(controller = controller.name(), epoch = fence.epoch, "leading");
    controller.took_over(Utc::now());
    loop {
        // The slot comes first: while all Commits are under way, keys gather and share the next one.
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let Some(keys) = queue.take_ready(BATCH_KEYS_MAX).await else { return };
        let taken = Instant::now();
        let decided = decide(controller.as_ref(), queue, context, keys);
        if decided.is_empty() {
            continue;
        }
        let work = Work {
            controller: controller.clone(),
            queue: queue.clone(),
            context: context.clone(),
            taken,
            epoch: fence.epoch,
        };
        let fence = fence.clone();
        tokio::spawn(async move {
            let settled = work.commit(decided, fence).await;
            drop(slot);
            work.release(settled).await;
        });
    }
}

/// The Plans that write something; the other keys are done, and what they have to tell is told.
fn decide(
    controller: &dyn Controller,
    queue: &WorkQueue<String>,
    context: &Context,
    keys: Vec<String>,
) -> Vec<(String, Plan)> {
    let mut decided = Vec::with_capacity(keys.len());
    for key in keys {
        let begun = Instant::now();
        let plan = controller.plan(&key, Utc::now());
        tracing::trace!(controller = controller.name(), key, why = plan.why, writes = plan.writes.len(), "decided");
        if plan.writes.is_empty() {
            context.metrics.ended(Ending::Nothing, begun.elapsed());
            plan.events.into_iter().for_each(|event| context.recorder.record(event));
            queue.forget(&key);
            if let Some(after) = plan.requeue_after {
                queue.add_after(key.clone(), after);
            }
            queue.done(&key);
        } else {
            decided.push((key, plan));
        }
    }
    decided
}

/// A key whose Plan is committed, with what must be known before it is looked at again.
struct Settled {
    key: String,
    requeue_after: Option<Duration>,
    revision: i64,
    kinds: Vec<&'static str>,
}

struct Work {
    controller: Arc<dyn Controller>,
    queue: WorkQueue<String>,
    context: Context,
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
        match self.context.client.commit(groups).await {
            Ok(results) => {
                let settled = decided.into_iter().zip(results);
                settled.filter_map(|((key, plan), result)| self.settle(key, plan, result)).collect()
            }
            Err(error) => {
                tracing::error!(controller = self.controller.name(), %error, "a Plan breaks a limit of Commit");
                decided.iter().for_each(|(key, _)| self.look_again(key, Ending::Refused));
                Vec::new()
            }
        }
    }

    fn settle(&self, key: String, plan: Plan, result: GroupResult) -> Option<Settled> {
        let (controller, epoch) = (self.controller.name(), self.epoch);
        let ending = match result {
            GroupResult::Committed { revision } => {
                tracing::debug!(controller, key, epoch, revision, why = plan.why, "committed");
                let kinds = plan.writes.iter().map(|write| write.kind().resource).collect();
                plan.events.into_iter().for_each(|event| self.context.recorder.record(event));
                self.queue.forget(&key);
                self.context.metrics.ended(Ending::Committed, self.taken.elapsed());
                return Some(Settled { key, requeue_after: plan.requeue_after, revision, kinds });
            }
            result @ GroupResult::Refused { .. } if result.is_conflict() => {
                tracing::debug!(controller, key, epoch, why = plan.why, ?result, "conflict");
                Ending::Conflict
            }
            GroupResult::Refused { status, failed } => {
                tracing::warn!(controller, key, why = plan.why, message = status.message, "refused");
                let told = self.controller.refused(&key, &plan, &status, failed);
                told.into_iter().for_each(|event| self.context.recorder.record(event));
                Ending::Refused
            }
            GroupResult::Unknown { error } => {
                tracing::warn!(controller, key, why = plan.why, error, "not known whether it was committed");
                Ending::Unknown
            }
        };
        self.look_again(&key, ending);
        None
    }

    fn look_again(&self, key: &String, ending: Ending) {
        self.context.metrics.ended(ending, self.taken.elapsed());
        self.queue.add_backoff(key.clone());
        self.queue.done(key);
    }

    /// Gives the keys back once the informers know what was written; all of one Commit wait for the same revision.
    async fn release(&self, settled: Vec<Settled>) {
        let mut awaited: BTreeMap<&'static str, i64> = BTreeMap::new();
        for settled in &settled {
            for kind in &settled.kinds {
                let revision = awaited.entry(kind).or_default();
                *revision = (*revision).max(settled.revision);
            }
        }
        let informers = &self.context.informers;
        join_all(awaited.into_iter().map(|(resource, revision)| informers.reached(resource, revision))).await;
        for Settled { key, requeue_after, .. } in settled {
            if let Some(after) = requeue_after {
                self.queue.add_after(key.clone(), after);
            }
            self.queue.done(&key);
        }
    }
}
