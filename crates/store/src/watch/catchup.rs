//! Bringing watchers up to date from the history on disk.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::etcdserverpb::WatchResponse;

use super::change::Change;
use super::hub::{Shared, State};
use super::watcher::{RESPONSE_BYTES, Watcher};
use crate::machine::{Disk, DiskError, Event, Record, Revision};

/// Pause while all that are behind have full streams.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// Watchers brought up in one round.
const ROUND_WATCHERS: usize = 512;
/// Records read in one round.
const ROUND_RECORDS: usize = 10_000;
/// Responses to one watcher in one round.
const ROUND_PARTS: usize = 8;

/// Runs until the hub stops.
pub fn run(shared: &Shared) {
    loop {
        let mut state = shared.state.lock();
        if state.stopped {
            return;
        }
        let round = take(&state);
        if round.is_empty() {
            if state.unsynced.is_empty() {
                shared.behind.wait(&mut state);
            } else {
                shared.behind.wait_for(&mut state, FULL_PAUSE);
            }
            continue;
        }
        drop(state);
        if let Err(error) = bring_up(shared, round) {
            tracing::error!("watches can't be brought up: {error}");
            let mut state = shared.state.lock();
            // Without its history a watch can't go on, and its client must learn that.
            let behind: Vec<_> = state.unsynced.iter().copied().collect();
            for number in behind {
                if let Some(stream) = state.watchers.get(&number).map(|watcher| watcher.stream) {
                    state.streams.remove(&stream);
                }
                state.remove(number);
            }
        }
    }
}

/// Watchers that are behind and whose stream has room.
fn take(state: &State) -> BTreeMap<u64, Watcher> {
    let ready = |number: &u64| {
        let watcher = state.watchers.get(number)?;
        let room = state.streams.get(&watcher.stream).is_none_or(|stream| stream.queue.capacity() > 0);
        room.then(|| (*number, watcher.clone()))
    };
    state.unsynced.iter().filter_map(ready).take(ROUND_WATCHERS).collect()
}

/// One round: reads a stretch of history and gives each watcher its part.
fn bring_up(shared: &Shared, round: BTreeMap<u64, Watcher>) -> Result<(), DiskError> {
    let compacted = shared.view.shared().compacted();
    let (gone, round): (BTreeMap<_, _>, BTreeMap<_, _>) =
        round.into_iter().partition(|(_, watcher)| watcher.next < compacted);
    if !gone.is_empty() {
        cancel_compacted(&mut shared.state.lock(), gone, compacted);
    }
    let Some(from) = round.values().map(|watcher| watcher.next).min() else {
        return Ok(());
    };
    let visible = shared.view.shared().visible();
    let (changes, until) = read(shared, from, visible, &round)?;
    if shared.view.shared().compacted() > from {
        // Pruning may have torn holes into what was just read; the next round tells who is too late.
        return Ok(());
    }
    // Made before the hub is held, since what was before the changes is read from disk.
    let parts = |watcher: &Watcher| {
        let wanted: Vec<_> = changes.iter().filter(|change| watcher.wants(change)).collect();
        let next = if wanted.is_empty() { until + 1 } else { watcher.next };
        (next, watcher.responses(&wanted, &shared.view, (visible, until), ROUND_PARTS))
    };
    let round: Vec<_> = round.iter().map(|(number, watcher)| (*number, parts(watcher))).collect();
    let mut state = shared.state.lock();
    for (number, (next, parts)) in round {
        state.send(number, parts);
        // Canceled in the meantime, or started over under the same number: never; numbers are not used again.
        let Some(watcher) = state.watchers.get_mut(&number) else { continue };
        watcher.next = watcher.next.max(next);
        if watcher.next > until && until >= state.revision {
            settle(&mut state, number);
        }
    }
    state.tell_progress();
    Ok(())
}

/// The watcher is level with the hub.
fn settle(state: &mut State, number: u64) {
    state.unsynced.remove(&number);
    if let Some(watcher) = state.watchers.get_mut(&number) {
        watcher.synced = true;
    }
}

/// Changes that anybody of the round wants, from revision `from` on, and the last revision that was read whole.
fn read(
    shared: &Shared,
    from: i64,
    visible: i64,
    round: &BTreeMap<u64, Watcher>,
) -> Result<(Vec<Change>, i64), DiskError> {
    let mut changes = Vec::new();
    let (mut bytes, mut records, mut last) = (0, 0, from - 1);
    let mut until = visible;
    let mut damaged = None;
    let _whole = shared.view.shared().hold();
    shared.view.disk().records(Revision::first(from), &mut |at, value| {
        if at.main > visible {
            return false;
        }
        if at.main != last && (bytes >= RESPONSE_BYTES || records >= ROUND_RECORDS) {
            until = last;
            return false;
        }
        last = at.main;
        records += 1;
        let Some(record) = Record::decode(value) else {
            damaged = Some(at);
            return false;
        };
        // What was before the transaction, whatever else it did to the key.
        let before = shared.view.shared().index.read().before(&record.kv().key, Revision::first(at.main));
        let previous = before.filter(|_| !record.creates()).map(|version| version.at);
        let change = Change::new(Event { record, previous });
        if round.values().any(|watcher| watcher.wants(&change)) {
            bytes += change.size();
            changes.push(change);
        }
        true
    })?;
    match damaged {
        Some(at) => Err(DiskError::damaged(at)),
        None => Ok((changes, until)),
    }
}

/// Ends watches whose start is forgotten.
fn cancel_compacted(state: &mut State, gone: BTreeMap<u64, Watcher>, compacted: i64) {
    for (number, watcher) in gone {
        let canceled = WatchResponse {
            compact_revision: compacted,
            canceled: true,
            header: Some(Default::default()),
            watch_id: watcher.id,
            ..Default::default()
        };
        let told = match state.streams.get_mut(&watcher.stream) {
            Some(stream) => {
                let told = stream.queue.try_send(canceled.into()).is_ok();
                if told {
                    stream.ended.insert(watcher.id);
                }
                told
            }
            None => true,
        };
        // A full stream is told in a later round.
        if told {
            state.remove(number);
        }
    }
}
