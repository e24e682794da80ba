//! Watches on three streams: two are told everything soon, the third has those that begin in the future.

use std::collections::BTreeSet;

use bytes::Bytes;
use proto::etcdserverpb::*;
use rand::RngExt;

use super::{Draw, bytes};
use crate::play::Act;

pub const STREAMS: usize = 3;
/// The stream of those that begin in the future.
pub const FUTURE: usize = 2;
/// Revisions before the latest of them begins.
pub const FUTURE_MAX: i64 = 8;
/// Watches of a stream at a time.
const WATCHES_MAX: usize = 10;

/// Live watches of a stream, and the next id that the store will give.
#[derive(Default)]
pub struct Watches {
    live: BTreeSet<i64>,
    next: i64,
}

impl Watches {
    /// Notes a watch as the store will take it.
    fn add(&mut self, asked: i64) {
        if asked != 0 {
            self.live.insert(asked);
            return;
        }
        while self.live.contains(&self.next) {
            self.next += 1;
        }
        self.live.insert(self.next);
        self.next += 1;
    }
}

impl Draw {
    /// One watch of everything on each stream: it stays, so that the stream has something to be level with.
    pub fn first_watches(&mut self) -> Vec<Act> {
        let every = |stream: usize| {
            let all = bytes(b"\0");
            WatchCreateRequest { key: all.clone(), range_end: all, prev_kv: stream != FUTURE, ..Default::default() }
        };
        (0..STREAMS).map(|stream| self.create(stream, every(stream))).collect()
    }

    fn create(&mut self, stream: usize, request: WatchCreateRequest) -> Act {
        self.watches[stream].add(request.watch_id);
        Act::Create(stream, request)
    }

    pub fn watch(&mut self, acts: &mut Vec<Act>) {
        let stream = self.upto(STREAMS);
        if self.watches[stream].live.len() >= WATCHES_MAX {
            return;
        }
        if self.chance(10) {
            return self.refused(stream, acts);
        }
        let filters = match self.upto(6) {
            0 => vec![0],
            1 => vec![1],
            2 => vec![0, 1, 7],
            _ => vec![],
        };
        let ranges: [(&[u8], &[u8]); 9] = [
            (b"a", b""),
            (b"a/1", b""),
            (b"", b"\0"),
            (b"a/", b"a0"),
            (b"b", b"c"),
            (b"a0", b"\0"),
            (b"m/", b"m0"),
            (b"", b""),
            (b"", b"b"),
        ];
        let (key, range_end) = self.pick(&ranges);
        let chosen = self.chance(25).then(|| self.random.random_range(-3..20)).filter(|id| *id != -1);
        let watch_id = chosen.filter(|id| !self.watches[stream].live.contains(id)).unwrap_or_default();
        let request = WatchCreateRequest {
            key: bytes(key),
            range_end: bytes(range_end),
            // On the stream of the future nobody waits until everything is told before a compaction.
            prev_kv: stream != FUTURE && self.chance(50),
            fragment: self.chance(30),
            filters,
            progress_notify: self.chance(20),
            watch_id,
            start_revision: 0,
        };
        let act = match self.create(stream, request) {
            Act::Create(stream, request) if stream == FUTURE => {
                // Not the newest one, which lies in the past: a compaction may come before it is told.
                Act::CreateBack(stream, request, -self.random.random_range(1..=FUTURE_MAX))
            }
            Act::Create(stream, request) if self.chance(50) => {
                Act::CreateBack(stream, request, self.random.random_range(0..=self.revision))
            }
            act => act,
        };
        acts.push(act);
        // It may turn out to be compacted, and is then canceled by the drain, before anybody else does.
        if stream != FUTURE {
            acts.push(Act::Drain(stream));
        }
    }

    /// One that is not created: a beginning before all, a range without keys, or an id that is taken.
    fn refused(&mut self, stream: usize, acts: &mut Vec<Act>) {
        let any = WatchCreateRequest { key: bytes(b"a"), ..Default::default() };
        acts.push(Act::Create(
            stream,
            match self.upto(4) {
                0 => WatchCreateRequest { start_revision: self.pick(&[-1, i64::MIN]), ..any },
                1 => WatchCreateRequest { key: bytes(b"b"), range_end: self.pick(&[bytes(b"a"), bytes(b"b")]), ..any },
                2 => WatchCreateRequest {
                    range_end: Bytes::from_static(b"\0"),
                    key: bytes(b"\0\0"),
                    start_revision: -7,
                    ..any
                },
                _ => {
                    let live: Vec<i64> = self.watches[stream].live.iter().copied().filter(|id| *id != 0).collect();
                    match live.is_empty() {
                        true => WatchCreateRequest { start_revision: -1, ..any },
                        false => WatchCreateRequest { watch_id: self.pick(&live), ..any },
                    }
                }
            },
        ));
    }

    pub fn cancel(&mut self, acts: &mut Vec<Act>) {
        let stream = self.upto(STREAMS);
        if self.chance(10) {
            return acts.push(Act::Nothing(stream));
        }
        // The first one stays.
        let live: Vec<i64> = self.watches[stream].live.iter().copied().filter(|id| *id != 0).collect();
        if live.is_empty() || self.chance(10) {
            let unknown = self.pick(&[1_000, -1, i64::MIN]);
            return acts.push(Act::Cancel(stream, unknown));
        }
        let id = self.pick(&live);
        self.watches[stream].live.remove(&id);
        acts.push(Act::Cancel(stream, id));
    }
}
