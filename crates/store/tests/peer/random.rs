//! Scripts drawn from a seed: few keys, few leases and few values, so that requests meet each other.

use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::play::Act;
use crate::script::{compare, delete, get, op, put};
use crate::step::Step;

/// Streams that watches are spread over.
const STREAMS: usize = 2;
/// Watches of a stream at a time.
const WATCHES_MAX: usize = 8;

/// What a script is drawn from.
pub struct Draw {
    random: StdRng,
    /// About the newest revision.
    revision: i64,
    compacted: i64,
    /// Live watches of each stream, and the next id that the store will give.
    watches: [(Vec<i64>, i64); STREAMS],
}

/// A script of about `len` acts.
pub fn script(seed: u64, len: usize) -> Vec<Act> {
    let random = StdRng::seed_from_u64(seed);
    let mut draw = Draw { random, revision: 1, compacted: 0, watches: Default::default() };
    let mut acts = Vec::new();
    for stream in 0..STREAMS {
        acts.push(draw.create(stream, WatchCreateRequest { start_revision: 0, ..everything() }));
    }
    while acts.len() < len {
        draw.act(&mut acts);
    }
    acts.extend((0..STREAMS).map(Act::Drain));
    acts.push(Act::Ask(Step::Range(RangeRequest { range_end: "\0".into(), ..get("\0") })));
    acts.push(Act::Ask(Step::Leases));
    acts
}

fn everything() -> WatchCreateRequest {
    WatchCreateRequest { key: "\0".into(), range_end: "\0".into(), prev_kv: true, ..Default::default() }
}

impl Draw {
    fn upto(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }

    /// No more than twelve keys: beyond that etcd's sort is not stable.
    fn key(&mut self) -> String {
        let keys = ["a", "a/1", "a/2", "a0", "b", "b/x", "b/y", "c", "\0", "\u{7f}"];
        match self.upto(40) {
            0 => String::new(),
            _ => keys[self.upto(keys.len())].to_owned(),
        }
    }

    fn end(&mut self) -> String {
        match self.upto(6) {
            0..3 => String::new(),
            3 => "\0".to_owned(),
            _ => self.key(),
        }
    }

    fn value(&mut self) -> String {
        ["", "1", "2", "long enough to tell"][self.upto(4)].to_owned()
    }

    fn lease(&mut self) -> i64 {
        if self.chance(70) { 0 } else { self.random.random_range(1..=4) }
    }

    /// A revision, at times one that is gone or still to come.
    fn at(&mut self) -> i64 {
        if self.chance(60) { 0 } else { self.random.random_range(-1..=self.revision + 2) }
    }

    fn act(&mut self, acts: &mut Vec<Act>) {
        let step = match self.upto(100) {
            0..22 => Step::Range(self.range()),
            22..45 => self.wrote(|draw| Step::Put(draw.put())),
            45..55 => self.wrote(|draw| Step::Delete(draw.delete())),
            55..72 => self.wrote(|draw| Step::Txn(draw.txn(3))),
            72..74 => return self.compact(acts),
            74..78 => Step::Grant(LeaseGrantRequest { id: self.random.random_range(1..=4), ttl: 600 }),
            78..81 => self.wrote(|draw| Step::Revoke(LeaseRevokeRequest { id: draw.random.random_range(1..=4) })),
            81..84 => Step::TimeToLive(LeaseTimeToLiveRequest { id: self.random.random_range(1..=4), keys: true }),
            84..86 => Step::KeepAlive(vec![1, 3]),
            86..88 => Step::HashKv(HashKvRequest { revision: self.at() }),
            88..96 => return self.watch(acts),
            _ => return self.cancel(acts),
        };
        acts.push(Act::Ask(step));
    }

    fn wrote(&mut self, make: impl FnOnce(&mut Self) -> Step) -> Step {
        let step = make(self);
        self.revision += 1;
        step
    }

    fn range(&mut self) -> RangeRequest {
        let bound = |draw: &mut Self| if draw.chance(85) { 0 } else { draw.random.random_range(0..=draw.revision) };
        RangeRequest {
            range_end: self.end().into(),
            limit: if self.chance(60) { 0 } else { self.random.random_range(-1..5) },
            revision: self.at(),
            sort_order: self.random.random_range(0..3),
            sort_target: self.random.random_range(0..5),
            serializable: self.chance(20),
            keys_only: self.chance(10),
            count_only: self.chance(10),
            min_mod_revision: bound(self),
            max_mod_revision: bound(self),
            min_create_revision: bound(self),
            max_create_revision: bound(self),
            ..get(&self.key())
        }
    }

