//! Proposals of this member that wait for their outcome.
//!
//! A proposal carries a number of its member's. Whichever way it got into the log, through this member or through
//! the leader, the member sees it come out of its own log and answers then: with the machine's reply, and with
//! its own state as new as the reply.
//!
//! A proposal is taken in one term only. Once an entry of a later term is applied here, one of an earlier term that
//! did not come before it never will: terms only grow along the log, and what is applied is settled. So its loss is
//! certain, and it may be proposed again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::types::Answer;

/// What became of a proposal.
#[derive(Debug)]
pub enum Outcome {
    /// Applied.
    Applied(Answer),
    /// Certainly not in the log, now and ever.
    NotTaken,
}

/// The proposals that wait.
#[derive(Debug)]
pub struct Pending {
    member: u64,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Term of the newest entry applied.
    settled: u64,
    proposals: HashMap<u64, (u64, oneshot::Sender<Outcome>)>,
}

/// One proposal's place; given up when it is dropped.
pub struct Place {
    pending: Arc<Pending>,
    number: u64,
    /// Ends without an outcome where nobody can know it.
    pub outcome: oneshot::Receiver<Outcome>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pending.waiting.lock().proposals.remove(&self.number);
    }
}

impl Pending {
    /// Nothing waits. `start` must be drawn at random at each start of the member: numbers of an earlier start are
    /// still in the log.
    pub fn new(member: u64, start: u64) -> Arc<Self> {
        Arc::new(Self { member, next: AtomicU64::new(start), waiting: Mutex::default() })
    }

    /// The member whose proposals these are.
    pub fn member(&self) -> u64 {
        self.member
    }

    /// A number that was never used.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits for proposal `number`, which is about to be proposed in `term`.
    pub fn wait(self: &Arc<Self>, number: u64, term: u64) -> Place {
        let (done, outcome) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        // In a term that is over nothing is taken any more.
        let done = if waiting.settled > term { settle(done, Outcome::NotTaken) } else { Some(done) };
        if let Some(done) = done {
            waiting.proposals.insert(number, (term, done));
        }
        Place { pending: self.clone(), number, outcome }
    }

    /// Proposal `number` was applied.
    pub fn applied(&self, number: u64, answer: Answer) {
        let removed = self.waiting.lock().proposals.remove(&number);
        if let Some((_, done)) = removed {
            settle(done, Outcome::Applied(answer));
        }
    }

    /// Proposal `number` was refused in `term` before it got into a log. A refusal that comes late says nothing of a
    /// later term, in which it may have been taken since.
    pub fn not_taken(&self, number: u64, term: u64) {
        let removed = match self.waiting.lock().proposals.entry(number) {
            Entry::Occupied(waiting) if waiting.get().0 == term => Some(waiting.remove()),
            Entry::Occupied(_) | Entry::Vacant(_) => None,
        };
        if let Some((_, done)) = removed {
            settle(done, Outcome::NotTaken);
        }
    }

    /// An entry of `term` was applied, and everything before it.
    pub fn settle(&self, term: u64) {
        let mut waiting = self.waiting.lock();
        if waiting.settled >= term {
            return;
        }
        waiting.settled = term;
        for (_, (_, done)) in waiting.proposals.extract_if(|_, (proposed, _)| *proposed < term) {
            settle(done, Outcome::NotTaken);
        }
    }

    /// The state was replaced, by one of `term`: what waits may be in it or not.
    pub fn replaced(&self, term: u64) {
        let mut waiting = self.waiting.lock();
        waiting.settled = waiting.settled.max(term);
        waiting.proposals.clear();
    }
}

/// Tells who waits; one that has gone away needs no outcome.
fn settle(done: oneshot::Sender<Outcome>, outcome: Outcome) -> Option<oneshot::Sender<Outcome>> {
    drop(done.send(outcome));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Reply;

    fn answer(revision: i64) -> Answer {
        Answer { reply: Ok(Reply::Done), revision }
    }

    #[test]
    fn an_applied_proposal_is_answered_once() {
        let pending = Pending::new(1, 10);
        let number = pending.number();
        let mut place = pending.wait(number, 3);
        pending.applied(number, answer(5));
        pending.not_taken(number, 3);
        assert!(matches!(place.outcome.try_recv(), Ok(Outcome::Applied(answer)) if answer.revision == 5));
        assert_ne!(pending.number(), number);
    }

    #[test]
    fn a_later_term_settles_earlier_ones_only() {
        let pending = Pending::new(1, 0);
        let (mut old, mut same) = (pending.wait(0, 3), pending.wait(1, 4));
        pending.settle(4);
        assert!(matches!(old.outcome.try_recv(), Ok(Outcome::NotTaken)));
        assert!(same.outcome.try_recv().is_err());
        // Who comes too late with an old term is told at once.
        let mut late = pending.wait(2, 3);
        assert!(matches!(late.outcome.try_recv(), Ok(Outcome::NotTaken)));
        pending.applied(1, answer(1));
        assert!(matches!(same.outcome.try_recv(), Ok(Outcome::Applied(_))));
    }

    #[test]
    fn a_late_refusal_does_not_end_a_later_attempt() {
        let pending = Pending::new(1, 0);
        let mut first = pending.wait(0, 3);
        pending.settle(4);
        assert!(matches!(first.outcome.try_recv(), Ok(Outcome::NotTaken)));
        drop(first);
        let mut second = pending.wait(0, 4);
        pending.not_taken(0, 3);
        assert!(second.outcome.try_recv().is_err());
        pending.not_taken(0, 4);
        assert!(matches!(second.outcome.try_recv(), Ok(Outcome::NotTaken)));
    }

    #[test]
    fn after_a_snapshot_nobody_knows() {
        let pending = Pending::new(1, 0);
        let mut place = pending.wait(0, 3);
        pending.replaced(5);
        assert!(matches!(place.outcome.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    }

    #[test]
    fn who_gives_up_leaves_nothing() {
        let pending = Pending::new(1, 0);
        drop(pending.wait(0, 3));
        assert!(pending.waiting.lock().proposals.is_empty());
    }
}
