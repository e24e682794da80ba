//! A group of real stores in this process, in plaintext on loopback, each with a directory of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest,
    PutRequest, RangeRequest, StatusRequest, StatusResponse,
};
use store::{Join, Peers};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Channel;

/// How long anything may take on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until it is so; panics with what was last seen.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(mut look: impl FnMut() -> F) -> T {
    let begun = tokio::time::Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if begun.elapsed() > PATIENCE => panic!("still: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A member: its place, and its process while it runs.
pub struct Place {
    pub name: String,
    pub dir: TempDir,
    pub peer: SocketAddr,
    pub client: SocketAddr,
    running: Option<Running>,
}

/// What stops a store, and its end.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), store::Error>>);

/// Draws an address that nobody listens at.
pub async fn address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address")
}

impl Place {
    pub async fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self { name: name.into(), dir, peer: address().await, client: address().await, running: None }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.peer)
    }

    /// The entry of `--initial-cluster`.
    pub fn entry(&self) -> (String, String) {
        (self.name.clone(), self.url())
    }

    /// Begins to run; `ready` tells when it serves.
    pub async fn launch(&mut self, initial: &[(String, String)], join: Join) -> oneshot::Receiver<store::Ready> {
        let listener = listen(self.peer).await;
        let own =
            initial.iter().find(|(name, _)| *name == self.name).map_or_else(|| self.url(), |(_, url)| url.clone());
        let peers = Peers { listener, tls: None, advertise: vec![own], initial: initial.to_vec(), join };
        self.run(Some(peers)).await
    }

    /// Begins to run without a peer port.
    pub async fn launch_alone(&mut self) -> oneshot::Receiver<store::Ready> {
        self.run(None).await
    }

    /// Runs without a peer port, and serves.
    pub async fn start_alone(&mut self) {
        let ready = self.launch_alone().await;
        tokio::time::timeout(PATIENCE, ready).await.expect("ready in time").expect("it serves");
    }

    async fn run(&mut self, peers: Option<Peers>) -> oneshot::Receiver<store::Ready> {
        let client = listen(self.client).await;
        let (said, ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let config = store::Config {
            name: self.name.clone(),
            data_dir: self.data(),
            peers,
            ready: Some(said),
            ..Default::default()
        };
        let task = tokio::spawn(store::run(config, client, async {
            let _gone = stopped.await.is_err();
        }));
        self.running = Some((stop, task));
        ready
    }

    /// Runs and serves.
    pub async fn start(&mut self, initial: &[(String, String)], join: Join) -> store::Ready {
        let begun = tokio::time::Instant::now();
        loop {
            let ready = self.launch(initial, join).await;
            if let Ok(ready) = tokio::time::timeout(PATIENCE, ready).await.expect("ready in time") {
                return ready;
            }
            let reason = self.refusal().await;
            // Tasks of one that was stopped may hold the directory for a moment more.
            let held = reason.contains("in use by another process") && begun.elapsed() < PATIENCE;
            assert!(held, "{} ended: {reason}", self.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Must end by itself; why.
    pub async fn refused(&mut self, initial: &[(String, String)], join: Join) -> String {
        let _ready = self.launch(initial, join).await;
        self.refusal().await
    }

    /// Why it ended by itself.
    pub async fn refusal(&mut self) -> String {
        let (_stop, task) = self.running.take().expect("it runs");
        let ended = tokio::time::timeout(PATIENCE, task).await.expect("an end in time");
        ended.expect("no panic").expect_err("a refusal").to_string()
    }

    pub async fn stop(&mut self) {
        let Some((stop, task)) = self.running.take() else { return };
        let _ended = stop.send(()).is_err();
        task.await.expect("no panic").expect("a clean end");
    }

    /// Everything is gone, as after a new disk. A member that was refused may hold its log open for a moment more.
    pub async fn wipe(&self) {
        eventually(|| async { std::fs::remove_dir_all(self.data()).map_err(|error| error.to_string()) }).await;
    }

    async fn channel(&self) -> Channel {
        let url = format!("http://{}", self.client);
        let endpoint = Channel::from_shared(url).expect("a URL").timeout(Duration::from_secs(10));
        endpoint.connect_lazy()
    }

    pub async fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel().await)
    }

    pub async fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel().await)
    }

    pub async fn status(&self) -> Result<StatusResponse, Status> {
        let status = MaintenanceClient::new(self.channel().await).status(StatusRequest {}).await?;
        Ok(status.into_inner())
    }

    pub async fn put(&self, key: &str, value: &str) -> Result<(), Status> {
        let put = PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() };
        self.kv().await.put(put).await.map(|_| ())
    }

    /// The value of a key; `serializable` reads what this member has.
    pub async fn get(&self, key: &str, serializable: bool) -> Result<Option<String>, Status> {
        let range = RangeRequest { key: key.to_owned().into(), serializable, ..Default::default() };
        let kvs = self.kv().await.range(range).await?.into_inner().kvs;
        Ok(kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()))
    }

    pub async fn members(&self) -> Result<Vec<Member>, Status> {
        let list = self.cluster().await.member_list(MemberListRequest { linearizable: true }).await?;
        Ok(list.into_inner().members)
    }

    pub async fn add(&self, url: &str, learner: bool) -> Result<Member, Status> {
        let request = MemberAddRequest { peer_urls: vec![url.to_owned()], is_learner: learner };
        Ok(self.cluster().await.member_add(request).await?.into_inner().member.expect("the new member"))
    }

    pub async fn remove(&self, id: u64) -> Result<(), Status> {
        self.cluster().await.member_remove(MemberRemoveRequest { id }).await.map(|_| ())
    }

    pub async fn update(&self, id: u64, url: &str) -> Result<(), Status> {
        let request = MemberUpdateRequest { id, peer_urls: vec![url.to_owned()] };
        self.cluster().await.member_update(request).await.map(|_| ())
    }

    pub async fn promote(&self, id: u64) -> Result<(), Status> {
        self.cluster().await.member_promote(MemberPromoteRequest { id }).await.map(|_| ())
    }

    /// Waits until a write through this member is acknowledged.
    pub async fn writes(&self, key: &str) {
        eventually(|| async { self.put(key, "x").await.map_err(|status| status.to_string()) }).await;
    }
}

