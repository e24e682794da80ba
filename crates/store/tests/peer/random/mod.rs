//! Scripts drawn from a seed: few keys, few leases and few values, so that requests meet each other. Every second one
//! has many keys.

mod others;
mod watches;

use bytes::Bytes;
use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::play::Act;
use crate::script::op;
use crate::step::Step;
use watches::{FUTURE, STREAMS, Watches};

/// Keys where there are few. In the other scripts there are some of the second list besides, by number.
const KEYS: [&[u8]; 11] = [b"a", b"a/1", b"a/2", b"a0", b"b", b"b/x", b"b/y", b"c", b"\0", b"\x7f", b"\xff\xfe"];
const MANY: usize = 70;

/// What a script is drawn from.
pub struct Draw {
    random: StdRng,
    /// About the newest revision.
    revision: i64,
    compacted: i64,
    many: bool,
    /// Whether the transaction may delete to the end of all keys. Then it may not keep values or leases of keys, for
    /// etcd ends its process where such a key is gone.
    open: bool,
    watches: [Watches; STREAMS],
}

/// A script of about `len` acts.
pub fn script(seed: u64, len: usize) -> Vec<Act> {
    let random = StdRng::seed_from_u64(seed);
    let many = seed % 2 == 1;
    let mut draw = Draw { random, revision: 1, compacted: 0, many, open: false, watches: Default::default() };
    let mut acts = draw.first_watches();
    while acts.len() < len {
        draw.act(&mut acts);
    }
    acts.extend([1, 2].map(|action| {
        Act::Ask(Step::Alarm(AlarmRequest {
            action: 2,
            member_id: if action == 1 { crate::step::OWN } else { 12 },
            alarm: 1,
        }))
    }));
    // Until no watch begins in the future any more.
    acts.extend((0..watches::FUTURE_MAX).map(|_| Act::Ask(Step::Put(put(b"a", b"last")))));
    acts.extend((0..STREAMS).map(Act::Drain));
    for sort_target in 0..5 {
        for sort_order in 0..3 {
            let all = RangeRequest { range_end: vec![0].into(), sort_target, sort_order, ..get(&[0]) };
            acts.push(Act::Ask(Step::Range(all)));
        }
    }
    acts.push(Act::Ask(Step::Leases));
    acts
}

fn bytes(from: &[u8]) -> Bytes {
    Bytes::copy_from_slice(from)
}

fn get(key: &[u8]) -> RangeRequest {
    RangeRequest { key: bytes(key), ..Default::default() }
}

fn put(key: &[u8], value: &[u8]) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..Default::default() }
}

