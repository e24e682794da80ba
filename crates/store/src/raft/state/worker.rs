//! The one place where the machine is touched: takes committed entries, writes one batch for all of them, then answers
//! and hands the changes on to the watch hub.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use openraft::EntryPayload;
use parking_lot::Mutex;

use super::RocksDisk;
use crate::failpoint::failpoint;
use crate::machine::{self, DiskError, Event, Loaded, Machine, Outcome, Reply};
use crate::metrics::Metrics;
use crate::raft::codec;
use crate::raft::pending::Pending;
use crate::raft::types::{Answer, Entry, Responder, StoredMembership};
use proto::raftsman_store_v1 as pb;

/// Most entries, and bytes of them, that are applied on the caller's thread: they go into memory in less time than
/// another thread takes to wake up.
const BRIEF_ENTRIES: usize = 8;
const BRIEF_BYTES: usize = 16 << 10;

/// What the worker tells the watch hub; must not block.
pub trait Feed: Send + 'static {
    /// Changes that readers see from now on, in order; `revision` is the store's.
    fn applied(&mut self, events: Vec<Event>, revision: i64, compacted: i64);

    /// The state was replaced: whatever the hub knew up to now must be read again.
    fn replaced(&mut self, revision: i64, compacted: i64);
}

/// Where nobody watches.
pub struct Unwatched;

impl Feed for Unwatched {
    fn applied(&mut self, _: Vec<Event>, _: i64, _: i64) {}

    fn replaced(&mut self, _: i64, _: i64) {}
}

/// The way to the worker.
#[derive(Clone)]
pub struct Handle {
    worker: Arc<Mutex<Worker>>,
    disk: Arc<RocksDisk>,
}

type Committed = Vec<(Entry, Option<Responder>)>;

impl Handle {
    /// The worker with its machine. Proposals that wait are answered from `pending`.
    pub fn new(
        machine: Machine<RocksDisk>,
        disk: Arc<RocksDisk>,
        feed: impl Feed,
        pending: Arc<Pending>,
        metrics: Metrics,
    ) -> Self {
        let worker = Worker { machine, disk: disk.clone(), feed: Box::new(feed), pending, metrics };
        Self { worker: Arc::new(Mutex::new(worker)), disk }
    }

    /// The database.
    pub fn disk(&self) -> &Arc<RocksDisk> {
        &self.disk
    }

    /// Applies committed entries; their responders are answered.
    pub async fn apply(&self, entries: Committed) -> io::Result<()> {
        let applied = if is_brief(&entries)
            && let Some(mut worker) = self.worker.try_lock()
            && worker.machine.shared().writable()
        {
            worker.apply(entries)
        } else {
            self.beside(|worker| worker.apply(entries)).await?
        };
        applied.map_err(io::Error::other)
    }

    /// Where the machine stands.
    pub async fn progress(&self) -> io::Result<pb::Progress> {
        self.beside(|worker| *worker.machine.progress()).await
    }

    /// Makes the machine start over from another database, which takes the place of the present one, and what was
    /// loaded from it.
    pub async fn replace(&self, fresh: RocksDisk, loaded: Loaded) -> io::Result<()> {
        self.beside(|worker| worker.replace(fresh, loaded)).await?
    }

    /// Works where the runtime's threads are not held up.
    async fn beside<T: Send + 'static>(&self, work: impl FnOnce(&mut Worker) -> T + Send + 'static) -> io::Result<T> {
        let worker = self.worker.clone();
        tokio::task::spawn_blocking(move || work(&mut worker.lock())).await.map_err(io::Error::other)
    }
}

/// Whether entries are applied in next to no time: few and small ones.
fn is_brief(entries: &Committed) -> bool {
    let brief = |entry: &Entry| match &entry.payload {
        EntryPayload::Normal(proposal) => machine::is_brief(&proposal.0),
        EntryPayload::Blank | EntryPayload::Membership(_) => true,
    };
    entries.len() <= BRIEF_ENTRIES
        && entries.iter().all(|(entry, _)| brief(entry))
        && entries.iter().map(|(entry, _)| codec::entry_size(entry)).sum::<usize>() <= BRIEF_BYTES
}

struct Worker {
    machine: Machine<RocksDisk>,
    disk: Arc<RocksDisk>,
    feed: Box<dyn Feed>,
    pending: Arc<Pending>,
    metrics: Metrics,
}

/// Who waits for an entry: who proposed it here, or through another member.
enum Waiter {
    Responder(Responder),
    Number(u64),
}

impl Worker {
    fn apply(&mut self, entries: Committed) -> Result<(), DiskError> {
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
