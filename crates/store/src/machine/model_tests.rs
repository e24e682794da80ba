//! The machine against a naive model (every revision a whole copy of the map), and against itself: the same
//! commands give the same bytes, however they are batched.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::{compare, request_op::Request, response_op::Response};
use proto::mvccpb::KeyValue;
use proto::raftsman_store_v1 as pb;
use proto::raftsman_store_v1::command::Change;

use super::*;

/// A disk in memory.
#[derive(Default)]
struct MemoryDisk(Mutex<BTreeMap<Box<[u8]>, Bytes>>);

impl MemoryDisk {
    fn write(&self, batch: Batch) {
        let mut map = self.0.lock();
        for (key, value) in batch.writes {
            match value {
                Some(value) => drop(map.insert(key, value)),
                None => drop(map.remove(&key)),
            }
        }
    }
}

impl Disk for MemoryDisk {
    fn record(&self, revision: Revision) -> Result<Option<Bytes>, DiskError> {
        Ok(self.0.lock().get(&keys::state::record(revision)[..]).cloned())
    }

    fn records(&self, from: Revision, visit: &mut dyn FnMut(Revision, Bytes) -> bool) -> Result<(), DiskError> {
        let all: Vec<_> = self.0.lock().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        for (key, value) in all {
            if let Some(revision) = keys::state::record_revision(&key)
                && revision >= from
                && !visit(revision, value)
            {
                break;
            }
        }
        Ok(())
    }
}

/// The store as a list of maps, one a revision.
struct Model {
    revisions: Vec<BTreeMap<Bytes, KeyValue>>,
    compacted: i64,
    leases: Vec<i64>,
}

impl Model {
    fn new() -> Self {
        Self { revisions: vec![BTreeMap::new(); 2], compacted: -1, leases: Vec::new() }
    }

    fn revision(&self) -> i64 {
        self.revisions.len() as i64 - 1
    }

    fn now(&self) -> &BTreeMap<Bytes, KeyValue> {
        self.revisions.last().unwrap()
    }

    fn put(&self, map: &mut BTreeMap<Bytes, KeyValue>, key: &Bytes, value: &Bytes, lease: i64) {
        let revision = self.revision() + 1;
        let old = map.get(key);
        let kv = KeyValue {
            key: key.clone(),
            value: value.clone(),
            lease,
            mod_revision: revision,
            create_revision: old.map_or(revision, |old| old.create_revision),
            version: old.map_or(1, |old| old.version + 1),
        };
        map.insert(key.clone(), kv);
    }

    fn apply(&mut self, change: &Change) -> Result<(), Failure> {
        let mut map = self.now().clone();
        match change {
            Change::Put(put) => {
                if put.lease != 0 && !self.leases.contains(&put.lease) {
                    return Err(Failure::LeaseNotFound);
                }
                self.put(&mut map, &put.key, &put.value, put.lease);
            }
            Change::DeleteRange(delete) => {
                map.retain(|key, _| !KeyRange::new(&delete.key, &delete.range_end).contains(key));
                if map == *self.now() {
                    return Ok(());
                }
            }
            Change::Txn(txn) => {
                let holds = txn.compare.iter().all(|compare| {
                    let have = self.now().get(&compare.key).map_or(0, |kv| kv.version);
                    let Some(compare::TargetUnion::Version(want)) = compare.target_union else {
                        panic!("the model knows version compares only")
                    };
                    have == want
                });
                for op in if holds { &txn.success } else { &txn.failure } {
                    let Some(Request::RequestPut(put)) = &op.request else { panic!("the model knows puts only") };
                    self.put(&mut map, &put.key, &put.value, 0);
                }
                if map == *self.now() {
                    return Ok(());
                }
            }
            Change::Compact(compact) => {
                return if compact.revision > self.revision() {
                    Err(Failure::FutureRevision)
                } else if compact.revision <= self.compacted {
                    Err(Failure::Compacted)
                } else {
                    self.compacted = compact.revision;
                    Ok(())
                };
            }
            Change::LeaseGrant(grant) => {
                if self.leases.contains(&grant.id) {
                    return Err(Failure::LeaseExists);
                }
                self.leases.push(grant.id);
                return Ok(());
            }
            Change::LeaseRevoke(revoke) => {
                if !self.leases.contains(&revoke.ids[0]) {
                    return Err(Failure::LeaseNotFound);
                }
                self.leases.retain(|lease| *lease != revoke.ids[0]);
                map.retain(|_, kv| kv.lease != revoke.ids[0]);
                if map == *self.now() {
                    return Ok(());
                }
            }
            _ => panic!("the generator makes no other command"),
        }
        self.revisions.push(map);
        Ok(())
    }
}

