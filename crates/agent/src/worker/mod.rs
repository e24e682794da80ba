//! One task per Pod, the only one that starts, stops and reports its containers.
//!
//! ```text
//!   mailbox (newest Pod) ──┐
//!   ends of containers  ───┼──▶ decide ──▶ start, stop ──▶ status, when it changed ──▶ sleep
//!   time                ───┘
//!                                  over: last status stored ──▶ deleted? remove the object ──▶ the worker ends
//! ```
//!
//! What happened before this process began comes from the runtime's records, so a worker does not know whether it is the
//! Pod's first.

pub mod backoff;
pub mod conditions;
pub mod decide;
pub mod events;
pub mod life;
pub mod mailbox;
pub mod status;

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::fence::NODE_LOST;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use prost::Message;
use proto::core_v1::Pod;

use crate::containers::Containers;
use crate::fence::{self, Fence, Short, Standing};
use crate::report::{Answer, PodName, Reporter};
use crate::runtime::{Deadline, Start, StartId};
use decide::{Circumstances, Plan, Step, decide};
pub use events::Teller;
use life::{Blocked, Exit, Life, Run, is_terminal, members, spec};
use mailbox::{Mailbox, News};
use status::NodeFacts;

/// Before a container that could not even be tried is tried again.
const BLOCKED: TimeDelta = TimeDelta::seconds(10);
/// After the fence's deadline, which the shims hold, before the agent does so too.
const AFTER_SHIMS: TimeDelta = TimeDelta::seconds(2);

/// The grace of a Pod whose object was removed while it ran: whoever removed it would not wait. As kubelet's.
const REMOVED_GRACE_S: i64 = 2;

/// What all workers of a process share.
pub struct Shared {
    pub containers: Containers,
    pub reporter: Arc<Reporter>,
    pub teller: Teller,
    pub fence: Arc<Fence>,
}

type End = Pin<Box<dyn Future<Output = (usize, Exit)> + Send>>;

/// How a worker ended.
#[derive(Debug, PartialEq)]
pub enum Finished {
    /// The Pod's last status is stored; its object may stay for long.
    Reported,
    /// The Pod's object is gone.
    Gone,
}

struct Worker {
    shared: Arc<Shared>,
    node: Arc<NodeFacts>,
    mailbox: Mailbox,
    name: PodName,
    /// As last heard of, but with the status as last reported: that is what the next one builds on.
    pod: Pod,
    lives: Vec<Life>,
    ends: FuturesUnordered<End>,
    since: DateTime<Utc>,
    /// A hash of the status last reported: equal ones are not sent again.
    reported: Option<u64>,
    gone: bool,
    /// How long its containers may live after a renewal of the node's lease.
    fence_after: Option<Duration>,
    _short: Option<Short>,
}

/// Runs a Pod to its end.
pub async fn run(shared: Arc<Shared>, node: Arc<NodeFacts>, pod: Pod, mailbox: Mailbox) -> Finished {
    let metadata = pod.metadata.clone().unwrap_or_default();
    let name = PodName { namespace: metadata.namespace, name: metadata.name, uid: metadata.uid };
    let lives = vec![Life::default(); members(spec(&pod)).count()];
    let since = pod.status.as_ref().and_then(|status| api::time::opt(&status.start_time)).unwrap_or_else(Utc::now);
    let ends = FuturesUnordered::new();
    let fence_after = fence::after(spec(&pod));
    let _short = shared.fence.take_in(fence_after);
    let (reported, gone) = (None, false);
    let mut worker =
        Worker { shared, node, mailbox, name, pod, lives, ends, since, reported, gone, fence_after, _short };
    worker.recover().await;
    worker.work().await
}

impl Worker {
    async fn work(&mut self) -> Finished {
        loop {
            // The fence opens when news of every Pod lie in the mailboxes: they come first.
            let standing = self.shared.fence.standing();
            while let Some(news) = self.mailbox.try_take() {
                self.hear(news);
            }
            let plan = decide(&self.pod, &self.lives, self.circumstances(standing));
            for step in &plan.steps {
                self.carry_out(step, standing.tenure).await;
            }
            self.take_ended();
            if plan.steps.iter().any(|step| matches!(step, Step::Start { .. })) {
                // Its outcome decides what comes next.
                self.report_when_it_matters();
                continue;
            }
            if plan.over {
                if let Some(finished) = self.finish().await {
                    return finished;
                }
                continue;
            }
            self.report(false);
            self.sleep(&plan).await;
        }
    }

