//! The services over a real listener, by etcd's clients: what etcd answers, to the word.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod harness;

use harness::{prefix_watch, puts, start, try_start};
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::*;
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_have_revisions_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    assert_eq!(store.get("a").await.header.unwrap().revision, 1);
    // As etcd's: a zero would be missing from the JSON of the gateway.
    assert_ne!(store.hash().await, 0);
    let header = store.put("a", "1").await.header.unwrap();
    assert_eq!(header.revision, 2);
    assert!(header.cluster_id != 0 && header.member_id != 0 && header.raft_term > 0);
    store.put("a", "2").await;
    assert_eq!(store.delete("b").await, 0);
    let kv = store.get("a").await.kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version, &kv.value[..]), (2, 3, 2, &b"2"[..]));
    store.stop().await.unwrap();

    let store = start(dir.path()).await;
    let again = store.get("a").await;
    assert_eq!(again.kvs, [kv]);
    let new_header = again.header.unwrap();
    assert_eq!((new_header.cluster_id, new_header.member_id), (header.cluster_id, header.member_id));
    assert_eq!(store.put("a", "3").await.header.unwrap().revision, 4);
    store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_etcds_words() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let mut kv = store.kv();
    let refused = kv.range(RangeRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "etcdserver: key is not provided"));
    let future = RangeRequest { key: "a".into(), revision: 9, ..Default::default() };
    let refused = kv.range(future).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: mvcc: required revision is a future revision");
    let leased = PutRequest { key: "a".into(), lease: 7, ..Default::default() };
    let refused = kv.put(leased).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "etcdserver: requested lease not found"));
    let refused = kv.txn(puts(&[("a", "1"), ("a", "2")])).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: duplicate key given in txn request");
    let big = PutRequest { key: "a".into(), value: vec![0; 1_600_000].into(), ..Default::default() };
    let refused = kv.put(big).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "etcdserver: request is too large"));
    assert_eq!(store.get("a").await.header.unwrap().revision, 1);
    store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_forgets_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    for n in 0..10 {
        store.put("a", &n.to_string()).await;
    }
    let compact = CompactionRequest { revision: 5, physical: true };
    store.kv().compact(compact).await.unwrap();
    let at = |revision| RangeRequest { key: "a".into(), revision, ..Default::default() };
    assert_eq!(store.kv().range(at(5)).await.unwrap().into_inner().kvs[0].value, "3");
    let refused = store.kv().range(at(4)).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: mvcc: required revision has been compacted");
    let refused = store.kv().compact(compact).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted")
    );

    let mut watch = store.watch().await;
    assert!(watch.create(prefix_watch("a", 2)).await.created);
    let canceled = watch.next().await;
    assert!(canceled.canceled && canceled.compact_revision == 5 && canceled.cancel_reason.is_empty());
    store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_give_whole_revisions_with_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    store.put("w/a", "1").await;
    store.kv().txn(puts(&[("w/a", "2"), ("w/b", "1"), ("other", "x")])).await.unwrap();
    let mut watch = store.watch().await;
    let created = watch.create(prefix_watch("w/", 2)).await;
    assert_eq!((created.created, created.watch_id, created.header.unwrap().revision), (true, 0, 3));
    let mut events = Vec::new();
    while events.len() < 3 {
        events.extend(watch.next().await.events);
    }
    assert!(events[0].prev_kv.is_none());
    assert_eq!(events[1].prev_kv.as_ref().unwrap().value, "1");
    assert_eq!(events[2].kv.as_ref().unwrap().key, "w/b");

    store.delete("w/a").await;
    let response = watch.next().await;
    assert_eq!((response.header.unwrap().revision, response.events.len()), (4, 1));
    let event = &response.events[0];
    assert_eq!((event.r#type, event.prev_kv.as_ref().unwrap().value.clone()), (1, "2".into()));

    watch.send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
    let progress = watch.next().await;
    assert_eq!((progress.watch_id, progress.events.len(), progress.header.unwrap().revision), (-1, 0, 4));
    watch.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 0 })).await;
    assert!(watch.next().await.canceled);
    store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_watches_that_asked_for_it_are_told_their_progress() {
    let dir = tempfile::tempdir().unwrap();
    let progress_interval = std::time::Duration::from_millis(100);
    let config =
        store::Config { name: "a".into(), data_dir: dir.path().into(), progress_interval, ..Default::default() };
    let store = harness::run(config).await.unwrap();
    let mut watch = store.watch().await;
    watch.create(prefix_watch("p/", 0)).await;
    let ahead = WatchCreateRequest { progress_notify: true, ..prefix_watch("p/", 1000) };
    watch.create(ahead).await;
    // The last one: it may be told its progress at once.
    let asking = watch.create(WatchCreateRequest { progress_notify: true, ..prefix_watch("p/", 0) }).await;
    let revision = store.put("other", "x").await.header.unwrap().revision;
    // Of the three only the one that asked and does not wait for a revision to come, time and again.
    let mut told = 0;
    while told < 3 {
        let response = watch.next().await;
        assert_eq!((response.watch_id, response.events.len()), (asking.watch_id, 0));
        told += i32::from(response.header.unwrap().revision == revision);
    }
    store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_never_overtakes_events() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let mut watch = store.watch().await;
    watch.create(prefix_watch("p/", 0)).await;
    for round in 0..100 {
        let revision = store.put(&format!("p/{round}"), "x").await.header.unwrap().revision;
        watch.send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
        let mut seen = 0;
        loop {
            let response = watch.next().await;
            if response.watch_id == -1 {
                assert!(response.header.unwrap().revision >= revision);
                assert_eq!(seen, revision, "the event comes before the progress");
                break;
            }
            seen = response.events.last().unwrap().kv.as_ref().unwrap().mod_revision;
        }
    }
    store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_watcher_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let mut watch = store.watch().await;
    watch.create(prefix_watch("s/", 0)).await;
    let value = "v".repeat(20_000);
    let writers = (0..8).map(|writer| {
        let (store, value) = (&store, &value);
        async move {
            for n in 0..100 {
                store.put(&format!("s/{writer}/{n}"), value).await;
            }
        }
    });
    futures::future::join_all(writers).await;
    let mut next = 2;
    while next < 802 {
        for event in watch.next().await.events {
            assert_eq!(event.kv.unwrap().mod_revision, next);
            next += 1;
        }
    }
    store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_end_with_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let grant = store.lease().lease_grant(LeaseGrantRequest { ttl: 1, id: 0 }).await.unwrap().into_inner();
    assert_eq!(grant.ttl, 2, "the least that there is");
    store.lease().lease_revoke(LeaseRevokeRequest { id: grant.id }).await.unwrap();
    // So long that a busy machine has looked at it before its end.
    let grant = store.lease().lease_grant(LeaseGrantRequest { ttl: 5, id: 0 }).await.unwrap().into_inner();
    for key in ["l/a", "l/b"] {
        let put = PutRequest { key: key.into(), lease: grant.id, ..Default::default() };
        store.kv().put(put).await.unwrap();
    }
    let left = LeaseTimeToLiveRequest { id: grant.id, keys: true };
    let left = store.lease().lease_time_to_live(left).await.unwrap().into_inner();
    assert_eq!((left.granted_ttl, left.keys.len()), (5, 2));
    let unknown = LeaseTimeToLiveRequest { id: 99, keys: false };
    assert_eq!(store.lease().lease_time_to_live(unknown).await.unwrap().into_inner().ttl, -1);
    let mut watch = store.watch().await;
    watch.create(prefix_watch("l/", 4)).await;
    let ended = watch.next().await;
    assert_eq!(ended.events.len(), 2, "one revision deletes both");
    assert_eq!(ended.header.unwrap().revision, 4);
    let refused = store.lease().lease_revoke(LeaseRevokeRequest { id: grant.id }).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: requested lease not found");
    store.stop().await.unwrap();
}

