//! The hub: who watches what, and handing new changes to those who are level.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use tokio::sync::{mpsc, watch as signal};

use super::change::Change;
use super::feed::{News, NewsReceiver};
use super::response::Response;
use super::watcher::{Part, Refusal, Table, Watcher, header};
use crate::failpoint::failpoint;
use crate::machine::{KeyRange, View};
use crate::raft::state::RocksDisk;

/// Responses that may wait in one stream for its client.
const STREAM_QUEUE_LEN: usize = 128;
/// How often a watch that asked for it is told that it is level, when nothing else is to tell; etcd's default.
const NOTIFY_INTERVAL: Duration = Duration::from_secs(600);
/// How long a creation or cancellation waits for the hub to hand on what went before.
const LEVEL_MAX: Duration = Duration::from_secs(1);
/// How often the hub looks whether it missed anything.
const IDLE_CHECK: Duration = Duration::from_millis(500);

/// All watches of this member.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

pub(super) struct Shared {
    pub state: Mutex<State>,
    pub view: View<RocksDisk>,
    /// Wakes the catch-up thread.
    pub behind: Condvar,
    /// The state's revision, for those who wait for it.
    reached: signal::Sender<i64>,
}

#[derive(Default)]
pub(super) struct State {
    /// Synced watchers have been given everything up to here.
    pub revision: i64,
    pub watchers: HashMap<u64, Watcher>,
    pub unsynced: BTreeSet<u64>,
    pub streams: HashMap<u64, Stream>,
    table: Table,
    next_number: u64,
    /// Events handed to watchers since the start.
    sent: u64,
    pub stopped: bool,
}

/// How much is watched, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub streams: i64,
    pub watchers: i64,
    /// Watches that are not level.
    pub behind: i64,
    /// Events handed to watchers since the start.
    pub events: u64,
}

pub(super) struct Stream {
    pub queue: mpsc::Sender<Response>,
    /// Its watches: id to number.
    watchers: BTreeMap<i64, u64>,
    /// Watches that were ended because their beginning is compacted. As with etcd, their ids are taken until the
    /// client cancels them.
    pub ended: BTreeSet<i64>,
    /// The id that is given next, if it is free.
    next_id: i64,
    /// Progress was asked for and not told yet; to be told when all watches are level and the hub has
    /// reached this revision.
    progress: Option<i64>,
}

/// A client's stream; its watches end with it.
pub struct StreamHandle {
    hub: Hub,
    stream: u64,
    /// Weak, so that the stream ends when the hub ends it.
    queue: mpsc::WeakSender<Response>,
}

impl Hub {
    /// Starts the hub's two threads, which end with the news. Quiet watches that asked for it are told their progress
    /// once in `notify_interval`; zero is the default.
    pub fn start(
        view: View<RocksDisk>,
        news: NewsReceiver,
        notify_interval: Duration,
    ) -> io::Result<(Self, [JoinHandle<()>; 2])> {
        let notify_interval = if notify_interval.is_zero() { NOTIFY_INTERVAL } else { notify_interval };
        let state = State { revision: view.shared().visible(), ..Default::default() };
        let (reached, _) = signal::channel(state.revision);
        let hub = Self(Arc::new(Shared { state: Mutex::new(state), view, behind: Condvar::new(), reached }));
        let (run, catch_up) = (hub.clone(), hub.clone());
        let thread = |name: &str| thread::Builder::new().name(name.into());
        let run = thread("watch-hub").spawn(move || run.run(&news, notify_interval))?;
        let catch_up = thread("watch-catchup").spawn(move || super::catchup::run(&catch_up.0))?;
        Ok((hub, [run, catch_up]))
    }

    /// Opens a stream; its responses come out of the receiver.
    pub fn open(&self) -> (StreamHandle, mpsc::Receiver<Response>) {
        let (queue, responses) = mpsc::channel(STREAM_QUEUE_LEN);
        let mut state = self.0.state.lock();
        let stream = state.number();
        let handle = StreamHandle { hub: self.clone(), stream, queue: queue.downgrade() };
        if !state.stopped {
            let open = Stream { queue, watchers: BTreeMap::new(), ended: BTreeSet::new(), next_id: 0, progress: None };
            state.streams.insert(stream, open);
        }
        (handle, responses)
    }

