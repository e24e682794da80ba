//! Watches under load: whoever starts wherever and whenever is given the whole history from there, in order,
//! once, revisions whole, with what was before. And leases that are kept alive.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod harness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use harness::{Running, prefix_watch, puts, start};
use parking_lot::Mutex;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::{AlarmRequest, AlarmType, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseTimeToLiveRequest};

/// What was acknowledged: revision to the keys with their new value, none for a deletion.
type History = Arc<Mutex<BTreeMap<i64, Vec<(String, Option<String>)>>>>;

const WRITERS: usize = 6;
const WRITES: usize = 150;
const KEYS: usize = 20;

/// A writer with keys of its own, so that what was before each write is known.
async fn write(store: &Running, history: &History, writer: usize) {
    for n in 0..WRITES {
        let key = format!("w/{writer}/{}", n * 7 % KEYS);
        if n % 5 == 4 {
            let delete = proto::etcdserverpb::DeleteRangeRequest { key: key.clone().into(), ..Default::default() };
            let deleted = store.kv().delete_range(delete).await.unwrap().into_inner();
            if deleted.deleted == 1 {
                history.lock().insert(deleted.header.unwrap().revision, vec![(key, None)]);
            }
            continue;
        }
        let other = format!("w/{writer}/second");
        let value = format!("{n}");
        let txn = puts(&[(&key, &value), (&other, &value)]);
        let revision = store.kv().txn(txn).await.unwrap().into_inner().header.unwrap().revision;
        history.lock().insert(revision, vec![(key, Some(value.clone())), (other, Some(value))]);
    }
}

