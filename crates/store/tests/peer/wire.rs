//! Calls that no client library makes: methods that do not exist, messages that are none, too large, too many or missing.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use proto::etcdserverpb::*;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use crate::script::{get, put};
use crate::step::{Peer, refusal};

/// How long a stream may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What refuses bytes that are no message differs from one protobuf library to the next, and is not compared.
const NO_MESSAGE: &str = "no message";

/// Plays everything on one store.
pub async fn transcript(peer: &Peer) -> Vec<String> {
    let put_one = |value: &str| Bytes::from(put("wire", value).encode_to_vec());
    let nonsense = Bytes::from_static(b"\xff\xff\xff\xff");
    let sized = |bytes: usize| put_one(&"x".repeat(bytes));
    let (range, watch) = ("/etcdserverpb.KV/Range", "/etcdserverpb.Watch/Watch");
    let keep_alive = |id| Bytes::from(LeaseKeepAliveRequest { id }.encode_to_vec());
    let calls: Vec<(&str, Vec<Bytes>)> = vec![
        ("/etcdserverpb.KV/Put", vec![put_one("1"), put_one("2")]),
        (range, vec![get("wire").encode_to_vec().into()]),
        (range, vec![]),
        (range, vec![Bytes::new()]),
        (range, vec![nonsense.clone()]),
        ("/etcdserverpb.KV/Nothing", vec![Bytes::new()]),
        ("/etcdserverpb.KV/RangeStream", vec![get("wire").encode_to_vec().into()]),
        ("/etcdserverpb.Watch/Nothing", vec![Bytes::new()]),
        ("/etcdserverpb.Lease/Nothing", vec![Bytes::new()]),
        ("/v3lockpb.Lock/Nothing", vec![Bytes::new()]),
        ("/grpc.health.v1.Health/Nothing", vec![Bytes::new()]),
        ("/grpc.health.v1.Health/Check", vec![Bytes::new()]),
        ("/grpc.health.v1.Health/Check", vec![Bytes::from_static(b"\x0a\x0fetcdserverpb.KV")]),
        ("/grpc.health.v1.Health/Check", vec![Bytes::from_static(b"\x0a\x04none")]),
        ("/nothing.Here/Nothing", vec![Bytes::new()]),
        ("/nothing.Here/Sub/Nothing", vec![Bytes::new()]),
        ("/nothing", vec![Bytes::new()]),
        ("/etcdserverpb.KV/Put", vec![sized(1_572_800)]),
        ("/etcdserverpb.KV/Put", vec![sized(1_572_900)]),
        ("/etcdserverpb.KV/Put", vec![sized(2_097_100)]),
        ("/etcdserverpb.KV/Put", vec![sized(2_097_153)]),
        ("/etcdserverpb.Lease/LeaseKeepAlive", vec![keep_alive(404), nonsense.clone()]),
        ("/etcdserverpb.Lease/LeaseKeepAlive", vec![keep_alive(404), keep_alive(405)]),
        ("/etcdserverpb.Lease/LeaseKeepAlive", vec![]),
        (watch, vec![nonsense]),
    ];
    let mut told = Vec::new();
    for (path, messages) in calls {
        let shown: Vec<_> = messages.iter().map(Bytes::len).collect();
        told.push(format!("{path} {shown:?}: {}", call(peer, path, messages).await));
    }
    told
}

/// How many messages are answered, and what refuses.
async fn call(peer: &Peer, path: &str, messages: Vec<Bytes>) -> String {
    let mut grpc = Grpc::new(peer.channel.clone());
    grpc.ready().await.unwrap();
    let request = Request::new(tokio_stream::iter(messages));
    let answered = tokio::time::timeout(PATIENCE, async {
        let mut stream = match grpc.streaming(request, path.parse().unwrap(), Raw).await {
            Ok(answered) => answered.into_inner(),
            Err(status) => return told(&status),
        };
        let mut count = 0;
        loop {
            match stream.message().await {
                Ok(Some(_)) => count += 1,
                Ok(None) => return format!("{count} answers"),
                // A library that has nothing to answer yet may refuse before or after the answer's head.
                Err(status) if count == 0 => return told(&status),
                Err(status) => return format!("{count} answers, {}", told(&status)),
            }
        }
    });
    answered.await.unwrap_or_else(|_| "no end".into())
}

fn told(status: &Status) -> String {
    match status.code() {
        Code::Internal => NO_MESSAGE.into(),
        _ => refusal(status),
    }
}

/// Messages as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
