//! A real store on a port of its own, and etcd clients for it.

// Each test binary uses its part.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;

use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::{
    DeleteRangeRequest, HashKvRequest, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, TxnRequest,
    WatchCreateRequest, WatchRequest, WatchResponse, request_op, watch_request::RequestUnion,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// How long a directory may be held by what is left of a store that was stopped.
const IN_USE_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// A running store; `stop` ends it.
pub struct Running {
    pub channel: Channel,
    pub address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), store::Error>>,
}

/// Starts a store named `a` on `dir`.
pub async fn start(dir: &Path) -> Running {
    let begun = std::time::Instant::now();
    loop {
        match try_start(dir, "a").await {
            // Tasks of one that was stopped may hold the directory for a moment more.
            Err(store::Error::InUse { .. }) if begun.elapsed() < IN_USE_MAX => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            started => return started.expect("the store starts"),
        }
    }
}

/// Starts a store named `a` with so many entries between two snapshots.
pub async fn start_with(dir: &Path, snapshot_entries: u64) -> Result<Running, store::Error> {
    run(store::Config { name: "a".into(), data_dir: dir.to_owned(), snapshot_entries, ..Default::default() }).await
}

/// Starts a store, or answers why it does not.
pub async fn try_start(dir: &Path, name: &str) -> Result<Running, store::Error> {
    run(store::Config { name: name.into(), data_dir: dir.to_owned(), ..Default::default() }).await
}

/// Starts a store, or answers why it does not.
pub async fn run(config: store::Config) -> Result<Running, store::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (said, ready) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let config = store::Config { ready: Some(said), ..config };
    let task = tokio::spawn(store::run(config, listener, async {
        let _gone = stopped.await.is_err();
    }));
    let Ok(ready) = ready.await else {
        return Err(task.await.expect("no panic").expect_err("it ended before it was ready"));
    };
    let channel = Channel::from_shared(format!("http://{}", ready.address)).expect("a URL");
    let channel = channel.connect().await.expect("a connection");
    Ok(Running { channel, address: ready.address, stop, task })
}

impl Running {
    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    /// Hash of all that can be read.
    pub async fn hash(&self) -> u32 {
        self.maintenance().hash_kv(HashKvRequest { revision: 0 }).await.expect("a hash").into_inner().hash
    }

    pub async fn put(&self, key: &str, value: &str) -> PutResponse {
        let put = PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() };
        self.kv().put(put).await.expect("a put").into_inner()
    }

    pub async fn get(&self, key: &str) -> RangeResponse {
        let range = RangeRequest { key: key.to_owned().into(), ..Default::default() };
        self.kv().range(range).await.expect("a range").into_inner()
    }

    pub async fn delete(&self, key: &str) -> i64 {
        let delete = DeleteRangeRequest { key: key.to_owned().into(), ..Default::default() };
        self.kv().delete_range(delete).await.expect("a deletion").into_inner().deleted
    }

    pub async fn watch(&self) -> Watch {
        let (requests, stream) = mpsc::channel(8);
        let mut client = WatchClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        let responses = client.watch(ReceiverStream::new(stream)).await.expect("a stream").into_inner();
        Watch { requests, responses }
    }

    pub async fn stop(self) -> Result<(), store::Error> {
        let _ended = self.stop.send(()).is_err();
        drop(self.channel);
        self.task.await.expect("no panic")
    }
}

/// A watch stream.
pub struct Watch {
    requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
}

impl Watch {
    pub async fn create(&mut self, create: WatchCreateRequest) -> WatchResponse {
        self.send(RequestUnion::CreateRequest(create)).await;
        self.next().await
    }

    pub async fn send(&mut self, request: RequestUnion) {
        self.requests.send(WatchRequest { request_union: Some(request) }).await.expect("the stream is open");
    }

    pub fn responses(&mut self) -> &mut Streaming<WatchResponse> {
        &mut self.responses
    }

    pub async fn next(&mut self) -> WatchResponse {
        let next = tokio::time::timeout(std::time::Duration::from_secs(60), self.responses.message());
        next.await.expect("an answer in time").expect("no error").expect("the stream goes on")
    }
}

/// All keys that begin with `prefix`, from revision `from` on.
pub fn prefix_watch(prefix: &str, from: i64) -> WatchCreateRequest {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().expect("a prefix") += 1;
    WatchCreateRequest {
        key: prefix.to_owned().into(),
        range_end: end.into(),
        start_revision: from,
        prev_kv: true,
        ..Default::default()
    }
}

/// A transaction of puts.
pub fn puts(pairs: &[(&str, &str)]) -> TxnRequest {
    let op = |(key, value): &(&str, &str)| RequestOp {
        request: Some(request_op::Request::RequestPut(PutRequest {
            key: key.to_string().into(),
            value: value.to_string().into(),
            ..Default::default()
        })),
    };
    TxnRequest { success: pairs.iter().map(op).collect(), ..Default::default() }
}