impl Draw {
    fn upto(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.upto(from.len())].clone()
    }

    fn key(&mut self) -> Bytes {
        if self.chance(2) {
            return Bytes::new();
        }
        if self.many && self.chance(80) { format!("m/{:02}", self.upto(MANY)).into() } else { bytes(self.pick(&KEYS)) }
    }

    fn end(&mut self) -> Bytes {
        match self.upto(6) {
            0..3 => Bytes::new(),
            3 => bytes(b"\0"),
            4 if self.many => bytes(b"n"),
            _ => self.key(),
        }
    }

    fn value(&mut self) -> Bytes {
        let values: [&[u8]; 6] = [b"", b"1", b"2", b"10", b"long enough to tell", b"\xff\0\x80"];
        match self.upto(300) {
            0 => vec![b'x'; 1_600_000].into(),
            1 => vec![b'x'; 2_200_000].into(),
            2..6 => vec![b'y'; 3_000].into(),
            _ => bytes(self.pick(&values)),
        }
    }

    fn lease(&mut self) -> i64 {
        match self.upto(100) {
            0..65 => 0,
            65..97 => self.lease_id(),
            _ => self.pick(&[404, i64::MIN, i64::MAX]),
        }
    }

    fn lease_id(&mut self) -> i64 {
        self.pick(&[1, 2, 3, 4, 0x1f, -5])
    }

    /// A revision, at times one that is gone or still to come.
    fn at(&mut self) -> i64 {
        match self.upto(100) {
            0..60 => 0,
            60..97 => self.random.random_range(-1..=self.revision + 2),
            _ => self.pick(&[i64::MIN, -2, 99_999, i64::MAX]),
        }
    }

    /// A number of an enumeration, at times of none.
    fn choice(&mut self, end: i32) -> i32 {
        if self.chance(2) { self.pick(&[end, 99, -1]) } else { self.random.random_range(0..end) }
    }

    fn act(&mut self, acts: &mut Vec<Act>) {
        let step = match self.upto(100) {
            0..22 => Step::Range(self.range()),
            22..42 => self.wrote(|draw| Step::Put(draw.put())),
            42..50 => self.wrote(|draw| Step::Delete(draw.delete())),
            50..66 => self.wrote(Self::transaction),
            66..68 => return self.compact(acts),
            68..77 => return self.leasing(acts),
            77..79 => Step::HashKv(HashKvRequest { revision: self.hashed() }),
            79..82 => self.owning(),
            82..86 => self.administering(),
            86..95 => return self.watch(acts),
            _ => return self.cancel(acts),
        };
        acts.push(Act::Ask(step));
    }

    fn transaction(&mut self) -> Step {
        self.open = self.chance(30);
        let txn = self.txn(3);
        self.open = true;
        Step::Txn(txn)
    }

    fn wrote(&mut self, make: impl FnOnce(&mut Self) -> Step) -> Step {
        let step = make(self);
        self.revision += 1;
        step
    }

    fn range(&mut self) -> RangeRequest {
        let bound = |draw: &mut Self| if draw.chance(85) { 0 } else { draw.random.random_range(-1..=draw.revision) };
        RangeRequest {
            range_end: self.end(),
            limit: match self.upto(50) {
                0..28 => 0,
                28 => self.pick(&[i64::MIN, i64::MAX]),
                _ => self.random.random_range(-1..8),
            },
            revision: self.at(),
            sort_order: self.choice(3),
            sort_target: self.choice(5),
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
        let (lease, key) = (self.lease(), self.key());
        let value = if ignore_value && self.chance(80) { Bytes::new() } else { self.value() };
        let lease = if ignore_lease && self.chance(80) { 0 } else { lease };
        PutRequest { lease, prev_kv: self.chance(40), ignore_value, ignore_lease, key, value }
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        // Mostly of little, so that something is left.
        let range_end = if self.chance(60) { Bytes::new() } else { self.end() };
        DeleteRangeRequest { prev_kv: self.chance(60), key: self.key(), range_end }
    }

    fn put_op(&mut self) -> Op {
        let put = self.put();
        let keeps = !self.open;
        Op::RequestPut(PutRequest {
            ignore_value: put.ignore_value && keeps,
            ignore_lease: put.ignore_lease && keeps,
            ..put
        })
    }

    fn delete_op(&mut self) -> Op {
        let delete = self.delete();
        let bounded = delete.range_end[..] != [0] || self.open;
        Op::RequestDeleteRange(if bounded { delete } else { DeleteRangeRequest { range_end: Bytes::new(), ..delete } })
    }

    fn txn(&mut self, depth: usize) -> TxnRequest {
        let compares = self.upto(4);
        let mut compare: Vec<Compare> = (0..compares).map(|_| self.compare()).collect();
        let mut success = self.ops(depth);
        if self.chance(1) {
            success = (0..self.random.random_range(127..130)).map(|_| op(Op::RequestRange(get(b"a")))).collect();
        }
        if self.chance(1) {
            compare = (0..self.random.random_range(127..130)).map(|_| self.compare()).collect();
        }
        TxnRequest { compare, success, failure: self.ops(depth) }
    }

    fn compare(&mut self) -> Compare {
        use compare::TargetUnion::*;
        let (result, target) = (self.choice(4), self.choice(5));
        let number = self.random.random_range(0..=self.revision);
        // At times one that does not go with the target, or none.
        let union = match if self.chance(90) { target } else { self.random.random_range(0..6) } {
            0 => Some(Version(number % 4)),
            1 => Some(CreateRevision(number)),
            2 => Some(ModRevision(number)),
            3 => Some(Value(self.value())),
            4 => Some(Lease(number % 5)),
            _ => None,
        };
        let range_end = if self.chance(80) { Bytes::new() } else { self.end() };
        Compare { range_end, key: self.key(), result, target, target_union: union }
    }

    fn ops(&mut self, depth: usize) -> Vec<RequestOp> {
        let count = self.upto(5);
        let mut ops = Vec::new();
        for _ in 0..count {
            if self.chance(1) {
                ops.push(RequestOp { request: None });
            }
            ops.push(op(match self.upto(12) {
                0..4 => Op::RequestRange(self.range()),
                4..8 => self.put_op(),
                8..10 => self.delete_op(),
                _ if depth > 1 => Op::RequestTxn(self.txn(depth - 1)),
                _ => self.put_op(),
            }));
        }
        ops
    }

    /// A compaction, after every watch has been given what would go: whether an earlier value is told with an event is
    /// decided when it is sent.
    fn compact(&mut self, acts: &mut Vec<Act>) {
        acts.extend((0..FUTURE).map(Act::Drain));
        let revision = match self.upto(10) {
            0 => 0,
            1 => self.pick(&[-1, i64::MIN, i64::MAX, 99_999]),
            2 => self.compacted,
            _ => self.random.random_range(self.compacted..=self.revision + 1),
        };
        // By and large: the true revision is a little lower, as not every write is one.
        self.compacted = self.compacted.max(revision.min(self.revision * 3 / 4));
        acts.push(Act::Ask(Step::Compact(CompactionRequest { revision, physical: self.chance(70) })));
    }

    /// A revision to hash: not the compacted one, which is an accepted difference.
    fn hashed(&mut self) -> i64 {
        self.at()
    }
}