    fn circumstances(&self, standing: Standing) -> Circumstances {
        let (now, boot_ns) = (Utc::now(), fence::boot_ns());
        let boot = Duration::from_nanos(boot_ns);
        let left = self.fence_after.and_then(|after| standing.left(after, boot_ns));
        let fence = decide::Fence {
            is_open: standing.may_begin(self.fence_after, boot_ns),
            ends_at: left
                .and_then(|left| now.checked_add_signed(TimeDelta::from_std(left).ok()?.checked_add(&AFTER_SHIMS)?)),
        };
        Circumstances { now, boot, since: self.since, fence }
    }

    /// Takes up what an agent before this one left.
    async fn recover(&mut self) {
        let found = loop {
            match self.shared.containers.runtime.recover(&self.pod).await {
                Ok(found) => break found,
                // Not knowing what ran, starting anything could run it twice.
                Err(error) => {
                    tracing::error!(pod = %self.name.name, %error, "cannot read what ran; trying again");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
        };
        let names: Vec<String> = members(spec(&self.pod)).map(|member| member.container.name.clone()).collect();
        for (id, run) in found {
            let Some(index) = names.iter().position(|name| *name == id.container) else { continue };
            let life = &mut self.lives[index];
            life.starts = id.number;
            life.started(run);
            if life.is_running() {
                self.listen(index, id);
            }
        }
        let seen = life::seen_elsewhere(&self.pod, self.shared.containers.runtime.name(), Utc::now());
        for (index, (starts, exit)) in seen {
            let life = &mut self.lives[index];
            if life.starts == 0 {
                // It ran, and its records are gone: to run it again would be to run it twice.
                life.starts = starts - 1;
                life.started(Run::Exited(exit));
            }
        }
        for (index, failures) in life::failures_seen(&self.pod) {
            let life = &mut self.lives[index];
            life.failures = life.failures.max(failures);
        }
    }

    /// Everything that has ended by now.
    fn take_ended(&mut self) {
        while let Some(Some((index, exit))) = futures::FutureExt::now_or_never(self.ends.next()) {
            self.ended(index, exit);
        }
    }

    fn ended(&mut self, index: usize, exit: Exit) {
        let member = members(spec(&self.pod)).nth(index).expect("every start belongs to a container");
        if member.restart.after(&exit) && !self.is_ending() {
            self.shared.teller.will_restart(&self.pod, member.container, &self.lives[index], &exit);
        }
        self.lives[index].current = Some(Run::Exited(exit));
        self.lives[index].stop_by = None;
    }

    fn is_ending(&self) -> bool {
        self.pod.metadata.as_ref().is_some_and(|metadata| metadata.deletion_timestamp.is_some())
    }

    async fn sleep(&mut self, plan: &Plan) {
        let until = plan.wake_at.map(|at| (at - Utc::now()).to_std().unwrap_or_default());
        let alarm = async {
            match until {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            news = self.mailbox.take() => self.hear(news),
            Some((index, exit)) = self.ends.next(), if !self.ends.is_empty() => self.ended(index, exit),
            () = alarm => {}
            () = self.shared.fence.opens(self.fence_after), if plan.held => {}
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Changed(mut pod) => {
                life::keep_own_status(self.pod.status.take(), &mut pod, self.reported.is_some());
                self.pod = *pod;
            }
            News::Gone => {
                // Removed without a grace period: what still runs has to end all the same.
                self.gone = true;
                let metadata = self.pod.metadata.get_or_insert_default();
                metadata.deletion_timestamp.get_or_insert_with(|| api::time::to_time(Utc::now()));
                // Also when it had been given a longer grace before.
                let grace = metadata.deletion_grace_period_seconds.unwrap_or(REMOVED_GRACE_S);
                metadata.deletion_grace_period_seconds = Some(grace.min(REMOVED_GRACE_S));
            }
        }
    }

    async fn carry_out(&mut self, step: &Step, tenure: u64) {
        match step {
            Step::Start { index } => self.start(*index, tenure).await,
            Step::Stop { index, grace } => {
                let life = &mut self.lives[*index];
                let (is_first, grace) = (life.stop_by.is_none(), grace.to_std().unwrap_or_default());
                life.told_to_stop(Duration::from_nanos(fence::boot_ns()).saturating_add(grace));
                let id = self.start_id(*index, self.lives[*index].starts.saturating_sub(1));
                if is_first {
                    let member = members(spec(&self.pod)).nth(*index).expect("the plan is of this Pod");
                    self.shared.teller.killing(&self.pod, member.container);
                }
                self.shared.containers.runtime.stop(&id, grace).await;
            }
        }
    }

    async fn start(&mut self, index: usize, tenure: u64) {
        let id = self.start_id(index, self.lives[index].starts);
        let container = members(spec(&self.pod)).nth(index).expect("the plan is of this Pod").container;
        let launch = match self.shared.containers.launch(&self.pod, container, &self.node.ip).await {
            Ok(launch) => launch,
            Err(cannot) => return self.block(index, cannot.reason, cannot.message),
        };
        let start = Start {
            id: &id,
            pod: &self.pod,
            launch: &launch,
            deadline: self.fence_after.map(|after| Deadline { after, tenure }),
            now: Utc::now(),
        };
        match self.shared.containers.runtime.start(start).await {
            Ok(run) => {
                let images = &self.shared.containers.images;
                self.shared.teller.started(&self.pod, container, &images.describe(&container.image), &run);
                self.lives[index].started(run);
                if self.lives[index].is_running() {
                    self.listen(index, id);
                }
            }
            Err(error) => self.block(index, "RunContainerError", error.to_string()),
        }
    }

    fn block(&mut self, index: usize, reason: &str, message: String) {
        let container = members(spec(&self.pod)).nth(index).expect("the plan is of this Pod").container;
        self.shared.teller.failed(&self.pod, container, &message);
        let until = Utc::now() + BLOCKED;
        self.lives[index].blocked = Some(Blocked { reason: reason.to_owned(), message, until });
    }

    fn start_id(&self, index: usize, number: u32) -> StartId {
        let member = members(spec(&self.pod)).nth(index).expect("the index is of this Pod");
        StartId { pod_uid: self.name.uid.clone(), container: member.container.name.clone(), number }
    }

    fn listen(&mut self, index: usize, id: StartId) {
        let shared = self.shared.clone();
        self.ends.push(Box::pin(async move { (index, shared.containers.runtime.wait(&id).await) }));
    }

    /// A start that is over at once is told by the status that follows.
    fn report_when_it_matters(&mut self) {
        if self.lives.iter().any(|life| life.is_running() || life.blocked.is_some())
            && self.ends.len() < self.lives.len()
        {
            self.report(false);
        }
    }

    /// Hands the status over where it says something new; gives the answer's channel then.
    fn report(&mut self, over: bool) -> Option<tokio::sync::oneshot::Receiver<Answer>> {
        let circumstances = self.circumstances(self.shared.fence.standing());
        let status = status::status(&self.pod, &self.lives, circumstances, over, &self.node);
        let mut hasher = DefaultHasher::new();
        status.encode_to_vec().hash(&mut hasher);
        let hash = hasher.finish();
        if self.reported == Some(hash) || self.gone {
            return None;
        }
        self.reported = Some(hash);
        self.pod.status = Some(status.clone());
        Some(self.shared.reporter.status(&self.name, status))
    }

    /// The last status, and the removal of a deleted Pod; `None`: something else came to be done first.
    async fn finish(&mut self) -> Option<Finished> {
        if self.gone {
            self.forget().await;
            return Some(Finished::Gone);
        }
        let ended = self.pod.status.as_ref().filter(|status| is_terminal(&status.phase));
        // What was given up with this node takes no further status.
        let silent = ended.is_some_and(|status| self.reported.is_none() || status.reason == NODE_LOST);
        let answer = if silent { None } else { self.report(true) };
        if let Some(answer) = answer
            && answered(answer).await == Answer::Gone
        {
            self.gone = true;
            return None;
        }
        while let Some(news) = self.mailbox.try_take() {
            self.hear(news);
        }
        if self.gone {
            return None;
        }
        if self.is_ending() {
            let answer = self.shared.reporter.delete(&self.name);
            // A Pod with finalizers stays; whoever holds them removes it.
            if answered(answer).await == Answer::Gone {
                self.gone = true;
                return None;
            }
        }
        Some(Finished::Reported)
    }

    async fn forget(&mut self) {
        if let Err(error) = self.shared.containers.runtime.remove(&self.name.uid).await {
            tracing::warn!(pod = %self.name.name, %error, "cannot remove the records of a Pod that is gone");
        }
    }
}

async fn answered(answer: tokio::sync::oneshot::Receiver<Answer>) -> Answer {
    // A reporter that is gone means that the process ends.
    answer.await.unwrap_or(Answer::Stored)
}
