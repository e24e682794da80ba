//! The thread that owns the machine: takes committed entries, writes one batch for all of them, then answers and
//! hands the changes on to the watch hub.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use openraft::EntryPayload;
use tokio::sync::oneshot;

use super::RocksDisk;
use crate::failpoint::failpoint;
use crate::machine::{DiskError, Event, Loaded, Machine, Outcome, Reply};
use crate::metrics::Metrics;
use crate::raft::codec;
use crate::raft::pending::Pending;
use crate::raft::types::{Answer, Entry, Responder, StoredMembership};
use proto::raftsman_store_v1 as pb;

/// What the worker tells the watch hub; must not block.
pub trait Feed: Send + 'static {
    /// Changes that readers see from now on, in order; `revision` is the store's.
    fn applied(&mut self, events: Vec<Event>, revision: i64, compacted: i64);

    /// The state was replaced: whatever the hub knew up to now must be read again.
    fn replaced(&mut self, revision: i64, compacted: i64);
}

/// What the worker is asked to do.
enum Job {
    Apply(Vec<(Entry, Option<Responder>)>, oneshot::Sender<Result<(), DiskError>>),
    Applied(oneshot::Sender<pb::Progress>),
    Replace(Box<(RocksDisk, Loaded)>, oneshot::Sender<io::Result<()>>),
}

/// The way to the worker; it ends when all handles are gone.
#[derive(Clone)]
pub struct Handle {
    jobs: mpsc::Sender<Job>,
    disk: Arc<RocksDisk>,
}

/// Starts the worker with its machine. Proposals that wait are answered from `pending`.
pub fn start(
    machine: Machine<RocksDisk>,
    disk: Arc<RocksDisk>,
    feed: impl Feed,
    pending: Arc<Pending>,
    metrics: Metrics,
) -> io::Result<Handle> {
    let (jobs, queue) = mpsc::channel();
    let worker = Worker { machine, disk: disk.clone(), feed, pending, metrics };
    std::thread::Builder::new().name("machine".into()).spawn(move || worker.run(&queue))?;
    Ok(Handle { jobs, disk })
}

impl Handle {
    /// The database.
    pub fn disk(&self) -> &Arc<RocksDisk> {
        &self.disk
    }

    /// Applies committed entries; their responders are answered.
    pub async fn apply(&self, entries: Vec<(Entry, Option<Responder>)>) -> io::Result<()> {
        self.ask(|done| Job::Apply(entries, done)).await?.map_err(io::Error::other)
    }

    /// Where the machine stands.
    pub async fn progress(&self) -> io::Result<pb::Progress> {
        self.ask(Job::Applied).await
    }

    /// Makes the machine start over from another database, which takes the place of the present one, and what was
    /// loaded from it.
    pub async fn replace(&self, fresh: RocksDisk, loaded: Loaded) -> io::Result<()> {
        self.ask(|done| Job::Replace(Box::new((fresh, loaded)), done)).await?
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> io::Result<T> {
        let (done, answer) = oneshot::channel();
        let gone = || io::Error::other("the machine's thread has ended");
        self.jobs.send(job(done)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

struct Worker<F> {
    machine: Machine<RocksDisk>,
    disk: Arc<RocksDisk>,
    feed: F,
    pending: Arc<Pending>,
    metrics: Metrics,
}

/// Who waits for an entry: who proposed it here, or through another member.
enum Waiter {
    Responder(Responder),
    Number(u64),
}

impl<F: Feed> Worker<F> {
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        while let Ok(job) = queue.recv() {
            // An asker that has gone away needs no answer.
            match job {
                Job::Apply(entries, done) => drop(done.send(self.apply(entries))),
                Job::Applied(done) => drop(done.send(*self.machine.progress())),
                Job::Replace(state, done) => drop(done.send(self.replace(state.0, state.1))),
            }
        }
    }

    fn apply(&mut self, entries: Vec<(Entry, Option<Responder>)>) -> Result<(), DiskError> {
        let begun = Instant::now();
        let mut answers = Vec::with_capacity(entries.len());
        let mut events = Vec::new();
        for (entry, responder) in entries {
            let waiter = responder.map(Waiter::Responder).or_else(|| self.origin(&entry));
            let outcome = self.step(entry)?;
            events.extend(outcome.events);
            if let Some(waiter) = waiter {
                answers.push((waiter, Answer { reply: outcome.reply, revision: outcome.revision }));
            }
        }
        let batch = self.machine.seal();
        let writing = Instant::now();
        failpoint!("apply-before-write");
        self.disk.write(&batch)?;
        failpoint!("apply-after-write");
        self.metrics.backend_commit.observe(writing.elapsed().as_secs_f64());
        self.machine.publish();
        self.metrics.applied(begun.elapsed());
        let progress = self.machine.progress();
        self.feed.applied(events, progress.revision, progress.compacted);
        let term = progress.applied.as_ref().map_or(0, |id| id.term);
        for (waiter, answer) in answers {
            match waiter {
                Waiter::Responder(responder) => responder.send(answer),
                Waiter::Number(number) => self.pending.applied(number, answer),
            }
        }
        self.pending.settle(term);
        Ok(())
    }

    /// The number of an entry that this member proposed through the leader.
    fn origin(&self, entry: &Entry) -> Option<Waiter> {
        let EntryPayload::Normal(proposal) = &entry.payload else { return None };
        let origin = proposal.0.origin.as_ref()?;
        (origin.member_id == self.pending.member()).then_some(Waiter::Number(origin.number))
    }

    fn step(&mut self, entry: Entry) -> Result<Outcome, DiskError> {
        let id = codec::log_id(&entry.log_id);
        let membership = match entry.payload {
            EntryPayload::Normal(proposal) => return self.machine.step(id, &proposal.0),
            EntryPayload::Blank => None,
            EntryPayload::Membership(members) => {
                Some(codec::stored_membership(&StoredMembership::new(Some(entry.log_id), members)))
            }
        };
        self.machine.skip(id, membership);
        Ok(Outcome { reply: Ok(Reply::Done), events: Vec::new(), revision: self.machine.progress().revision })
    }

    fn replace(&mut self, fresh: RocksDisk, loaded: Loaded) -> io::Result<()> {
        let disk = self.disk.clone();
        self.machine.replace(loaded, || disk.take_over(fresh))?;
        let progress = self.machine.progress();
        self.pending.replaced(progress.applied.as_ref().map_or(0, |id| id.term));
        self.feed.replaced(progress.revision, progress.compacted);
        Ok(())
    }
}