fn key() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["a", "b", "c", "d", "e"]).prop_map(|key| Bytes::from_static(key.as_bytes()))
}

fn put() -> impl Strategy<Value = etcd::PutRequest> {
    (key(), "[xyz]{0,3}", 0i64..4).prop_map(|(key, value, lease)| etcd::PutRequest {
        key,
        value: value.into(),
        lease,
        ..Default::default()
    })
}

fn txn() -> impl Strategy<Value = etcd::TxnRequest> {
    let distinct = |puts: Vec<etcd::PutRequest>| {
        let mut seen = std::collections::BTreeSet::new();
        let puts = puts.into_iter().filter(move |put| seen.insert(put.key.clone()));
        puts.map(|put| etcd::RequestOp { request: Some(Request::RequestPut(etcd::PutRequest { lease: 0, ..put })) })
            .collect()
    };
    let compare = (key(), 0i64..3).prop_map(|(key, version)| etcd::Compare {
        key,
        target_union: Some(compare::TargetUnion::Version(version)),
        ..Default::default()
    });
    (
        prop::collection::vec(compare, 0..2),
        prop::collection::vec(put(), 0..4).prop_map(distinct),
        prop::collection::vec(put(), 0..3).prop_map(distinct),
    )
        .prop_map(|(compare, success, failure)| etcd::TxnRequest { compare, success, failure })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => put().prop_map(Change::Put),
        3 => (key(), prop::option::of(key())).prop_map(|(key, end)| Change::DeleteRange(etcd::DeleteRangeRequest {
            key,
            range_end: end.unwrap_or_default(),
            prev_kv: true,
        })),
        4 => txn().prop_map(Change::Txn),
        1 => (0i64..40).prop_map(|revision| Change::Compact(etcd::CompactionRequest { revision, physical: false })),
        2 => (1i64..4).prop_map(|id| Change::LeaseGrant(etcd::LeaseGrantRequest { id, ttl: 10 })),
        1 => (1i64..4).prop_map(|id| Change::LeaseRevoke(pb::LeaseRevoke { ids: vec![id], ..Default::default() })),
    ]
}

/// A machine with its disk, driven as its owner drives it.
struct Driven {
    machine: Machine<MemoryDisk>,
    disk: Arc<MemoryDisk>,
    index: u64,
}

impl Driven {
    fn new() -> Self {
        Self::open(Arc::new(MemoryDisk::default()), Stored::default())
    }

    fn open(disk: Arc<MemoryDisk>, stored: Stored) -> Self {
        let machine = Machine::open(disk.clone(), stored).unwrap();
        Self { machine, disk, index: 0 }
    }

    fn step(&mut self, change: &Change) -> Outcome {
        self.index += 1;
        let command = pb::Command { origin: None, change: Some(change.clone()) };
        self.machine.step(pb::LogId { term: 1, index: self.index }, &command).unwrap()
    }

    fn flush(&mut self) {
        let batch = self.machine.seal();
        self.disk.write(batch);
        self.machine.publish();
    }

    fn view(&self) -> View<MemoryDisk> {
        View::new(self.machine.shared().clone(), self.disk.clone())
    }

    fn prune(&self) {
        let compacted = self.machine.progress().compacted;
        let (dropped, next) = prune_step(self.machine.shared(), &*self.disk, Revision::default(), compacted).unwrap();
        assert!(next.is_none());
        let mut batch = Batch::default();
        for record in dropped {
            batch.delete(&keys::state::record(record));
        }
        self.disk.write(batch);
    }

    /// Everything on disk but the progress of the batches.
    fn content(&self) -> BTreeMap<Box<[u8]>, Bytes> {
        self.disk.0.lock().clone()
    }

    fn stored(&self) -> Stored {
        let content = self.content();
        let leases = content
            .iter()
            .filter_map(|(key, value)| Some((keys::state::lease_id(key)?, pb::Lease::decode(value.clone()).unwrap())));
        let progress = content.get(keys::state::PROGRESS).map(|value| pb::Progress::decode(value.clone()).unwrap());
        Stored { progress, leases: leases.collect(), ..Default::default() }
    }
}

fn everything(revision: i64) -> etcd::RangeRequest {
    etcd::RangeRequest { key: "\0".into(), range_end: "\0".into(), revision, ..Default::default() }
}