/// A lease that is granted anew under an id has nothing to do with the one before: neither what that one had left,
/// nor its end that may be on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_granted_anew_is_another_lease() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let mut lease = store.lease();
    lease.lease_grant(LeaseGrantRequest { ttl: 2, id: 7 }).await.unwrap();
    // The clock has seen it.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    // On a busy machine it may have run out by now, which is as good.
    if let Err(refused) = lease.lease_revoke(LeaseRevokeRequest { id: 7 }).await {
        assert_eq!(refused.message(), "etcdserver: requested lease not found");
    }
    lease.lease_grant(LeaseGrantRequest { ttl: 60, id: 7 }).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let left = LeaseTimeToLiveRequest { id: 7, keys: false };
    let left = lease.lease_time_to_live(left).await.unwrap().into_inner();
    assert_eq!(left.granted_ttl, 60);
    assert!(left.ttl > 50, "{}", left.ttl);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_http_say_what_etcd_says() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let status = store.maintenance().status(StatusRequest {}).await.unwrap().into_inner();
    assert!(status.version.starts_with("3.6."));
    assert_eq!(status.leader, status.header.unwrap().member_id);
    assert!(status.raft_index > 0 && status.raft_applied_index > 0);
    assert_eq!(http_get(&store, "/health").await, r#"{"health":"true","reason":""}"#);
    assert!(http_get(&store, "/version").await.contains(&format!(r#""etcdserver":"{}""#, status.version)));
    assert_eq!(http_get(&store, "/readyz").await, "ok\n");
    assert!(http_get(&store, "/metrics").await.contains("etcd_server_has_leader 1"));
    store.stop().await.unwrap();
}

/// Body of a plain HTTP/1.1 request.
async fn http_get(store: &harness::Running, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(store.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_has_one_member_and_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let refused = try_start(dir.path(), "a").await.err().expect("refused");
    assert!(matches!(refused, store::Error::InUse { .. }), "{refused}");
    store.stop().await.unwrap();
    let refused = try_start(dir.path(), "b").await.err().expect("refused");
    assert!(refused.to_string().contains("belongs to member \"a\", not to \"b\""), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_and_unwritable_paths_are_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let refused = try_start(&file.join("below"), "a").await.err().expect("refused");
    assert!(matches!(refused, store::Error::DataDir { .. }), "{refused}");

    let data = dir.path().join("data");
    let store = start(&data).await;
    for n in 0..50 {
        store.put(&format!("k{n}"), &"v".repeat(1000)).await;
    }
    store.stop().await.unwrap();
    for entry in std::fs::read_dir(data.join("log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log" || extension == "sst") {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 3;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0xff;
            }
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let refused = try_start(&data, "a").await.err().expect("refused");
    assert!(matches!(refused, store::Error::Damaged { .. }), "{refused}");
    assert!(!refused.to_string().contains('\n'), "{refused}");
}

/// What lies on disk at this moment is what `kill -9` leaves: nothing that was acknowledged may need a clean end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_needs_no_clean_end() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let store = start(&live).await;
    let lease = store.lease().lease_grant(LeaseGrantRequest { ttl: 600, id: 7 }).await.unwrap().into_inner();
    for round in 0..3 {
        let puts = (0..100).map(|n| {
            let mut kv = store.kv();
            let put = PutRequest {
                key: format!("k/{round}/{n}").into(),
                value: vec![round; 100].into(),
                lease: lease.id,
                ..Default::default()
            };
            async move { kv.put(put).await.unwrap() }
        });
        futures::future::join_all(puts).await;
        let copy = dir.path().join(format!("copy{round}"));
        copy_dir(&live, &copy);
        let crashed = start(&copy).await;
        let all = RangeRequest { key: "k/".into(), range_end: "k0".into(), ..Default::default() };
        let answer = crashed.kv().range(all.clone()).await.unwrap().into_inner();
        assert_eq!(answer.count, 100 * (i64::from(round) + 1));
        assert_eq!(answer.kvs, store.kv().range(all).await.unwrap().into_inner().kvs);
        assert_eq!(answer.header.unwrap().revision, answer.count + 1);
        let left = LeaseTimeToLiveRequest { id: lease.id, keys: true };
        let left = crashed.lease().lease_time_to_live(left).await.unwrap().into_inner();
        assert_eq!(left.keys.len() as i64, answer.count);
        crashed.stop().await.unwrap();
    }
    store.stop().await.unwrap();
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_and_elections_have_one_owner() {
    use proto::v3electionpb::election_client::ElectionClient;
    use proto::v3electionpb::{CampaignRequest, LeaderRequest, ResignRequest};
    use proto::v3lockpb::lock_client::LockClient;
    use proto::v3lockpb::{LockRequest, UnlockRequest};
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    for id in [1, 2] {
        store.lease().lease_grant(LeaseGrantRequest { ttl: 60, id }).await.unwrap();
    }
    let mut locks = LockClient::new(store.channel.clone());
    let lock = |lease| LockRequest { name: "l".into(), lease };
    let first = locks.lock(lock(1)).await.unwrap().into_inner();
    let mut waiting = tokio::spawn({
        let mut locks = locks.clone();
        async move { locks.lock(lock(2)).await.unwrap().into_inner() }
    });
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "the lock is held");
    locks.unlock(UnlockRequest { key: first.key }).await.unwrap();
    assert_eq!(waiting.await.unwrap().key, "l/2");

    let mut elections = ElectionClient::new(store.channel.clone());
    let campaign = CampaignRequest { name: "e".into(), lease: 1, value: "v".into() };
    let won = elections.campaign(campaign).await.unwrap().into_inner().leader.unwrap();
    let leader = elections.leader(LeaderRequest { name: "e".into() }).await.unwrap().into_inner();
    assert_eq!(leader.kv.unwrap().value, "v");
    elections.resign(ResignRequest { leader: Some(won) }).await.unwrap();
    let none = elections.leader(LeaderRequest { name: "e".into() }).await.unwrap_err();
    assert_eq!(none.message(), "election: no leader");
    store.stop().await.unwrap();
}
