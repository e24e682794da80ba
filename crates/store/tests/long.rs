//! A run that is long enough for snapshots and purges.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod harness;

use harness::start;
use proto::etcdserverpb::{CompactionRequest, PutRequest, RangeRequest};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_and_purges_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    let started = std::time::Instant::now();
    let writers = (0..64).map(|writer: usize| {
        let mut kv = store.kv();
        tokio::spawn(async move {
            for n in 0..1000 {
                let key = format!("k/{writer:02}/{:03}", n % 500);
                let put = PutRequest { key: key.into(), value: format!("{n}").into(), ..Default::default() };
                kv.put(put).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let writes = 64 * 1000;
    eprintln!("{:.0} writes/s", f64::from(writes) / started.elapsed().as_secs_f64());
    let revision = i64::from(writes) + 1;
    store.kv().compact(CompactionRequest { revision, physical: true }).await.unwrap();
    let all = RangeRequest { key: "k/".into(), range_end: "k0".into(), ..Default::default() };
    let before = store.kv().range(all.clone()).await.unwrap().into_inner();
    assert_eq!((before.count, before.header.unwrap().revision), (64 * 500, revision));
    // The next one may be in the making, or the one before on its way out.
    let snapshots = || std::fs::read_dir(dir.path().join("snapshots")).unwrap().count();
    let begun = std::time::Instant::now();
    while snapshots() != 1 {
        assert!(begun.elapsed().as_secs() < 60, "{} snapshots, not only the newest", snapshots());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    store.stop().await.unwrap();
    let store = start(dir.path()).await;
    let after = store.kv().range(all).await.unwrap().into_inner();
    assert_eq!((after.kvs, after.count), (before.kvs, before.count));
    store.stop().await.unwrap();
}
