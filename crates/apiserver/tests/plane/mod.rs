//! A real store and a real API server on ports of their own, in this process, in plaintext on loopback.

#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use proto::core_v1::{Container, Namespace, Pod, PodSpec};
use proto::meta_v1::ObjectMeta;
use proto::raftsman_v1 as pb;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

/// What a test holds; the servers end with it.
pub struct Plane {
    pub channel: Channel,
    pub address: std::net::SocketAddr,
    /// The store's URL.
    pub store: String,
    stops: Vec<Stop>,
    _data: tempfile::TempDir,
}

/// How a server is told to stop, and when it has.
type Stop = (oneshot::Sender<()>, tokio::task::JoinHandle<()>);

impl Drop for Plane {
    /// Waits for the end, API servers before the store: RocksDB minds a process that exits under it.
    fn drop(&mut self) {
        let stops: Vec<Stop> = self.stops.drain(..).rev().collect();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for (stop, ended) in stops {
                    stop.send(()).ok();
                    tokio::time::timeout(Duration::from_secs(10), ended).await.ok();
                }
            });
        });
    }
}

/// Starts both and waits until they are ready. `RAFTSMAN_TEST_ETCD=http://...` uses that store instead of ours.
pub async fn start() -> Plane {
    let data = tempfile::tempdir().expect("a directory");
    let mut stops = Vec::new();
    let endpoint = match std::env::var("RAFTSMAN_TEST_ETCD") {
        Ok(endpoint) => endpoint,
        Err(_) => {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let (ready, is_ready) = oneshot::channel();
            let config = store::Config {
                name: "a".into(),
                data_dir: data.path().join("store"),
                ready: Some(ready),
                ..store::Config::default()
            };
            stops.push(spawn(|stop| store::run(config, listener, stop)));
            let ready =
                tokio::time::timeout(Duration::from_secs(30), is_ready).await.expect("in time").expect("the store");
            format!("http://{}", ready.address)
        }
    };
    let address = serve(&endpoint, &mut stops).await;
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("a URL").connect().await;
    Plane { channel: channel.expect("connected"), address, store: endpoint, stops, _data: data }
}

impl Plane {
    /// Starts another API server on the same store, which knows nothing of what the first has seen.
    pub async fn another(&mut self) -> std::net::SocketAddr {
        serve(&self.store.clone(), &mut self.stops).await
    }
}

async fn serve(store: &str, stops: &mut Vec<Stop>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (ready, is_ready) = oneshot::channel();
    let config = apiserver::Config {
        store: apiserver::StoreEndpoint { endpoints: vec![store.to_string()], ..Default::default() },
        insecure_admin: true,
        version: "v1.36.0+raftsman.test".into(),
        ready: Some(ready),
        ..apiserver::Config::default()
    };
    stops.push(spawn(|stop| apiserver::run(config, listener, stop)));
    let ready =
        tokio::time::timeout(Duration::from_secs(30), is_ready).await.expect("in time").expect("the API server");
    ready.address
}

fn spawn<F, E>(run: impl FnOnce(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) -> F) -> Stop
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::fmt::Display + Send,
{
    let (stop, stopped) = oneshot::channel::<()>();
    let running = run(Box::pin(async move {
        stopped.await.ok();
    }));
    let ended = tokio::spawn(async move {
        if let Err(error) = running.await {
            panic!("a server ended: {error}");
        }
    });
    (stop, ended)
}

pub fn meta(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { namespace: namespace.into(), name: name.into(), ..ObjectMeta::default() }
}

/// A Pod with one container.
pub fn pod(namespace: &str, name: &str) -> Pod {
    let container = Container { name: "c".into(), image: "i".into(), ..Container::default() };
    let spec = PodSpec { containers: vec![container], ..PodSpec::default() };
    Pod { metadata: Some(meta(namespace, name)), spec: Some(spec), ..Pod::default() }
}

/// A fresh namespace, so that tests may share a store.
pub async fn namespace(plane: &Plane, prefix: &str) -> String {
    let mut client = pb::namespace_service_client::NamespaceServiceClient::new(plane.channel.clone());
    let metadata = ObjectMeta { generate_name: format!("{prefix}-"), ..ObjectMeta::default() };
    let namespace = Namespace { metadata: Some(metadata), ..Namespace::default() };
    let request = pb::NamespaceCreateRequest { namespace: Some(namespace), ..Default::default() };
    let made = client.create(request).await.expect("made").into_inner();
    made.metadata.expect("metadata").name
}

pub fn create(object: pb::object::Object) -> pb::Write {
    pb::Write { op: Some(pb::write::Op::Create(pb::Object { object: Some(object) })) }
}