    /// How much is watched.
    pub fn counts(&self) -> Counts {
        let state = self.0.state.lock();
        Counts {
            streams: state.streams.len() as i64,
            watchers: state.watchers.len() as i64,
            behind: state.unsynced.len() as i64,
            events: state.sent,
        }
    }

    fn run(&self, news: &NewsReceiver, notify_interval: Duration) {
        let mut notified = Instant::now();
        while let Ok(news) = news.next(IDLE_CHECK.min(notify_interval.saturating_sub(notified.elapsed()))) {
            match news {
                Some(News::Changes { events, revision }) => {
                    failpoint!("watch-before-send");
                    let changes: Vec<_> = events.into_iter().map(Change::new).collect();
                    self.read_previous(&changes);
                    self.0.state.lock().give(&changes, revision, &self.0.view);
                }
                Some(News::Missed { revision }) => self.0.state.lock().miss(revision),
                None => {
                    let visible = self.0.view.shared().visible();
                    let mut state = self.0.state.lock();
                    if visible > state.revision {
                        state.miss(visible);
                    }
                    // A stream that was full when its turn came.
                    state.tell_progress();
                }
            }
            let mut state = self.0.state.lock();
            if notified.elapsed() >= notify_interval {
                notified = Instant::now();
                state.notify();
            }
            if !state.unsynced.is_empty() {
                self.0.behind.notify_one();
            }
            self.0.reached.send_if_modified(|reached| std::mem::replace(reached, state.revision) != state.revision);
        }
        // The machine has ended: so do all streams.
        self.close();
    }

    /// Reads what was before the changes, for the watches that are to be told it, before anybody has to wait for the hub.
    fn read_previous(&self, changes: &[Change]) {
        let wanted: Vec<&Change> = {
            let state = self.0.state.lock();
            changes.iter().filter(|change| change.has_previous() && state.wants_previous(change)).collect()
        };
        for change in wanted {
            change.event(&self.0.view, true);
        }
    }

    /// Ends all streams. Others can be opened.
    pub fn clear(&self) {
        self.0.state.lock().clear();
    }