fn check_all_revisions(driven: &Driven, model: &Model) {
    let view = driven.view();
    for revision in 1..=model.revision() {
        let answer = view.range(&everything(revision));
        if revision < model.compacted {
            assert!(matches!(answer, Err(Refused::Failure(Failure::Compacted))), "revision {revision}");
            continue;
        }
        let want: Vec<_> = model.revisions[revision as usize].values().cloned().collect();
        assert_eq!(answer.unwrap().kvs, want, "revision {revision}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_machine_is_the_model(changes in prop::collection::vec(change(), 1..40)) {
        let (mut driven, mut model) = (Driven::new(), Model::new());
        for change in &changes {
            let before = model.now().clone();
            let outcome = driven.step(change);
            driven.flush();
            let want = model.apply(change);
            prop_assert_eq!(outcome.reply.map(|_| ()), want);
            prop_assert_eq!(outcome.revision, model.revision());
            for event in &outcome.events {
                let kv = event.record.kv();
                let previous = event.previous.map(|at| driven.view().value(at).unwrap().unwrap());
                prop_assert_eq!(kv.mod_revision, model.revision());
                prop_assert_eq!(previous.as_ref(), before.get(&kv.key));
            }
        }
        check_all_revisions(&driven, &model);
        let hash = driven.view().hash(0).unwrap();
        driven.prune();
        check_all_revisions(&driven, &model);
        prop_assert_eq!(driven.view().hash(0).unwrap(), hash);
        let reopened = Driven::open(driven.disk.clone(), driven.stored());
        check_all_revisions(&reopened, &model);
        for lease in &model.leases {
            let held: Vec<_> = model.now().values().filter(|kv| kv.lease == *lease).map(|kv| kv.key.clone()).collect();
            prop_assert_eq!(reopened.machine.shared().leases.read().keys(*lease), held);
        }
    }

    #[test]
    fn batching_changes_nothing(changes in prop::collection::vec(change(), 1..40), sizes in prop::collection::vec(1usize..7, 1..40)) {
        let (mut one, mut many) = (Driven::new(), Driven::new());
        for change in &changes {
            one.step(change);
            one.flush();
        }
        let mut sizes = sizes.into_iter().cycle();
        let mut rest = &changes[..];
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            for change in batch {
                many.step(change);
            }
            many.flush();
            rest = after;
        }
        prop_assert_eq!(one.content(), many.content());
    }
}

fn range_op(key: &'static str) -> etcd::RequestOp {
    let range = etcd::RangeRequest { key: key.into(), ..Default::default() };
    etcd::RequestOp { request: Some(Request::RequestRange(range)) }
}

fn put_op(key: &'static str, value: &'static str) -> etcd::RequestOp {
    let put = etcd::PutRequest { key: key.into(), value: value.into(), prev_kv: true, ..Default::default() };
    etcd::RequestOp { request: Some(Request::RequestPut(put)) }
}

#[test]
fn a_transaction_sees_its_own_writes_and_is_one_revision() {
    let mut driven = Driven::new();
    let nested = etcd::TxnRequest { success: vec![put_op("b", "2")], ..Default::default() };
    let txn = etcd::TxnRequest {
        success: vec![
            range_op("a"),
            put_op("a", "1"),
            range_op("a"),
            etcd::RequestOp { request: Some(Request::RequestTxn(nested)) },
        ],
        ..Default::default()
    };
    let outcome = driven.step(&Change::Txn(txn));
    let Ok(Reply::Txn(response)) = outcome.reply else { panic!("a txn's reply") };
    assert_eq!(response.header.unwrap().revision, 2);
    let ranges: Vec<_> = response
        .responses
        .iter()
        .filter_map(|op| match op.response.as_ref()? {
            Response::ResponseRange(range) => Some((range.kvs.len(), range.header.unwrap().revision)),
            _ => None,
        })
        .collect();
    assert_eq!(ranges, [(0, 1), (1, 2)]);
    assert_eq!((outcome.events.len(), outcome.revision), (2, 2));
}

#[test]
fn a_missing_key_has_no_value_to_compare() {
    let mut driven = Driven::new();
    let compare = |result: compare::CompareResult| etcd::TxnRequest {
        compare: vec![etcd::Compare {
            key: "none".into(),
            result: result as i32,
            target: compare::CompareTarget::Value as i32,
            target_union: Some(compare::TargetUnion::Value(Bytes::new())),
            ..Default::default()
        }],
        ..Default::default()
    };
    for result in [compare::CompareResult::Equal, compare::CompareResult::NotEqual] {
        let Ok(Reply::Txn(response)) = driven.step(&Change::Txn(compare(result))).reply else { panic!("a reply") };
        assert!(!response.succeeded);
    }
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let mut driven = Driven::new();
    let future = etcd::RangeRequest { key: "a".into(), revision: 99, ..Default::default() };
    let txn = etcd::TxnRequest {
        success: vec![put_op("a", "1"), etcd::RequestOp { request: Some(Request::RequestRange(future)) }],
        ..Default::default()
    };
    let outcome = driven.step(&Change::Txn(txn));
    assert_eq!(outcome.reply, Err(Failure::FutureRevision));
    driven.flush();
    assert_eq!(driven.view().range(&everything(0)).unwrap().count, 0);
}

