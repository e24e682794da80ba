//! Playing a script of requests and watches on one store, and what was said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::step::{Peer, Step};

/// How long an answer on a stream may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// After this long progress is asked for again: etcd passes over a request while a watch is behind.
const ASK_AGAIN: Duration = Duration::from_millis(150);
/// Watch id of what concerns a whole stream.
const STREAM: i64 = -1;

/// One act of a script.
#[derive(Clone, Debug)]
pub enum Act {
    Ask(Step),
    /// Creates a watch on a stream.
    Create(usize, WatchCreateRequest),
    /// Creates one that begins so many revisions before the newest.
    CreateBack(usize, WatchCreateRequest, i64),
    /// Cancels a watch, and waits for the answer if there is such a watch.
    Cancel(usize, i64),
    /// A request without anything in it.
    Nothing(usize),
    /// Says that the client asks nothing more.
    CloseSend(usize),
    /// Waits until every watch of a stream has been given everything. No watch of it may begin in the future.
    Drain(usize),
    /// Waits until a stream has given so many events of a watch.
    Until(usize, i64, usize),
}

/// What was said: the answer to each act, and for each watch of each stream its events in order, with what was told
/// of it between them.
#[derive(Debug, Default)]
pub struct Said {
    pub answers: Vec<String>,
    pub watches: BTreeMap<(usize, i64), Vec<String>>,
}

/// Plays a script.
pub async fn play(peer: &Peer, acts: &[Act]) -> Said {
    let mut said = Said::default();
    let mut streams: BTreeMap<usize, Stream> = BTreeMap::new();
    for act in acts {
        let answer = match act.clone() {
            Act::Ask(step) => peer.ask(step).await,
            Act::Create(stream, create) => stream_of(&mut streams, peer, stream).create(create).await,
            Act::CreateBack(stream, create, back) => {
                let start_revision = (peer.revision().await - back).max(1);
                let create = WatchCreateRequest { start_revision, ..create };
                stream_of(&mut streams, peer, stream).create(create).await
            }
            Act::Cancel(stream, id) => stream_of(&mut streams, peer, stream).cancel(id).await,
            Act::Nothing(stream) => stream_of(&mut streams, peer, stream).send(None).await,
            Act::CloseSend(stream) => stream_of(&mut streams, peer, stream).close_send(),
            Act::Drain(stream) => stream_of(&mut streams, peer, stream).drain().await,
            Act::Until(stream, id, events) => stream_of(&mut streams, peer, stream).until(id, events).await,
        };
        said.answers.push(answer);
    }
    for (number, stream) in streams {
        said.watches.extend(stream.told.into_iter().map(|(id, told)| ((number, id), told)));
    }
    said
}

fn stream_of<'a>(streams: &'a mut BTreeMap<usize, Stream>, peer: &Peer, number: usize) -> &'a mut Stream {
    streams.entry(number).or_insert_with(|| Stream::open(peer))
}

struct Stream {
    peer: Peer,
    requests: mpsc::Sender<WatchRequest>,
    /// Read all the time, for a stream that nobody reads holds up all others of its connection.
    responses: mpsc::UnboundedReceiver<WatchResponse>,
    told: BTreeMap<i64, Vec<String>>,
    events: BTreeMap<i64, usize>,
    live: BTreeSet<i64>,
    /// The revision that a watch's last whole response ended with.
    last: BTreeMap<i64, i64>,
    /// Watches in the middle of fragments.
    fragmented: BTreeSet<i64>,
}

impl Stream {
    fn open(peer: &Peer) -> Self {
        let (requests, stream) = mpsc::channel(8);
        let (read, responses) = mpsc::unbounded_channel();
        let mut client = WatchClient::new(peer.channel.clone()).max_decoding_message_size(usize::MAX);
        tokio::spawn(async move {
            // etcd answers the call itself with its first response only.
            let mut stream = client.watch(ReceiverStream::new(stream)).await.expect("a stream").into_inner();
            while let Ok(Some(response)) = stream.message().await {
                if read.send(response).is_err() {
                    return;
                }
            }
        });
        Self {
            peer: peer.clone(),
            requests,
            responses,
            told: BTreeMap::new(),
            events: BTreeMap::new(),
            live: BTreeSet::new(),
            last: BTreeMap::new(),
            fragmented: BTreeSet::new(),
        }
    }

