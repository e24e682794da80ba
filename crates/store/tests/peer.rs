//! The same requests to our store and to a real etcd: the same answers, but for who answers and when.
//!
//! etcd's binary is `$RAFTSMAN_PEERS/etcd` (`make peers`); without it the test says so and passes over.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod harness;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{prefix_watch, puts, start};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::*;
use tonic::Status;
use tonic::transport::Channel;

/// A real etcd; killed when it goes out of scope.
struct Etcd(Child);

impl Drop for Etcd {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn binary() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    let peers = std::env::var_os("RAFTSMAN_PEERS").map_or(home.join(".cache/raftsman/peers"), PathBuf::from);
    Some(peers.join("etcd")).filter(|path| path.exists())
}

async fn start_etcd(dir: &std::path::Path) -> Option<(Etcd, Channel)> {
    let port = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let (client, peer) = (format!("http://127.0.0.1:{}", port()), format!("http://127.0.0.1:{}", port()));
    let mut command = Command::new(binary()?);
    command.arg("--data-dir").arg(dir).args(["--log-level", "error"]);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]).stdout(Stdio::null()).stderr(Stdio::null());
    let etcd = Etcd(command.spawn().unwrap());
    for _ in 0..100 {
        if let Ok(channel) = Channel::from_shared(client.clone()).unwrap().connect().await
            && KvClient::new(channel.clone()).range(get("x")).await.is_ok()
        {
            return Some((etcd, channel));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("etcd does not come up");
}

fn get(key: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), ..Default::default() }
}

fn range(key: &'static str, end: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), range_end: end.into(), ..Default::default() }
}

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), ..Default::default() }
}

fn delete(key: &'static str, end: &'static str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: true }
}

fn op(request: Op) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn compare(key: &'static str, result: i32, target: i32, union: compare::TargetUnion) -> Compare {
    Compare { key: key.into(), result, target, target_union: Some(union), ..Default::default() }
}

/// What differs lawfully between two stores is taken out.
fn strip(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        *header = ResponseHeader { revision: header.revision, ..Default::default() };
    }
}

/// One request of the script.
#[derive(Clone)]
enum Step {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(i64),
    Grant(i64, i64),
    Revoke(i64),
    TimeToLive(i64),
}

async fn ask(channel: &Channel, step: Step) -> String {
    let mut kv = KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    let mut lease = LeaseClient::new(channel.clone());
    macro_rules! answer {
        ($call:expr) => {
            match $call.await {
                Ok(response) => {
                    let mut response = response.into_inner();
                    strip(&mut response.header);
                    format!("{response:?}")
                }
                Err(status) => refusal(&status),
            }
        };
    }
    match step {
        Step::Range(request) => answer!(kv.range(request)),
        Step::Put(request) => answer!(kv.put(request)),
        Step::Delete(request) => answer!(kv.delete_range(request)),
        Step::Txn(request) => answer!(kv.txn(request)),
        Step::Compact(revision) => answer!(kv.compact(CompactionRequest { revision, physical: true })),
        Step::Grant(id, ttl) => answer!(lease.lease_grant(LeaseGrantRequest { ttl, id })),
        Step::Revoke(id) => answer!(lease.lease_revoke(LeaseRevokeRequest { id })),
        Step::TimeToLive(id) => answer!(lease.lease_time_to_live(LeaseTimeToLiveRequest { id, keys: true })),
    }
}