/// A machine whose keys were each written `rounds` times, with its disk; compacted and pruned at the end.
fn written(rounds: usize) -> (Machine<MemoryDisk>, Arc<MemoryDisk>) {
    let disk = Arc::new(MemoryDisk::default());
    let mut machine = Machine::open(disk.clone(), Stored::default()).unwrap();
    let mut take = |change: Change| {
        let command = pb::Command { origin: None, change: Some(change) };
        let index = machine.progress().applied.map_or(0, |id| id.index) + 1;
        machine.step(pb::LogId { term: 1, index }, &command).unwrap().reply.unwrap();
    };
    for round in 0..rounds {
        for key in 0..20 {
            let value = format!("{round}").into();
            take(Change::Put(etcd::PutRequest { key: format!("{key}").into(), value, ..Default::default() }));
        }
    }
    let revision = machine.progress().revision;
    let batch = machine.seal();
    disk.write(batch);
    machine.publish();
    let command = pb::Command {
        origin: None,
        change: Some(Change::Compact(etcd::CompactionRequest { revision, physical: false })),
    };
    machine.step(pb::LogId { term: 1, index: 1000 }, &command).unwrap();
    let batch = machine.seal();
    disk.write(batch);
    machine.publish();
    let (dropped, _) = prune_step(machine.shared(), &*disk, Revision::default(), revision).unwrap();
    for record in dropped {
        disk.0.lock().remove(&keys::state::record(record)[..]);
    }
    (machine, disk)
}

#[test]
fn an_exchange_is_never_seen_half_done() {
    let (mut machine, disk) = written(1);
    let (newer, other) = written(3);
    let stored = || Stored { progress: Some(*newer.progress()), ..Default::default() };
    let view = View::new(machine.shared().clone(), disk.clone());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let all = etcd::RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
                let answer = view.range(&all).unwrap();
                assert_eq!(answer.count, 20);
                let round = if answer.header.unwrap().revision == 21 { "0" } else { "2" };
                assert!(answer.kvs.iter().all(|kv| kv.value == round));
            }
        });
        let loaded = load(&*other, stored()).unwrap();
        let swapped = machine.replace(loaded, || {
            *disk.0.lock() = other.0.lock().clone();
            // Long enough for whoever could see this.
            std::thread::sleep(std::time::Duration::from_millis(100));
            Ok::<(), ()>(())
        });
        swapped.unwrap();
        // What can't be put in place changes nothing.
        let loaded = load(&*other, stored()).unwrap();
        assert_eq!(machine.replace(loaded, || Err("no disk")), Err("no disk"));
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(machine.shared().visible(), 61);
}

/// The end of a lease that ran out, proposed before and applied after its id was granted anew.
#[test]
fn an_expiry_ends_the_lease_that_it_names() {
    let mut driven = Driven::new();
    let grant = Change::LeaseGrant(etcd::LeaseGrantRequest { id: 7, ttl: 10 });
    let expiry = |granted: &[u64]| {
        Change::LeaseRevoke(pb::LeaseRevoke { ids: vec![7], expired: true, granted: granted.to_vec() })
    };
    let exists = |driven: &Driven| driven.machine.shared().leases.read().exists(7);
    driven.step(&grant).reply.unwrap();
    driven.step(&Change::LeaseRevoke(pb::LeaseRevoke { ids: vec![7], ..Default::default() })).reply.unwrap();
    driven.step(&grant).reply.unwrap();
    driven.step(&expiry(&[1])).reply.unwrap();
    assert!(exists(&driven), "it was granted by the third entry");
    driven.step(&expiry(&[3])).reply.unwrap();
    assert!(!exists(&driven));
    driven.step(&expiry(&[3])).reply.unwrap();
    // What an earlier version wrote into its log is replayed as it was.
    driven.step(&grant).reply.unwrap();
    driven.step(&expiry(&[])).reply.unwrap();
    assert!(!exists(&driven));
}