    /// Ends all streams, and the catch-up thread.
    pub fn close(&self) {
        let mut state = self.0.state.lock();
        state.stopped = true;
        state.clear();
        self.0.behind.notify_one();
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Hands changes up to `revision` to the synced watchers.
    fn give(&mut self, changes: &[Change], revision: i64, view: &View<RocksDisk>) {
        if revision <= self.revision {
            return;
        }
        let mut wanted: BTreeMap<u64, Vec<&Change>> = BTreeMap::new();
        for change in changes.iter().filter(|change| change.revision() > self.revision) {
            self.table.visit(change.key(), |number| {
                let watcher = self.watchers.get(&number);
                if watcher.is_some_and(|watcher| watcher.synced && watcher.wants(change)) {
                    wanted.entry(number).or_default().push(change);
                }
            });
        }
        for (number, changes) in wanted {
            let Some(watcher) = self.watchers.get(&number) else { continue };
            let Some(stream) = self.streams.get(&watcher.stream) else { continue };
            // One more than there is room for shows that there is none for all.
            let parts = watcher.responses(&changes, view, (revision, revision), stream.queue.capacity() + 1);
            if parts.len() > stream.queue.capacity() || !self.send(number, parts) {
                self.fall_behind(number);
            }
        }
        self.revision = revision;
        self.tell_progress();
    }

    fn wants_previous(&self, change: &Change) -> bool {
        let mut wanted = false;
        self.table.visit(change.key(), |number| {
            let watcher = self.watchers.get(&number);
            wanted |= watcher.is_some_and(|watcher| watcher.previous && watcher.synced && watcher.wants(change));
        });
        wanted
    }

    /// Sends as many of a watcher's responses as its stream has room for; false if it has none for some.
    pub fn send(&mut self, number: u64, parts: Vec<Part>) -> bool {
        let Some(watcher) = self.watchers.get_mut(&number) else { return true };
        let Some(stream) = self.streams.get(&watcher.stream) else { return true };
        for part in parts {
            let events = part.response.events.len() as u64;
            if stream.queue.try_send(part.response).is_err() {
                return false;
            }
            self.sent += events;
            watcher.quiet = false;
            watcher.next = watcher.next.max(part.next);
        }
        true
    }

    /// Ends all streams and their watches.
    fn clear(&mut self) {
        let watchers: Vec<_> = self.watchers.keys().copied().collect();
        watchers.into_iter().for_each(|number| self.remove(number));
        self.streams.clear();
    }

    fn fall_behind(&mut self, number: u64) {
        if let Some(watcher) = self.watchers.get_mut(&number) {
            // It was level up to the hub's revision, though it may not have been interested for a while.
            watcher.next = watcher.next.max(self.revision + 1);
            watcher.synced = false;
            self.unsynced.insert(number);
        }
    }

    /// Changes up to `revision` must be read from disk: nobody is level any more.
    fn miss(&mut self, revision: i64) {
        let synced: Vec<_> =
            self.watchers.iter().filter(|(_, watcher)| watcher.synced).map(|(number, _)| *number).collect();
        for number in synced {
            self.fall_behind(number);
        }
        self.revision = self.revision.max(revision);
    }

    /// Tells progress to the streams that asked, have only synced watches, and whose time has come.
    pub fn tell_progress(&mut self) {
        for stream in self.streams.values_mut() {
            let Some(target) = stream.progress else { continue };
            // A watch that begins in the future must not be told of the past.
            let level = |number| {
                let watcher = self.watchers.get(number);
                watcher.is_none_or(|watcher| watcher.synced && watcher.next <= self.revision + 1)
            };
            if self.revision < target || !stream.watchers.values().all(level) {
                continue;
            }
            let progress = WatchResponse { header: header(self.revision), watch_id: PROGRESS_ID, ..Default::default() };
            if stream.queue.try_send(progress.into()).is_ok() {
                stream.progress = None;
            }
        }
    }

    /// Tells progress to every watch that asked for it and has been told nothing since the last time.
    fn notify(&mut self) {
        for watcher in self.watchers.values_mut() {
            let quiet = std::mem::replace(&mut watcher.quiet, true);
            // A watch that begins in the future must not be told of the past.
            if !watcher.progress_notify || !quiet || !watcher.synced || watcher.next > self.revision + 1 {
                continue;
            }
            if let Some(stream) = self.streams.get(&watcher.stream) {
                // A full stream has events to tell of its progress.
                let _full = stream.queue.try_send(watcher.empty(self.revision)).is_err();
            }
        }
    }

    /// Removes a watch.
    pub fn remove(&mut self, number: u64) {
        let Some(watcher) = self.watchers.remove(&number) else { return };
        self.unsynced.remove(&number);
        self.table.remove(number, &watcher);
        if let Some(stream) = self.streams.get_mut(&watcher.stream) {
            stream.watchers.remove(&watcher.id);
        }
    }

    fn create(&mut self, stream: u64, request: WatchCreateRequest, visible: i64) -> Result<i64, Refusal> {
        if request.start_revision < 0 {
            return Err(Refusal::Compacted);
        }
        if is_empty(&request) {
            return Err(Refusal::EmptyRange);
        }
        let number = self.number();
        let Some(open) = self.streams.get_mut(&stream) else { return Ok(request.watch_id) };
        let id = match request.watch_id {
            0 => open.draw_id(),
            id if open.taken(id) => return Err(Refusal::DuplicateId),
            id => id,
        };
        // From now on means after what any reader can see, which the hub may not have handed on yet.
        let next = if request.start_revision > 0 { request.start_revision } else { visible + 1 };
        let mut watcher = Watcher::new(stream, id, request, next);
        watcher.synced = next > self.revision;
        open.watchers.insert(id, number);
        self.table.add(number, &watcher);
        if !watcher.synced {
            self.unsynced.insert(number);
        }
        self.watchers.insert(number, watcher);
        Ok(id)
    }
}

impl Stream {
    fn taken(&self, id: i64) -> bool {
        self.watchers.contains_key(&id) || self.ended.contains(&id)
    }

