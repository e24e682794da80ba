//! Clients that write and read under faults, and record what they were told. Each write has a value of its own, so that
//! one whose answer never came is found in the log of events, or had no effect.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::{
    self as pb, CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest, request_op,
};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::history::{Action, Compare, Kv, Operation, Outcome, Recorder, Request, Response};
use crate::members::Members;
use crate::store_client::{Identity, StoreClient, limited};
use crate::watching::{Interest, Watcher};

/// Keys that all clients fight for.
const KEYS: u64 = 10;
/// History that compaction leaves.
const KEEP_REVISIONS: i64 = 2000;
const COMPACT_EVERY: Duration = Duration::from_secs(3);
/// Old revisions that are read.
const LOOK_BACK: u64 = 200;
/// How long all watches may take to hear of the last write, once all members are well.
const HEARD_WITHIN: Duration = Duration::from_secs(90);
/// Longer than any test.
const LEASE_SECONDS: i64 = 36_000;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Clients of each member; two more move on after an error.
    pub clients_per_member: usize,
    /// Operations a second that all clients together do not exceed.
    pub rate: u64,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile { clients_per_member: 2, rate: 500 }
    }
}

/// Running clients and watches.
pub struct Traffic {
    runtime: Runtime,
    recorder: Arc<Recorder>,
    profile: Profile,
    members: Vec<(String, String, Identity)>,
    watchers: Vec<Watcher>,
    clients: Vec<Client>,
    running: Vec<JoinHandle<Client>>,
    halt: watch::Sender<bool>,
    end: watch::Sender<bool>,
}

impl Traffic {
    /// Reads what is there and begins to watch; `resume` starts the clients.
    pub fn prepare(members: &Members, profile: Profile) -> Traffic {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let recorder = Arc::new(Recorder::new(&members.folder().join("history.jsonl")));
        let count = members.count();
        let places: Vec<(String, String, Identity)> = (0..count)
            .map(|index| (members.name(index).to_owned(), members.client_url(index), members.identity()))
            .collect();
        let inside = runtime.enter();
        let begin = runtime.block_on(everything(&StoreClient::new(&places[0].1, &places[0].2)));
        recorder.start(begin.0, &begin.1);
        let (end, ended) = watch::channel(false);
        let watchers = interests(&places)
            .into_iter()
            .map(|interest| Watcher::begin(interest, begin.0 + 1, recorder.clone(), ended.clone()))
            .collect();
        let total = count * profile.clients_per_member + 2;
        let clients = (0..total).map(|number| Client::new(number, number >= total - 2, &places)).collect();
        let (halt, _) = watch::channel(true);
        drop(inside);
        Traffic { runtime, recorder, profile, members: places, watchers, clients, running: Vec::new(), halt, end }
    }

    /// Starts the clients, or lets them go on.
    pub fn resume(&mut self) {
        self.halt.send_replace(false);
        let pause = Duration::from_micros(1_000_000 * self.clients.len() as u64 / self.profile.rate);
        for client in self.clients.drain(..) {
            let (recorder, halt) = (self.recorder.clone(), self.halt.subscribe());
            self.running.push(self.runtime.spawn(client.run(recorder, halt, pause)));
        }
    }

    /// Lets every client finish what it does: a moment of rest, at which the checker may cut the history.
    pub fn pause(&mut self) {
        self.halt.send_replace(true);
        for client in self.running.drain(..) {
            self.clients.push(self.runtime.block_on(client).expect("a client does not panic"));
        }
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.recorder.acknowledged()
    }

    /// Operations so far whose outcome nobody knows.
    pub fn unknown(&self) -> u64 {
        self.recorder.unknown()
    }