async fn listen(address: SocketAddr) -> TcpListener {
    // The port of the run before may take a moment to be free.
    eventually(|| async { TcpListener::bind(address).await.map_err(|error| error.to_string()) }).await
}

/// Entries of `--initial-cluster`.
pub fn plan(places: &[&Place]) -> Vec<(String, String)> {
    places.iter().map(|place| place.entry()).collect()
}

/// Three members that have founded a group: a, b, c.
pub async fn three() -> [Place; 3] {
    let mut places = [Place::new("a").await, Place::new("b").await, Place::new("c").await];
    start_all(&mut places).await;
    places
}

/// Starts all of them, each with the same plan, and waits until all serve.
pub async fn start_all(places: &mut [Place]) {
    let initial: Vec<_> = places.iter().map(Place::entry).collect();
    let mut launched = Vec::new();
    for place in &mut *places {
        launched.push(place.launch(&initial, Join::New).await);
    }
    for (place, ready) in places.iter_mut().zip(launched) {
        if tokio::time::timeout(PATIENCE, ready).await.expect("ready in time").is_err() {
            let reason = place.refusal().await;
            panic!("{} ended: {reason}", place.name);
        }
    }
}

/// Index of the leader among these.
pub async fn leader(places: &[Place]) -> usize {
    eventually(|| async {
        for (index, place) in places.iter().enumerate() {
            if let Ok(status) = place.status().await
                && status.leader == status.header.as_ref().map_or(0, |header| header.member_id)
            {
                return Ok(index);
            }
        }
        Err("nobody leads".to_owned())
    })
    .await
}

pub async fn stop_all(places: &mut [Place]) {
    for place in places {
        place.stop().await;
    }
}
