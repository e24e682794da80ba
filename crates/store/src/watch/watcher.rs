//! One watch, and the table that finds the watches of a key.

use std::collections::HashMap;

use bytes::Bytes;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchResponse};

use super::change::Change;
use super::response::Response;
use crate::machine::{KeyRange, View};
use crate::raft::state::RocksDisk;

/// Bytes of events after which a response ends with the revision that it is at.
pub const RESPONSE_BYTES: usize = 1 << 20;

/// Why a watch is not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The stream has a watch of that id.
    DuplicateId,
    /// The range can't contain any key.
    EmptyRange,
    /// The first revision lies before all.
    Compacted,
}

impl Refusal {
    /// The reason as etcd words it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::DuplicateId => "mvcc: duplicate watch ID provided on the WatchStream",
            Self::EmptyRange => "mvcc: watcher range is empty",
            Self::Compacted => "etcdserver: mvcc: required revision has been compacted",
        }
    }
}

/// A response to a watch, and the first revision that it has not been given with it.
pub struct Part {
    pub response: Response,
    pub next: i64,
}

/// A watch.
#[derive(Debug, Clone)]
pub struct Watcher {
    /// Stream that it belongs to.
    pub stream: u64,
    /// Its id on that stream.
    pub id: i64,
    pub key: Bytes,
    pub range_end: Bytes,
    pub previous: bool,
    pub progress_notify: bool,
    fragment: bool,
    no_put: bool,
    no_delete: bool,
    /// First revision that it has not been given.
    pub next: i64,
    pub synced: bool,
    /// Whether it has been told nothing since progress was last told to all that asked for it.
    pub quiet: bool,
}

impl Watcher {
    /// A watch as requested, with everything from `next` on still to be given.
    pub fn new(stream: u64, id: i64, request: WatchCreateRequest, next: i64) -> Self {
        let filtered = |filter: FilterType| request.filters.contains(&(filter as i32));
        Self {
            stream,
            id,
            previous: request.prev_kv,
            progress_notify: request.progress_notify,
            fragment: request.fragment,
            no_put: filtered(FilterType::Noput),
            no_delete: filtered(FilterType::Nodelete),
            key: own(&request.key),
            range_end: own(&request.range_end),
            next,
            synced: false,
            quiet: true,
        }
    }

    /// Whether it is to be given a change.
    pub fn wants(&self, change: &Change) -> bool {
        let filtered = if change.deletes() { self.no_delete } else { self.no_put };
        change.revision() >= self.next && !filtered && KeyRange::new(&self.key, &self.range_end).contains(change.key())
    }

    /// Responses that give it `changes`, all wanted and all of those up to revision `until`; where they are many, split
    /// between revisions. At most `parts_max` of them are made, and the rest is left out.
    pub fn responses(
        &self,
        changes: &[&Change],
        view: &View<RocksDisk>,
        (revision, until): (i64, i64),
        parts_max: usize,
    ) -> Vec<Part> {
        let mut parts = Vec::with_capacity(1);
        let mut current = self.empty(revision);
        let (mut bytes, mut last) = (0, 0);
        for change in changes {
            if bytes >= RESPONSE_BYTES && change.revision() != last {
                let response = std::mem::replace(&mut current, self.empty(revision));
                parts.push(Part { response, next: change.revision() });
                if parts.len() >= parts_max {
                    return parts;
                }
                bytes = 0;
            }
            let event = change.event(view, self.previous);
            bytes += event.len();
            last = change.revision();
            current.events.push(event);
        }
        if !current.events.is_empty() {
            parts.push(Part { response: current, next: until + 1 });
        }
        parts
    }

    /// A response without events.
    pub fn empty(&self, revision: i64) -> Response {
        let head = WatchResponse { header: header(revision), watch_id: self.id, ..Default::default() };
        Response { head, events: Vec::new(), fragment: self.fragment }
    }
}

fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// A header with the revision only; the service adds who answers.
pub fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..Default::default() })
}

/// Which watches see a key: those of the key itself by a look-up, those of ranges one range at a time, however
/// many watch the same range.
#[derive(Debug, Default)]
pub struct Table {
    keys: HashMap<Bytes, Vec<u64>>,
    ranges: HashMap<(Bytes, Bytes), Vec<u64>>,
}

impl Table {
    /// Adds a watch under its number.
    pub fn add(&mut self, number: u64, watcher: &Watcher) {
        self.slot(watcher).push(number);
    }

    /// Removes a watch.
    pub fn remove(&mut self, number: u64, watcher: &Watcher) {
        let slot = self.slot(watcher);
        slot.retain(|other| *other != number);
        if !slot.is_empty() {
            return;
        }
        if watcher.range_end.is_empty() {
            self.keys.remove(&watcher.key);
        } else {
            self.ranges.remove(&(watcher.key.clone(), watcher.range_end.clone()));
        }
    }

    fn slot(&mut self, watcher: &Watcher) -> &mut Vec<u64> {
        if watcher.range_end.is_empty() {
            self.keys.entry(watcher.key.clone()).or_default()
        } else {
            self.ranges.entry((watcher.key.clone(), watcher.range_end.clone())).or_default()
        }
    }

    /// Visits the watches that see `key`.
    pub fn visit(&self, key: &[u8], mut visit: impl FnMut(u64)) {
        if let Some(numbers) = self.keys.get(key) {
            numbers.iter().for_each(|number| visit(*number));
        }
        for ((from, end), numbers) in &self.ranges {
            if KeyRange::new(from, end).contains(key) {
                numbers.iter().for_each(|number| visit(*number));
            }
        }
    }
}