fn refusal(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

fn reads() -> Vec<Step> {
    let mut steps: Vec<Step> = (0..5)
        .flat_map(|target| (0..3).map(move |order| (target, order)))
        .map(|(sort_target, sort_order)| {
            Step::Range(RangeRequest { sort_target, sort_order, limit: 2, ..range("a", "z") })
        })
        .collect();
    let all = range("\0", "\0");
    steps.extend(
        [
            RangeRequest { count_only: true, ..all.clone() },
            RangeRequest { keys_only: true, limit: 3, ..all.clone() },
            RangeRequest { min_mod_revision: 4, ..all.clone() },
            RangeRequest { max_create_revision: 3, limit: 1, ..all.clone() },
            RangeRequest { revision: 3, ..all.clone() },
            RangeRequest { revision: 99, ..all.clone() },
            RangeRequest { serializable: true, limit: 5, ..all.clone() },
            RangeRequest { sort_order: 7, ..all.clone() },
            RangeRequest { sort_target: 7, ..all },
            range("b", "a"),
            range("b", "\0"),
            range("", "z"),
            get("none"),
        ]
        .map(Step::Range),
    );
    steps
}

fn transactions() -> Vec<Step> {
    use compare::TargetUnion::*;
    let compares = [
        compare("a", 0, 3, Value("2".into())),
        compare("none", 0, 3, Value("".into())),
        compare("none", 3, 3, Value("".into())),
        compare("none", 0, 0, Version(0)),
        compare("none", 1, 2, ModRevision(0)),
        compare("none", 0, 4, Lease(0)),
        compare("a", 1, 0, Version(1)),
        compare("a", 2, 1, CreateRevision(9)),
        Compare { range_end: "c".into(), ..compare("a", 1, 0, Version(0)) },
        Compare { range_end: "zz".into(), ..compare("x", 1, 2, ModRevision(0)) },
        compare("", 0, 0, Version(0)),
    ];
    let nested = TxnRequest {
        compare: vec![compare("a", 0, 3, Value("changed".into()))],
        success: vec![op(Op::RequestPut(put("n", "then")))],
        failure: vec![op(Op::RequestPut(put("n", "else")))],
    };
    let mixed = TxnRequest {
        compare: vec![],
        success: vec![
            op(Op::RequestRange(get("a"))),
            op(Op::RequestPut(PutRequest { prev_kv: true, ..put("a", "changed") })),
            op(Op::RequestRange(get("a"))),
            op(Op::RequestTxn(nested)),
            op(Op::RequestDeleteRange(delete("b", "d"))),
            op(Op::RequestDeleteRange(delete("c", "d"))),
            op(Op::RequestRange(RangeRequest { revision: 3, ..range("a", "z") })),
        ],
        failure: vec![],
    };
    let future = TxnRequest {
        success: vec![
            op(Op::RequestPut(put("a", "no"))),
            op(Op::RequestRange(RangeRequest { revision: 99, ..get("a") })),
        ],
        ..Default::default()
    };
    let many: Vec<_> = (0..129).map(|_| op(Op::RequestRange(get("a")))).collect();
    let only = |success| TxnRequest { success, ..Default::default() };
    let mut steps: Vec<Step> =
        compares.map(|compare| Step::Txn(TxnRequest { compare: vec![compare], ..Default::default() })).to_vec();
    steps.extend(
        [
            mixed,
            future,
            only(many),
            only(vec![]),
            only(vec![op(Op::RequestRange(range("a", "z"))), op(Op::RequestRange(get("n")))]),
            only(vec![RequestOp { request: None }]),
            only(vec![op(Op::RequestPut(put("q", "1"))), op(Op::RequestDeleteRange(delete("p", "r")))]),
            only(vec![op(Op::RequestPut(PutRequest { lease: 77, ..put("q", "1") }))]),
            only(vec![op(Op::RequestDeleteRange(delete("none", "")))]),
            puts(&[("a", "1"), ("a", "2")]),
        ]
        .map(Step::Txn),
    );
    steps
}

fn script() -> Vec<Step> {
    let mut steps: Vec<Step> = [
        put("a", "1"),
        put("a", "2"),
        put("b", "1"),
        put("c", "9"),
        put("", "1"),
        PutRequest { prev_kv: true, ..put("a", "3") },
        PutRequest { ignore_value: true, prev_kv: true, ..put("a", "") },
        PutRequest { ignore_value: true, ..put("a", "x") },
        PutRequest { ignore_value: true, ..put("none", "") },
        PutRequest { ignore_lease: true, lease: 5, ..put("a", "x") },
        PutRequest { ignore_lease: true, ..put("none", "x") },
        PutRequest { lease: 5, ..put("a", "x") },
    ]
    .map(Step::Put)
    .to_vec();
    steps.extend(reads());
    steps.extend(transactions());
    steps.extend([
        Step::Delete(delete("none", "")),
        Step::Delete(delete("", "")),
        Step::Delete(delete("a", "c")),
        Step::Put(put("a", "again")),
        Step::Grant(5, 100),
        Step::Grant(5, 100),
        Step::Grant(6, 0),
        Step::Grant(7, 9_000_000_001),
        Step::Put(PutRequest { lease: 5, ..put("leased", "1") }),
        Step::Put(PutRequest { ignore_lease: true, ..put("leased", "2") }),
        Step::Put(PutRequest { lease: 5, ..put("freed", "1") }),
        Step::Put(put("freed", "2")),
        Step::TimeToLive(99),
        Step::Revoke(99),
        Step::Revoke(5),
        Step::Range(range("\0", "\0")),
        Step::Compact(99),
        Step::Compact(6),
        Step::Compact(6),
        Step::Compact(0),
        Step::Range(RangeRequest { revision: 5, ..range("\0", "\0") }),
        Step::Range(RangeRequest { revision: 6, ..range("\0", "\0") }),
    ]);
    steps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_answers_as_etcd_does() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_etcd, etcd)) = start_etcd(&dir.path().join("etcd")).await else {
        eprintln!("passed over: no etcd under $RAFTSMAN_PEERS; `make peers` builds it");
        return;
    };
    let ours = start(&dir.path().join("ours")).await;
    let mut differences = Vec::new();
    for (number, step) in script().into_iter().enumerate() {
        let (want, have) = (ask(&etcd, step.clone()).await, ask(&ours.channel, step).await);
        if want != have {
            differences.push(format!("step {number}\n  etcd: {want}\n  ours: {have}"));
        }
    }
    for from in [1, 6, 8, 0] {
        let (want, have) = (watched(&etcd, from).await, watched(&ours.channel, from).await);
        if want != have {
            differences.push(format!("watch from {from}\n  etcd: {want:#?}\n  ours: {have:#?}"));
        }
    }
    ours.stop().await.unwrap();
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

/// What a watch of everything from a revision on says within a moment, events one by one.
async fn watched(channel: &Channel, from: i64) -> Vec<String> {
    let create = WatchCreateRequest { key: "\0".into(), range_end: "\0".into(), ..prefix_watch("a", from) };
    let request = WatchRequest { request_union: Some(watch_request::RequestUnion::CreateRequest(create)) };
    let requests = tokio_stream::StreamExt::chain(tokio_stream::once(request), tokio_stream::pending());
    let mut responses = WatchClient::new(channel.clone()).watch(requests).await.unwrap().into_inner();
    let mut said = Vec::new();
    while let Ok(next) = tokio::time::timeout(Duration::from_millis(500), responses.message()).await {
        let Ok(Some(mut response)) = next else { break };
        strip(&mut response.header);
        said.extend(response.events.drain(..).map(|event| format!("{event:?}")));
        if response.created || response.canceled {
            said.push(format!("{response:?}"));
        }
    }
    said
}
