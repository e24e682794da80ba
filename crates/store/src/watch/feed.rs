//! From the machine's worker to the hub's thread: bounded, and never waiting.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::machine::Event;
use crate::raft::Threads;
use crate::raft::state::Feed;

/// Batches that may wait for the hub. Beyond that they are dropped and the hub reads them from disk.
const BACKLOG_MAX: usize = 1024;

/// What the hub is told.
pub enum News {
    /// Changes up to and with `revision`.
    Changes { events: Vec<Event>, revision: i64 },
    /// Changes up to `revision` were not handed over: they lie on disk.
    Missed { revision: i64 },
}

/// The machine's end.
pub struct HubFeed {
    news: SyncSender<News>,
    compacted: watch::Sender<i64>,
    missed: bool,
    /// Dropped last: they end when the news do.
    followers: Threads,
}

/// The hub's end.
pub struct NewsReceiver(Receiver<News>);

/// Connects machine and hub. `compacted` is told of compactions.
pub fn feed(compacted: watch::Sender<i64>) -> (HubFeed, NewsReceiver) {
    let (news, receiver) = sync_channel(BACKLOG_MAX);
    (HubFeed { news, compacted, missed: false, followers: Threads::default() }, NewsReceiver(receiver))
}

impl HubFeed {
    /// The feed, whose end waits for `threads`, which follow it.
    pub fn followed_by(mut self, threads: impl IntoIterator<Item = JoinHandle<()>>) -> Self {
        threads.into_iter().for_each(|thread| self.followers.add(thread));
        self
    }

    fn tell(&mut self, news: News, revision: i64) {
        // What follows a gap would tear it open further: the gap must be told first.
        let news = if self.missed { News::Missed { revision } } else { news };
        self.missed = match self.news.try_send(news) {
            Ok(()) => false,
            Err(TrySendError::Full(_)) => true,
            // The hub ends only with the store.
            Err(TrySendError::Disconnected(_)) => false,
        };
    }
}

impl Feed for HubFeed {
    fn applied(&mut self, events: Vec<Event>, revision: i64, compacted: i64) {
        self.compacted.send_if_modified(|known| std::mem::replace(known, compacted) != compacted);
        if !events.is_empty() {
            self.tell(News::Changes { events, revision }, revision);
        }
    }

    fn replaced(&mut self, revision: i64, compacted: i64) {
        // Told even if it is the same one: the other state may have garbage of its own.
        self.compacted.send_replace(compacted);
        self.missed = true;
        self.tell(News::Missed { revision }, revision);
    }
}

impl NewsReceiver {
    /// Waits for news; `Ok(None)` after `patience`, `Err` when the machine is gone.
    pub fn next(&self, patience: Duration) -> Result<Option<News>, ()> {
        match self.0.recv_timeout(patience) {
            Ok(news) => Ok(Some(news)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(()),
        }
    }
}