    async fn send(&mut self, request_union: Option<RequestUnion>) -> String {
        self.requests.send(WatchRequest { request_union }).await.unwrap();
        String::new()
    }

    fn close_send(&mut self) -> String {
        self.requests = mpsc::channel(1).0;
        String::new()
    }

    async fn create(&mut self, create: WatchCreateRequest) -> String {
        self.send(Some(RequestUnion::CreateRequest(create))).await;
        loop {
            let response = self.next().await;
            if response.created {
                if !response.canceled {
                    self.live.insert(response.watch_id);
                    // An id may be chosen again once its watch is canceled.
                    self.last.remove(&response.watch_id);
                    self.fragmented.remove(&response.watch_id);
                }
                return format!("{response:?}");
            }
        }
    }

    async fn cancel(&mut self, watch_id: i64) -> String {
        self.send(Some(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }))).await;
        if !self.live.contains(&watch_id) {
            return String::new();
        }
        loop {
            let response = self.next().await;
            if response.canceled && response.watch_id == watch_id && response.compact_revision == 0 {
                self.live.remove(&watch_id);
                return format!("{response:?}");
            }
        }
    }

    async fn drain(&mut self) -> String {
        let begun = tokio::time::Instant::now();
        while !self.live.is_empty() {
            assert!(begun.elapsed() < ANSWER_MAX, "the watches {:?} do not become level", self.live);
            self.send(Some(RequestUnion::ProgressRequest(WatchProgressRequest {}))).await;
            let asked = tokio::time::Instant::now();
            while let Ok(response) = tokio::time::timeout_at(asked + ASK_AGAIN, self.next()).await {
                if response.watch_id == STREAM && !response.created {
                    // An earlier request may be answered, too.
                    return String::new();
                }
                if response.compact_revision > 0 {
                    // As long as the client does not cancel it, etcd counts it as a watch that is behind.
                    self.cancel(response.watch_id).await;
                }
            }
        }
        String::new()
    }

    async fn until(&mut self, id: i64, events: usize) -> String {
        while self.events.get(&id).is_none_or(|count| *count < events) {
            self.next().await;
        }
        String::new()
    }

    /// The next response, noted down.
    async fn next(&mut self) -> WatchResponse {
        let next = tokio::time::timeout(ANSWER_MAX, self.responses.recv());
        let mut response = next.await.expect("an answer in time").expect("the stream goes on");
        self.peer.neutral(&mut response.header);
        self.check(&response);
        let told = self.told.entry(response.watch_id).or_default();
        told.extend(response.events.iter().map(|event| format!("{event:?}")));
        *self.events.entry(response.watch_id).or_default() += response.events.len();
        // How often progress is told is not fixed.
        if response.events.is_empty() && response.watch_id != STREAM {
            told.push(format!("{response:?}"));
        }
        response
    }

    /// Whole revisions, in order, none twice, none beyond what the header tells; a revision is split in fragments only.
    fn check(&mut self, response: &WatchResponse) {
        let id = response.watch_id;
        let Some(end) = response.events.last().map(revision) else { return };
        let mut before = self.last.get(&id).copied().unwrap_or_default();
        let mut within = self.fragmented.contains(&id);
        for event in response.events.iter().map(revision) {
            assert!(event > before || (event == before && within), "{response:?}");
            (before, within) = (event, true);
        }
        assert!(response.header.as_ref().unwrap().revision >= end, "{response:?}");
        self.last.insert(id, end);
        if response.fragment {
            self.fragmented.insert(id);
        } else {
            self.fragmented.remove(&id);
        }
    }
}

fn revision(event: &proto::mvccpb::Event) -> i64 {
    event.kv.as_ref().unwrap().mod_revision
}