    /// Ends all clients, waits until every watch has heard of the last write, and completes the history.
    /// All members must be well.
    #[track_caller]
    pub fn finish(mut self) -> PathBuf {
        self.pause();
        let mut last = {
            let _inside = self.runtime.enter();
            Client::new(self.clients.len(), true, &self.members)
        };
        let recorder = self.recorder.clone();
        let revision = self.runtime.block_on(async {
            let begun = tokio::time::Instant::now();
            loop {
                let request = Request { success: vec![Action::put("h/end", &last.value(), 0)], ..Default::default() };
                if let Some(response) = last.send(&recorder, request).await {
                    return response.revision;
                }
                assert!(begun.elapsed() < HEARD_WITHIN, "no write was acknowledged in {HEARD_WITHIN:?}");
            }
        });
        let begun = std::time::Instant::now();
        for watcher in &self.watchers {
            while watcher.told() < revision {
                let (name, told) = (&watcher.name, watcher.told());
                assert!(begun.elapsed() < HEARD_WITHIN, "{name} was told up to revision {told}, not {revision}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self.end.send_replace(true);
        for watcher in self.watchers {
            self.runtime.block_on(watcher.ended());
        }
        self.recorder.close().to_owned()
    }
}

/// The whole content and its revision.
async fn everything(store: &StoreClient) -> (i64, Vec<Kv>) {
    let range = RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
    let mut kv = store.kv();
    let answer = limited(kv.range(range)).await.expect("a healthy member answers");
    (answer.header.map_or(0, |header| header.revision), answer.kvs.iter().map(Kv::from).collect())
}

/// Each member is watched whole; the others move about.
fn interests(members: &[(String, String, Identity)]) -> Vec<Interest> {
    let whole = Interest {
        client: 0,
        key: "\0",
        end: "\0",
        prev_kv: true,
        no_put: false,
        no_delete: false,
        fragment: false,
        members: members.to_vec(),
        stays: true,
    };
    let mut all: Vec<Interest> = (0..members.len()).map(|client| Interest { client, ..whole.clone() }).collect();
    let roams = Interest { stays: false, ..whole };
    let next = all.len();
    all.push(Interest { client: next, key: "h/k", end: "h/l", no_put: true, ..roams.clone() });
    all.push(Interest { client: next + 1, key: "h/k", end: "h/l", no_delete: true, prev_kv: false, ..roams.clone() });
    all.push(Interest { client: next + 2, key: "h/k3", end: "", fragment: true, ..roams });
    all
}

/// One client. It does one thing after the other.
struct Client {
    number: usize,
    member: usize,
    roams: bool,
    members: Vec<(String, StoreClient)>,
    dice: u64,
    values: u64,
    /// Mod revisions last seen.
    seen: BTreeMap<String, i64>,
    revision: i64,
    compacted: tokio::time::Instant,
}

impl Client {
    /// Must be made in a runtime.
    fn new(number: usize, roams: bool, members: &[(String, String, Identity)]) -> Client {
        let members: Vec<_> =
            members.iter().map(|(name, url, identity)| (name.clone(), StoreClient::new(url, identity))).collect();
        Client {
            number,
            member: number % members.len(),
            roams,
            members,
            dice: number as u64 * 7919 + 1,
            values: 0,
            seen: BTreeMap::new(),
            revision: 0,
            compacted: tokio::time::Instant::now(),
        }
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below
    }

    /// A value that nobody else writes.
    fn value(&mut self) -> String {
        self.values += 1;
        format!("{}-{}", self.number, self.values)
    }

    async fn run(mut self, recorder: Arc<Recorder>, halt: watch::Receiver<bool>, pause: Duration) -> Client {
        while !*halt.borrow() {
            let next = tokio::time::Instant::now() + pause;
            if self.number == 0 && self.compacted.elapsed() > COMPACT_EVERY && self.revision > KEEP_REVISIONS {
                self.compacted = tokio::time::Instant::now();
                let compact = self.revision - KEEP_REVISIONS;
                self.send(&recorder, Request { compact, ..Default::default() }).await;
            } else if self.roll(100) < 4 {
                self.lease(&recorder).await;
            } else {
                let request = self.draw();
                self.send(&recorder, request).await;
            }
            tokio::time::sleep_until(next).await;
        }
        self
    }

    /// A put under a lease, and the lease's end.
    async fn lease(&mut self, recorder: &Recorder) {
        let id = (self.number as i64 + 1) << 40 | i64::from(self.values as u32 + 1);
        let grant = LeaseGrantRequest { id, ttl: LEASE_SECONDS };
        let mut leases = self.members[self.member].1.lease();
        if limited(leases.lease_grant(grant)).await.is_err() {
            return;
        }
        let key = format!("h/l{}", self.number);
        let put = Action::put(&key, &self.value(), id);
        self.send(recorder, Request { success: vec![put], ..Default::default() }).await;
        self.send(recorder, Request { revoke: id, ..Default::default() }).await;
    }

    fn draw(&mut self) -> Request {
        let key = format!("h/k{}", self.roll(KEYS));
        let value = self.value();
        let marker = format!("h/m{}", self.number);
        match self.roll(100) {
            0..45 => Request { success: vec![Action::put(&key, &value, 0)], ..Default::default() },
            45..58 => {
                let seen = self.seen.get(&key).copied().unwrap_or(0);
                Request {
                    compare: Some(Compare { key: key.clone(), modified: seen }),
                    success: vec![Action::put(&key, &value, 0), Action::range("h/k", "h/l")],
                    failure: vec![Action::range(&key, "")],
                    ..Default::default()
                }
            }
            // The marker tells of a deletion whose answer never came.
            58..68 => {
                Request { success: vec![Action::put(&marker, &value, 0), Action::delete(&key)], ..Default::default() }
            }
            68..84 => Request { success: vec![Action::range(&key, "")], ..Default::default() },
            84..90 => Request { success: vec![Action::range("h/", "h0")], ..Default::default() },
            90..96 => Request { success: vec![Action::range("h/k", "h/l")], serializable: true, ..Default::default() },
            _ => {
                let at = (self.revision - self.roll(LOOK_BACK) as i64).max(1);
                Request { success: vec![Action::range("h/k", "h/l")], at, ..Default::default() }
            }
        }
    }

    /// Sends one request to one member and records what came of it.
    async fn send(&mut self, recorder: &Recorder, request: Request) -> Option<Response> {
        let (name, store) = &self.members[self.member];
        let call = recorder.now();
        let answer = perform(store, &request).await;
        let ended = recorder.now();
        let response = answer.as_ref().ok();
        let refused = answer.as_ref().err().and_then(refusal);
        let operation =
            Operation { client: self.number, member: name, call, ended, request: &request, response, refused };
        recorder.operation(&operation);
        if answer.is_err() && refused.is_none() && self.roams {
            self.member = (self.member + 1) % self.members.len();
        }
        let response = answer.ok()?;
        self.revision = self.revision.max(response.revision);
        for kv in response.results.iter().flat_map(|result| &result.kvs) {
            self.seen.insert(kv.key.clone(), kv.modified);
        }
        Some(response)
    }
}

/// Words of etcd by which a store says that a call had no effect. Whatever else goes wrong leaves it unknown.
fn refusal(status: &Status) -> Option<&'static str> {
    const WORDS: [&str; 4] = [
        "etcdserver: mvcc: required revision has been compacted",
        "etcdserver: mvcc: required revision is a future revision",
        "etcdserver: requested lease not found",
        "etcdserver: duplicate key given in txn request",
    ];
    WORDS.into_iter().find(|words| status.message() == *words)
}

async fn perform(store: &StoreClient, request: &Request) -> Result<Response, Status> {
    let revision = |header: Option<pb::ResponseHeader>| header.map_or(0, |header| header.revision);
    if request.compact > 0 {
        let compaction = CompactionRequest { revision: request.compact, physical: false };
        let answer = limited(store.kv().compact(compaction)).await?;
        return Ok(Response { revision: revision(answer.header), succeeded: true, results: Vec::new() });
    }
    if request.revoke > 0 {
        let answer = limited(store.lease().lease_revoke(LeaseRevokeRequest { id: request.revoke })).await?;
        return Ok(Response { revision: revision(answer.header), succeeded: true, results: Vec::new() });
    }
    let mut kv = store.kv();
    match &request.success[..] {
        [action] if request.compare.is_none() && action.kind == "range" => {
            let answer = limited(kv.range(range(action, request))).await?;
            let outcome = Outcome { kvs: answer.kvs.iter().map(Kv::from).collect(), deleted: 0 };
            Ok(Response { revision: revision(answer.header), succeeded: true, results: vec![outcome] })
        }
        [action] if request.compare.is_none() && action.kind == "put" => {
            let answer = limited(kv.put(put(action))).await?;
            Ok(Response { revision: revision(answer.header), succeeded: true, results: vec![Outcome::default()] })
        }
        _ => {
            let answer = limited(kv.txn(transaction(request))).await?;
            let results = answer.responses.iter().map(Outcome::of).collect();
            Ok(Response { revision: revision(answer.header), succeeded: answer.succeeded, results })
        }
    }
}

fn range(action: &Action, request: &Request) -> RangeRequest {
    RangeRequest {
        key: action.key.clone().into(),
        range_end: action.end.clone().into(),
        serializable: request.serializable,
        revision: request.at,
        ..Default::default()
    }
}

fn put(action: &Action) -> PutRequest {
    PutRequest {
        key: action.key.clone().into(),
        value: action.value.clone().into(),
        lease: action.lease,
        ..Default::default()
    }
}

fn transaction(request: &Request) -> TxnRequest {
    let compare = |compare: &Compare| pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: compare.key.clone().into(),
        target_union: Some(TargetUnion::ModRevision(compare.modified)),
        ..Default::default()
    };
    let op = |action: &Action| RequestOp {
        request: Some(match action.kind {
            "put" => request_op::Request::RequestPut(put(action)),
            "delete" => request_op::Request::RequestDeleteRange(DeleteRangeRequest {
                key: action.key.clone().into(),
                ..Default::default()
            }),
            _ => request_op::Request::RequestRange(range(action, request)),
        }),
    };
    TxnRequest {
        compare: request.compare.iter().map(compare).collect(),
        success: request.success.iter().map(op).collect(),
        failure: request.failure.iter().map(op).collect(),
    }
}