/// Watches from `from` until `last`, and checks all that it sees against itself; answers it by revision.
async fn follow(store: &Running, from: i64, last: &AtomicI64) -> BTreeMap<i64, Vec<(String, Option<String>)>> {
    let mut watch = store.watch().await;
    let created = watch.create(prefix_watch("w/", from)).await;
    assert!(created.created && !created.canceled);
    let mut seen: BTreeMap<i64, Vec<(String, Option<String>)>> = BTreeMap::new();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut newest = 0;
    while newest == 0 || newest < last.load(Ordering::SeqCst) {
        let response = watch.next().await;
        let first = response.events[0].kv.as_ref().unwrap().mod_revision;
        assert!(first > newest, "revision {first} was split or repeated after {newest}");
        for event in response.events {
            let kv = event.kv.unwrap();
            assert!(kv.mod_revision >= newest && kv.mod_revision >= from);
            newest = kv.mod_revision;
            let key = String::from_utf8(kv.key.to_vec()).unwrap();
            let previous = event.prev_kv.map(|kv| String::from_utf8(kv.value.to_vec()).unwrap());
            if from <= 2 {
                assert_eq!(previous, values.get(&key).cloned(), "before {key} at {newest}");
            }
            let value = (event.r#type == 0).then(|| String::from_utf8(kv.value.to_vec()).unwrap());
            match &value {
                Some(value) => drop(values.insert(key.clone(), value.clone())),
                None => drop(values.remove(&key)),
            }
            seen.entry(newest).or_default().push((key, value));
        }
        assert!(response.header.unwrap().revision >= newest);
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_all_of_history_from_where_they_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let (history, last) = (History::default(), AtomicI64::new(i64::MAX));
    let (store, history, last) = (&store, &history, &last);
    let writing = async {
        futures::future::join_all((0..WRITERS).map(|writer| write(store, history, writer))).await;
        last.store(*history.lock().keys().next_back().unwrap(), Ordering::SeqCst);
        // Whoever waits for its next event learns of the end by one more.
        let end = store.kv().txn(puts(&[("w/end", "1")])).await.unwrap().into_inner().header.unwrap().revision;
        history.lock().insert(end, vec![("w/end".into(), Some("1".into()))]);
        last.store(end, Ordering::SeqCst);
    };
    let following = futures::future::join_all((0..12u64).map(|watcher| async move {
        tokio::time::sleep(Duration::from_millis(watcher * 40)).await;
        let from = if watcher % 3 == 0 { 2 } else { 1 + 37 * watcher as i64 };
        (from, follow(store, from, last).await)
    }));
    let ((), followed) = tokio::join!(writing, following);
    for (from, seen) in followed {
        let want: BTreeMap<_, _> = history.lock().range(from..).map(|(at, keys)| (*at, keys.clone())).collect();
        assert_eq!(seen, want, "from {from}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_kept_alive_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    // So long that a busy machine is not late with a renewal.
    store.lease().lease_grant(LeaseGrantRequest { ttl: 5, id: 5 }).await.unwrap();
    let (requests, stream) = tokio::sync::mpsc::channel(4);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut answers = store.lease().lease_keep_alive(stream).await.unwrap().into_inner();
    for _ in 0..7 {
        requests.send(LeaseKeepAliveRequest { id: 5 }).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().ttl, 5);
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    let left = LeaseTimeToLiveRequest { id: 5, keys: false };
    assert!(store.lease().lease_time_to_live(left).await.unwrap().into_inner().ttl > 0);
    requests.send(LeaseKeepAliveRequest { id: 6 }).await.unwrap();
    let unknown = answers.message().await.unwrap().unwrap();
    assert_eq!((unknown.id, unknown.ttl), (6, 0));
    drop(requests);
    store.stop().await.unwrap();
}

/// Large values are deleted one by one: the deletions are small, and many, but not with what was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_is_behind_is_given_more_than_its_stream_holds() {
    const LARGE: usize = 140;
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let key = |n: usize| format!("w/{n:03}");
    for n in 0..LARGE {
        let value = vec![n as u8; 1 << 20];
        let put = proto::etcdserverpb::PutRequest { key: key(n).into(), value: value.into(), ..Default::default() };
        store.kv().put(put).await.unwrap();
    }
    let mut first = 0;
    for n in 0..LARGE {
        let delete = proto::etcdserverpb::DeleteRangeRequest { key: key(n).into(), ..Default::default() };
        let deleted = store.kv().delete_range(delete).await.unwrap().into_inner().header.unwrap().revision;
        first = if first == 0 { deleted } else { first };
    }
    // Two: neither may keep the other from going on.
    let (mut slow, mut quick) = (store.watch().await, store.watch().await);
    assert!(slow.create(prefix_watch("w/", first)).await.created);
    assert!(quick.create(prefix_watch("w/", first)).await.created);
    for watch in [&mut quick, &mut slow] {
        let mut next = first;
        while next < first + LARGE as i64 {
            for event in watch.next().await.events {
                assert_eq!(event.kv.unwrap().mod_revision, next);
                let before = event.prev_kv.unwrap().value;
                assert!(before.len() == 1 << 20 && before[0] == (next - first) as u8);
                next += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_watches_that_their_clients_keep() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let mut watch = store.watch().await;
    assert!(watch.create(prefix_watch("w/", 0)).await.created);
    let ended = async {
        let end = watch.responses().message().await;
        assert!(matches!(end, Ok(None)), "{end:?}");
    };
    let (stopped, ()) = tokio::join!(store.stop(), ended);
    stopped.unwrap();
}

/// R12: a member that is accused of damage gives nothing away, to watches neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accused_member_ends_its_watches_until_it_is_acquitted() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    store.put("w/a", "1").await;
    let member_id = store.get("w/a").await.header.unwrap().member_id;
    let alarm = async |action: AlarmAction| {
        let alarm = AlarmType::Corrupt as i32;
        store.maintenance().alarm(AlarmRequest { action: action as i32, member_id, alarm }).await.unwrap();
    };
    let mut watch = store.watch().await;
    assert!(watch.create(prefix_watch("w/", 0)).await.created);
    alarm(AlarmAction::Activate).await;
    let end = tokio::time::timeout(Duration::from_secs(20), watch.responses().message()).await.unwrap();
    assert!(matches!(end, Ok(None)), "{end:?}");
    let (_requests, none) = tokio::sync::mpsc::channel(1);
    let mut client = WatchClient::new(store.channel.clone());
    let refused = client.watch(tokio_stream::wrappers::ReceiverStream::new(none)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (tonic::Code::DataLoss, "etcdserver: corrupt cluster"));
    alarm(AlarmAction::Deactivate).await;
    let mut watch = store.watch().await;
    assert!(watch.create(prefix_watch("w/", 2)).await.created);
    assert_eq!(watch.next().await.events.len(), 1);
}
