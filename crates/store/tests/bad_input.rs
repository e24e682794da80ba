//! What must not be able to harm a store, on its client port: requests that are too big, and bytes that are no request.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod harness;

use std::time::Duration;

use harness::{Running, prefix_watch, start};
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::*;
use proto::v3lockpb::LockRequest;
use proto::v3lockpb::lock_client::LockClient;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};

/// What HTTP/2 begins with, and a settings frame without settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// How long a store may leave a nonsensical connection open before the test goes on to the next one.
const CLOSED_WITHIN: Duration = Duration::from_millis(300);

/// The store answers, and its keys are those that were put.
async fn unharmed(store: &Running, puts: i64) {
    let all = RangeRequest { key: "\0".into(), range_end: "\0".into(), count_only: true, ..Default::default() };
    let answer = store.kv().range(all).await.unwrap().into_inner();
    assert_eq!((answer.count, answer.header.unwrap().revision), (puts, puts + 1));
}

fn too_large(status: Status) {
    let words = status.message();
    assert_eq!(status.code(), Code::ResourceExhausted, "{words}");
    assert!(
        words.starts_with("grpc: received message larger than max (") && words.ends_with(" vs. 2097152)"),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_are_refused_in_etcds_words() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    store.put("a", "1").await;
    let large = || bytes::Bytes::from(vec![b'x'; 10 << 20]);
    too_large(store.kv().put(PutRequest { key: "a".into(), value: large(), ..Default::default() }).await.unwrap_err());
    too_large(store.kv().range(RangeRequest { key: large(), ..Default::default() }).await.unwrap_err());
    too_large(store.kv().delete_range(DeleteRangeRequest { key: large(), ..Default::default() }).await.unwrap_err());
    let op = RequestOp {
        request: Some(Op::RequestPut(PutRequest { key: "a".into(), value: large(), ..Default::default() })),
    };
    too_large(store.kv().txn(TxnRequest { success: vec![op], ..Default::default() }).await.unwrap_err());
    let lock = LockRequest { name: large(), lease: 0 };
    too_large(LockClient::new(store.channel.clone()).lock(lock).await.unwrap_err());

    let create = WatchCreateRequest { key: large(), ..prefix_watch("a", 0) };
    let create = WatchRequest { request_union: Some(watch_request::RequestUnion::CreateRequest(create)) };
    let watch = WatchClient::new(store.channel.clone()).watch(tokio_stream::once(create)).await;
    // A stream's refusal may come before or after its beginning.
    if let Ok(stream) = watch {
        assert!(matches!(stream.into_inner().message().await, Ok(None) | Err(_)));
    }
    let middling = PutRequest { key: "a".into(), value: vec![0; 1_600_000].into(), ..Default::default() };
    let refused = store.kv().put(middling).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "etcdserver: request is too large"));

    unharmed(&store, 1).await;
    assert!(LeaseClient::new(store.channel.clone()).lease_leases(LeaseLeasesRequest {}).await.is_ok());
    store.stop().await.unwrap();
}

/// Sends bytes, and reads until the store closes the connection or says nothing more.
async fn send(store: &Running, bytes: &[u8]) {
    let mut socket = TcpStream::connect(store.address).await.unwrap();
    // The store may hang up in the middle.
    let _closed = socket.write_all(bytes).await.is_err();
    let mut answer = [0; 4096];
    while let Ok(Ok(1..)) = tokio::time::timeout(CLOSED_WITHIN, socket.read(&mut answer)).await {}
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// HPACK without indexing or compression.
fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_frames_close_their_connection_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = start(dir.path()).await;
    store.put("a", "1").await;
    let mut watch = store.watch().await;
    assert!(watch.create(prefix_watch("b", 0)).await.created);

    let call = headers(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/etcdserverpb.KV/Put"),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]);
    let call = frame(1, 4, 1, &call);
    let hello = [PREFACE, SETTINGS].concat();
    let messages: [&[u8]; 7] = [
        // No message, half a head, a length without its message, a message that is no protobuf.
        b"",
        b"\0\0",
        b"\0\0\0\0\xffabc",
        b"\0\0\0\0\x04\xff\xff\xff\xff",
        // A compressed one that was not announced, an impossible flag, 4 GiB.
        b"\x01\0\0\0\x03abc",
        b"\x07\0\0\0\0",
        b"\0\xff\xff\xff\xffabc",
    ];
    for message in messages {
        send(&store, &[&hello[..], &call, &frame(0, 1, 1, message)].concat()).await;
    }
    let nonsense: [&[u8]; 9] = [
        b"",
        b"\0",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /etcdserverpb.KV/Put HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
        &PREFACE[..9],
        &[PREFACE, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"].concat(),
        // A header block that is none, data for a stream that was never opened, a window of nothing.
        &[&hello[..], &frame(1, 4, 1, &[0xff; 40])].concat(),
        &[&hello[..], &frame(0, 0, 99, b"abc")].concat(),
        &[&hello[..], &frame(8, 0, 0, &[0; 4])].concat(),
    ];
    for bytes in nonsense {
        send(&store, bytes).await;
    }
    let mut random = StdRng::seed_from_u64(4);
    for round in 0..40 {
        let mut bytes = vec![0; random.random_range(1..2000)];
        random.fill_bytes(&mut bytes);
        let bytes = if round % 2 == 0 { bytes } else { [&hello[..], &bytes].concat() };
        send(&store, &bytes).await;
    }

    unharmed(&store, 1).await;
    store.put("b", "1").await;
    assert_eq!(watch.next().await.events.len(), 1, "an old stream goes on");
    store.stop().await.unwrap();
}