    fn put(&mut self) -> PutRequest {
        let (ignore_value, ignore_lease) = (self.chance(8), self.chance(8));
        PutRequest {
            lease: self.lease(),
            prev_kv: self.chance(40),
            ignore_value,
            ignore_lease,
            ..if ignore_value && self.chance(80) { put(&self.key(), "") } else { put(&self.key(), &self.value()) }
        }
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        DeleteRangeRequest { prev_kv: self.chance(60), ..delete(&self.key(), &self.end()) }
    }

    /// One with an end: an accepted difference is about those that have none.
    fn bounded_delete(&mut self) -> DeleteRangeRequest {
        match self.delete() {
            open if open.range_end[..] == [0] => DeleteRangeRequest { range_end: Default::default(), ..open },
            bounded => bounded,
        }
    }

    fn txn(&mut self, depth: usize) -> TxnRequest {
        let compares = self.upto(3);
        let compare = (0..compares).map(|_| self.compare()).collect();
        TxnRequest { compare, success: self.ops(depth), failure: self.ops(depth) }
    }

    fn compare(&mut self) -> Compare {
        use compare::TargetUnion::*;
        let (result, target) = (self.random.random_range(0..4), self.random.random_range(0..5));
        let number = self.random.random_range(0..=self.revision);
        // At times one that does not go with the target.
        let union = match if self.chance(90) { target } else { self.random.random_range(0..5) } {
            0 => Version(number % 4),
            1 => CreateRevision(number),
            2 => ModRevision(number),
            3 => Value(self.value().into()),
            _ => Lease(number % 5),
        };
        let end = if self.chance(80) { String::new() } else { self.end() };
        Compare { range_end: end.into(), ..compare(&self.key(), result, target, union) }
    }

    fn ops(&mut self, depth: usize) -> Vec<RequestOp> {
        let count = self.upto(4);
        let mut ops = Vec::new();
        for _ in 0..count {
            ops.push(op(match self.upto(12) {
                0..4 => Op::RequestRange(self.range()),
                4..8 => Op::RequestPut(self.put()),
                8..10 => Op::RequestDeleteRange(self.bounded_delete()),
                _ if depth > 1 => Op::RequestTxn(self.txn(depth - 1)),
                _ => Op::RequestPut(self.put()),
            }));
        }
        ops
    }

    /// A compaction, after every watch has been given what would go: whether an earlier value is told with an event is
    /// decided when it is sent.
    fn compact(&mut self, acts: &mut Vec<Act>) {
        acts.extend((0..STREAMS).map(Act::Drain));
        // Not 0, which etcd takes as a compaction where there was none before.
        let revision = self.random.random_range(self.compacted.max(1)..=self.revision + 1);
        // By and large: the true revision is a little lower, as not every write is one.
        self.compacted = self.compacted.max(revision.min(self.revision * 3 / 4));
        acts.push(Act::Ask(Step::Compact(CompactionRequest { revision, physical: true })));
    }

    fn create(&mut self, stream: usize, request: WatchCreateRequest) -> Act {
        let (live, next) = &mut self.watches[stream];
        live.push(*next);
        *next += 1;
        Act::Create(stream, request)
    }

    fn watch(&mut self, acts: &mut Vec<Act>) {
        let stream = self.upto(STREAMS);
        if self.watches[stream].0.len() >= WATCHES_MAX {
            return;
        }
        let filters = match self.upto(5) {
            0 => vec![0],
            1 => vec![1],
            2 => vec![0, 1],
            _ => vec![],
        };
        // Keys and ends that make a range: a refused watch would take no id.
        let (key, range_end) =
            [("a", ""), ("a/1", ""), ("", "\0"), ("a/", "a0"), ("b", "c"), ("a0", "\0")][self.upto(6)];
        let request = WatchCreateRequest {
            key: key.into(),
            range_end: range_end.into(),
            prev_kv: self.chance(50),
            fragment: self.chance(30),
            filters,
            progress_notify: self.chance(20),
            ..Default::default()
        };
        let act = match self.create(stream, request) {
            Act::Create(stream, request) if self.chance(50) => {
                Act::CreateBack(stream, request, self.random.random_range(0..=self.revision))
            }
            act => act,
        };
        acts.push(act);
        // It may turn out to be compacted, and is then canceled by the drain, before anybody else does.
        acts.push(Act::Drain(stream));
    }

    fn cancel(&mut self, acts: &mut Vec<Act>) {
        let stream = self.upto(STREAMS);
        // The first one stays, so that the stream has something to be level with.
        if self.watches[stream].0.len() < 2 {
            return acts.push(Act::Cancel(stream, 1_000));
        }
        let place = 1 + self.upto(self.watches[stream].0.len() - 1);
        let id = self.watches[stream].0.remove(place);
        acts.push(Act::Cancel(stream, id));
    }
}
