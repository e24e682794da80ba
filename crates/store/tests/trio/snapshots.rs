//! Snapshots between members, and members whose content differs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::group::{Member, Trio, eventually};
use proto::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, HashKvRequest, LeaseGrantRequest, PutRequest, RangeRequest,
    WatchCreateRequest, WatchRequest, watch_client::WatchClient, watch_request::RequestUnion,
};
use tonic::Code;

async fn hash(member: &Member) -> (u32, i64) {
    let hash = member.maintenance().hash_kv(HashKvRequest { revision: 0 }).await.unwrap().into_inner();
    (hash.hash, hash.hash_revision)
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir.join("snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

async fn compact(member: &Member, revision: i64) {
    member.kv().compact(CompactionRequest { revision, physical: true }).await.unwrap();
}

/// A member that was away for longer than the log reaches back gets the state as a whole, history, leases and all, and
/// goes on from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lags_far_behind_gets_a_snapshot() {
    let mut trio = Trio::start_with(50).await;
    let away = trio.follower().await;
    let others: Vec<usize> = (0..3).filter(|index| *index != away).collect();
    trio.member(away).put("first", "1").await.unwrap();
    trio.stop(away).await;
    let writer = trio.member(others[0]);
    writer.lease().lease_grant(LeaseGrantRequest { ttl: 900, id: 5 }).await.unwrap();
    let held = PutRequest { key: "held".into(), lease: 5, ..Default::default() };
    writer.kv().put(held).await.unwrap();
    for n in 0..400 {
        // A busy machine may depose the leader; written twice is as good here.
        eventually(async || writer.put(&format!("key{}", n % 20), &n.to_string()).await).await;
    }
    compact(writer, 300).await;
    // Purged for certain: the log of whoever leads begins behind what the member that is away has.
    let kept = eventually(async || {
        let kept = others.iter().flat_map(|index| snapshots(&trio.data(*index))).count();
        if kept >= 2 { Ok(kept) } else { Err("no snapshots yet") }
    });
    assert!(kept.await >= 2);
    trio.restart(away).await;
    let back = trio.member(away);
    assert_eq!(back.get("key19").await.unwrap().as_deref(), Some("399"));
    back.put("after", "x").await.unwrap();
    // Each member's own: either may be behind the other for a moment.
    let same = eventually(async || {
        let (found, want) = (hash(trio.member(away)).await, hash(trio.member(others[1])).await);
        if found == want && found.1 > 400 { Ok(()) } else { Err(format!("{found:?} {want:?}")) }
    });
    same.await;
    // Nothing half done is left, once a snapshot of its own that is being made is whole.
    eventually(async || {
        let left = snapshots(&trio.data(away));
        let half = left.iter().any(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains('-')));
        if half { Err(left) } else { Ok(()) }
    })
    .await;
    // History from before the compaction is gone here too, and what follows it can be watched from here.
    let old = RangeRequest { key: "key1".into(), revision: 299, ..Default::default() };
    assert_eq!(back.kv().range(old).await.unwrap_err().code(), Code::OutOfRange);
    let create = WatchCreateRequest { key: "key19".into(), start_revision: 301, ..Default::default() };
    let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = futures::StreamExt::chain(futures::stream::iter([request]), futures::stream::pending());
    let mut watch = WatchClient::new(back.channel.clone()).watch(requests).await.unwrap().into_inner();
    let mut events = 0;
    while events < 5 {
        let next = tokio::time::timeout(std::time::Duration::from_secs(60), watch.message()).await;
        events += next.unwrap().unwrap().unwrap().events.len();
    }
    // And once more, as it is now: from its own disk.
    trio.stop(away).await;
    trio.restart(away).await;
    assert_eq!(trio.member(away).get("key19").await.unwrap().as_deref(), Some("399"));
}

/// Changes the stored value of one key, with valid checksums: as a fault of memory or of a program would.
fn tamper(data: &Path, key: &str) {
    let state = data.join("state");
    let pointer = fs::read_to_string(state.join("CURRENT")).unwrap();
    let path = state.join(pointer.split(' ').next().unwrap());
    // The threads of the member that was stopped may still be closing it.
    let db = (0..600)
        .find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            rocksdb::DB::open(&rocksdb::Options::default(), &path).ok()
        })
        .expect("the state is free");
    let (at, value) = db
        .iterator(rocksdb::IteratorMode::End)
        .map(Result::unwrap)
        .find(|(_, value)| value.windows(key.len()).any(|part| part == key.as_bytes()))
        .unwrap();
    let mut value = value.to_vec();
    *value.last_mut().unwrap() ^= 1;
    db.put(at, value).unwrap();
    db.flush().unwrap();
}

/// R12: a member whose content differs is found by the hash that it reports at its start or at the next compaction,
/// named by an alarm, and gives nothing away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_other_content_is_found_and_stops_serving() {
    let mut trio = Trio::start().await;
    for n in 0..10 {
        trio.member(0).put(&format!("key{n}"), "value").await.unwrap();
    }
    // Equal contents raise nothing, nor does a start, at which nothing was compacted yet.
    for index in 0..3 {
        trio.stop(index).await;
        trio.restart(index).await;
        eventually(async || trio.member(index).put(&format!("start{index}"), "value").await).await;
    }
    compact(trio.member(0), 5).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let none = trio.member(0).maintenance().alarm(AlarmRequest::default()).await.unwrap().into_inner().alarms;
    assert!(none.is_empty(), "{none:?}");
    let odd = trio.follower().await;
    let (_, odd_id) = trio.member(odd).status().await;
    trio.stop(odd).await;
    tamper(&trio.data(odd), "key3");
    trio.restart(odd).await;
    // Not whoever leads: on a busy machine that may be the odd one by now.
    let sound = (odd + 1) % 3;
    // Refused where the report of its start was already compared with those of revision 5.
    let next = CompactionRequest { revision: 12, physical: true };
    if let Err(status) = trio.member(sound).kv().compact(next).await {
        assert_eq!(status.message(), "etcdserver: corrupt cluster");
    }
    let raised = eventually(async || {
        let ask = AlarmRequest::default();
        let alarms = trio.member(sound).maintenance().alarm(ask).await.unwrap().into_inner().alarms;
        alarms.first().copied().ok_or("no alarm yet")
    });
    let raised = raised.await;
    assert_eq!((raised.member_id, raised.alarm()), (odd_id, AlarmType::Corrupt));
    let refused = trio.member(sound).put("more", "x").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::DataLoss, "etcdserver: corrupt cluster"));
    // The others still answer reads; this one nothing, not even at its own pace.
    assert!(trio.member(sound).get("key3").await.unwrap().is_some());
    eventually(async || {
        let read = RangeRequest { key: "key4".into(), serializable: true, ..Default::default() };
        match trio.member(odd).kv().range(read).await {
            Err(status) if status.message() == "etcdserver: corrupt cluster" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
