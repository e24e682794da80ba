//! Watches that record all that they hear, and go on after each break where they stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::history::{Heard, Recorder, Watch};
use crate::store_client::{Identity, StoreClient};

/// How often a watch asks up to where it has been told all.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(100);
/// A stream on which nothing is heard for so long, though progress was asked for, is dead.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// What one watch asks for, and of whom.
#[derive(Clone)]
pub struct Interest {
    pub client: usize,
    pub key: &'static str,
    pub end: &'static str,
    pub prev_kv: bool,
    pub no_put: bool,
    pub no_delete: bool,
    pub fragment: bool,
    /// The members' names, URLs and certificates.
    pub members: Vec<(String, String, Identity)>,
    /// Stays with the member that it has, instead of moving on after a break.
    pub stays: bool,
}

/// A running watch.
pub struct Watcher {
    pub name: String,
    /// Up to which revision it has been told everything.
    told: Arc<AtomicI64>,
    task: tokio::task::JoinHandle<()>,
}

impl Watcher {
    /// Watches from `start` on, until `stop`.
    pub fn begin(interest: Interest, start: i64, recorder: Arc<Recorder>, stop: watch::Receiver<bool>) -> Watcher {
        let told = Arc::new(AtomicI64::new(start - 1));
        let first = interest.client % interest.members.len();
        let name = format!("watch {} of {:?} at {}", interest.client, interest.key, interest.members[first].0);
        let task = tokio::spawn(follow(interest, start, recorder, told.clone(), stop));
        Watcher { name, told, task }
    }

    pub fn told(&self) -> i64 {
        self.told.load(Ordering::Relaxed)
    }

    /// Waits until it has recorded all that it heard.
    pub async fn ended(self) {
        self.task.await.expect("a watch does not panic");
    }
}

async fn follow(
    interest: Interest,
    start: i64,
    recorder: Arc<Recorder>,
    told: Arc<AtomicI64>,
    mut stop: watch::Receiver<bool>,
) {
    let mut member = interest.client % interest.members.len();
    let mut next = start;
    while !*stop.borrow() {
        let (name, url, identity) = &interest.members[member];
        let record = Watch {
            client: interest.client,
            member: name.clone(),
            key: interest.key.into(),
            end: interest.end.into(),
            start: next,
            prev_kv: interest.prev_kv,
            no_put: interest.no_put,
            no_delete: interest.no_delete,
            responses: Vec::new(),
        };
        let mut stream = Stream { record, next, told: told.clone() };
        let client = StoreClient::new(url, identity);
        tokio::select! {
            () = stream.run(client, &interest) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        next = stream.next;
        if !stream.record.responses.is_empty() {
            recorder.watch(&stream.record);
        }
        if !interest.stays {
            member = (member + 1) % interest.members.len();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One stream of one watch.
struct Stream {
    record: Watch,
    /// The revision from which another stream must go on.
    next: i64,
    told: Arc<AtomicI64>,
}

impl Stream {
    /// Listens until the stream breaks.
    async fn run(&mut self, client: StoreClient, interest: &Interest) {
        let (requests, outgoing) = mpsc::channel(8);
        let send = |request| {
            // A stream that takes no requests is dead, which its answers will tell.
            drop(requests.try_send(WatchRequest { request_union: Some(request) }));
        };
        send(RequestUnion::CreateRequest(create(&self.record, interest.fragment)));
        let mut watches = client.watch();
        let opened = watches.watch(ReceiverStream::new(outgoing));
        let Ok(Ok(opened)) = tokio::time::timeout(SILENCE_MAX, opened).await else { return };
        let mut answers: Streaming<WatchResponse> = opened.into_inner();
        let mut progress = tokio::time::interval(PROGRESS_EVERY);
        let mut heard_at = tokio::time::Instant::now();
        while heard_at.elapsed() < SILENCE_MAX {
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        heard_at = tokio::time::Instant::now();
                        if self.take(&answer) {
                            return;
                        }
                    }
                    _ => return,
                },
                _ = progress.tick() => send(RequestUnion::ProgressRequest(WatchProgressRequest {})),
            }
        }
    }

    /// Records one answer; true where it is the last.
    fn take(&mut self, answer: &WatchResponse) -> bool {
        let heard = Heard::from(answer);
        if let Some(last) = heard.events.last() {
            // A message of which a part is missing must be heard again.
            self.next = last.kv.modified + i64::from(!heard.fragment);
        } else if !heard.created && !heard.canceled {
            self.next = self.next.max(heard.revision + 1);
        }
        if heard.compact > 0 {
            self.next = self.next.max(heard.compact);
        }
        self.told.fetch_max(self.next - 1, Ordering::Relaxed);
        let ends = heard.canceled;
        self.record.responses.push(heard);
        ends
    }
}

fn create(record: &Watch, fragment: bool) -> WatchCreateRequest {
    let mut filters = Vec::new();
    if record.no_put {
        filters.push(FilterType::Noput.into());
    }
    if record.no_delete {
        filters.push(FilterType::Nodelete.into());
    }
    WatchCreateRequest {
        key: record.key.clone().into(),
        range_end: record.end.clone().into(),
        start_revision: record.start,
        progress_notify: true,
        filters,
        prev_kv: record.prev_kv,
        fragment,
        ..Default::default()
    }
}