    /// An id that the stream has not given before.
    fn draw_id(&mut self) -> i64 {
        while self.taken(self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }
}

/// Watch id of answers that concern no single watch.
const PROGRESS_ID: i64 = -1;

/// Whether no key can lie in the range of a request. An empty key with `\0` as its end is every key.
fn is_empty(request: &WatchCreateRequest) -> bool {
    let range = KeyRange::new(&request.key, &request.range_end);
    !range.single() && range.end != [0] && range.end <= range.key
}

impl StreamHandle {
    /// Creates a watch and answers it; a refused one is answered and canceled.
    pub async fn create(&self, mut request: WatchCreateRequest) {
        if request.key.is_empty() {
            // As etcd: no key means the first one.
            request.key = bytes::Bytes::from_static(&[0]);
        }
        self.level().await;
        let Some(queue) = self.queue.upgrade() else { return };
        let Ok(permit) = queue.reserve().await else { return };
        let mut state = self.hub.0.state.lock();
        if !state.streams.contains_key(&self.stream) {
            return;
        }
        let visible = self.hub.0.view.shared().visible();
        let mut response = WatchResponse { header: header(visible), created: true, ..Default::default() };
        match state.create(self.stream, request, visible) {
            Ok(id) => response.watch_id = id,
            Err(refusal) => {
                response.watch_id = PROGRESS_ID;
                response.canceled = true;
                response.cancel_reason = refusal.reason().into();
            }
        }
        permit.send(response.into());
        if !state.unsynced.is_empty() {
            self.hub.0.behind.notify_one();
        }
    }

    /// Ends a watch and answers; an unknown id is passed over in silence.
    pub async fn cancel(&self, id: i64) {
        self.level().await;
        let Some(queue) = self.queue.upgrade() else { return };
        let Ok(permit) = queue.reserve().await else { return };
        let mut state = self.hub.0.state.lock();
        let Some(stream) = state.streams.get_mut(&self.stream) else { return };
        let number = stream.watchers.get(&id).copied();
        if number.is_none() && !stream.ended.remove(&id) {
            return;
        }
        if let Some(number) = number {
            state.remove(number);
        }
        let header = header(self.hub.0.view.shared().visible());
        permit.send(WatchResponse { header, watch_id: id, canceled: true, ..Default::default() }.into());
    }

    /// Waits until watches that are level have been given what readers can see now: as with etcd, who was answered a
    /// write is told it before what he asks of the stream then.
    async fn level(&self) {
        let visible = self.hub.0.view.shared().visible();
        if *self.hub.0.reached.borrow() < visible {
            let mut reached = self.hub.0.reached.subscribe();
            // A hub that takes longer, or has ended, is not waited for.
            let _late = tokio::time::timeout(LEVEL_MAX, reached.wait_for(|reached| *reached >= visible)).await.is_err();
        }
    }

    /// Asks for an answer when all watches of the stream have been given what readers can see now.
    pub fn progress(&self) {
        let mut state = self.hub.0.state.lock();
        let visible = self.hub.0.view.shared().visible();
        if let Some(stream) = state.streams.get_mut(&self.stream)
            && !stream.watchers.is_empty()
        {
            stream.progress = Some(visible);
        }
        state.tell_progress();
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        let mut state = self.hub.0.state.lock();
        if let Some(stream) = state.streams.remove(&self.stream) {
            for number in stream.watchers.into_values() {
                state.remove(number);
            }
        }
    }
}
