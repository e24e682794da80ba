//! Space: the quota, a disk that fills up, and history that is forgotten by itself.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod harness;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::{Running, run};
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, DefragmentRequest, DeleteRangeRequest, PutRequest, RangeRequest,
    StatusRequest,
};
use tonic::{Code, Status};

fn config(dir: &Path) -> store::Config {
    store::Config { name: "a".into(), data_dir: dir.to_owned(), ..Default::default() }
}

async fn put(store: &Running, key: String) -> Result<(), Status> {
    let value: Vec<u8> = (0..100_000).map(|_| rand::random()).collect();
    store.kv().put(PutRequest { key: key.into(), value: value.into(), ..Default::default() }).await.map(|_| ())
}

fn no_space(status: &Status) {
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded")
    );
}

/// Puts until it is refused; answers how many were taken.
async fn fill(store: &Running, most: usize) -> usize {
    for n in 0..most {
        if let Err(refused) = put(store, format!("key{n}")).await {
            no_space(&refused);
            return n;
        }
        // The sizes are looked at every second.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never refused");
}

async fn alarms(store: &Running) -> Vec<AlarmType> {
    let alarms = store.maintenance().alarm(AlarmRequest::default()).await.unwrap().into_inner().alarms;
    alarms.iter().map(|alarm| alarm.alarm()).collect()
}

async fn make_room(store: &Running) {
    let all = DeleteRangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    let revision = store.kv().delete_range(all).await.unwrap().into_inner().header.unwrap().revision;
    store.kv().compact(CompactionRequest { revision, physical: true }).await.unwrap();
    store.maintenance().defragment(DefragmentRequest {}).await.unwrap();
    for alarm in store.maintenance().alarm(AlarmRequest::default()).await.unwrap().into_inner().alarms {
        let action = AlarmAction::Deactivate.into();
        let disarm = AlarmRequest { action, member_id: alarm.member_id, alarm: alarm.alarm };
        store.maintenance().alarm(disarm).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_quota_a_store_refuses_to_grow() {
    let dir = tempfile::tempdir().unwrap();
    let quota_bytes = 4 << 20;
    let store = run(store::Config { quota_bytes, ..config(dir.path()) }).await.unwrap();
    let status = store.maintenance().status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.db_size_quota, quota_bytes);
    assert!(fill(&store, 600).await >= 30);
    assert_eq!(alarms(&store).await, [AlarmType::Nospace]);
    // Reads, deletions and compactions go on, and make room again.
    assert_eq!(store.get("key0").await.count, 1);
    make_room(&store).await;
    put(&store, "again".into()).await.unwrap();
    assert!(alarms(&store).await.is_empty());
    store.stop().await.unwrap();
}

/// A small file system of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir.path());
        assert!(mount.status().unwrap().success(), "this test mounts a tmpfs, which root may");
        Self(dir)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// R16: writes end while a twentieth of the disk is free, whoever fills it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_others_fill_raises_the_alarm_while_there_is_room_for_it() {
    let disk = Disk::new("400m");
    let store = run(config(&disk.0.path().join("store"))).await.unwrap();
    put(&store, "first".into()).await.unwrap();
    let ballast = disk.0.path().join("store/ballast");
    wait(|| ballast.exists()).await;
    std::fs::write(disk.0.path().join("others"), vec![1; 310 << 20]).unwrap();
    fill(&store, 600).await;
    assert_eq!(alarms(&store).await, [AlarmType::Nospace]);
    assert_eq!(store.get("first").await.count, 1);
    // Fuller still, the ballast goes.
    let mut more = 0;
    while ballast.exists() {
        assert!(more < 60, "the ballast stays");
        std::fs::write(disk.0.path().join(format!("more{more}")), vec![1; 1 << 20]).unwrap();
        more += 1;
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    std::fs::remove_file(disk.0.path().join("others")).unwrap();
    make_room(&store).await;
    put(&store, "again".into()).await.unwrap();
    wait(|| ballast.exists()).await;
    store.stop().await.unwrap();
}

async fn wait(done: impl Fn() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within a minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_forgotten_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let auto_compaction = store::AutoCompaction::parse("periodic", "1s").unwrap();
    let store = run(store::Config { auto_compaction, ..config(dir.path()) }).await.unwrap();
    for n in 0..10 {
        store.put("key", &n.to_string()).await;
    }
    let old = || RangeRequest { key: "key".into(), revision: 3, ..Default::default() };
    for _ in 0..600 {
        if let Err(status) = store.kv().range(old()).await {
            assert_eq!(status.message(), "etcdserver: mvcc: required revision has been compacted");
            assert_eq!(store.get("key").await.kvs[0].value, "9");
            return store.stop().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is never compacted");
}
