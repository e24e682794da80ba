//! Members of a group in one process: real raft, real connections, disks and a network that can be broken.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb::{PutRequest, RangeRequest};
use proto::raftsman_store_v1 as pb;
use proto::raftsman_store_v1::command::Change;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::listener;
use crate::machine::{Machine, View};
use crate::raft::log::memory::{Memory, Sync};
use crate::raft::state::{Handle, RocksDisk, SnapshotDir, StateDir, Unwatched};
use crate::raft::{Identity, Links, Membership, Node, NodeConfig, Pending, ProposeError};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
const GROUP: u64 = 99;

/// A way from one member to another; cut, it carries nothing and takes nobody.
struct Wire {
    url: String,
    whole: watch::Sender<bool>,
}

impl Wire {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (whole, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.clone();
                tokio::spawn(async move {
                    if !*state.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    near.set_nodelay(true).unwrap();
                    far.set_nodelay(true).unwrap();
                    // First whether it is whole: nothing passes after the cut.
                    tokio::select! {
                        biased;
                        _ = state.wait_for(|whole| !whole) => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { url, whole }
    }
}

/// A member's place: what outlives its process.
pub struct Seat {
    pub id: u64,
    port: u16,
    pub disk: Arc<Memory>,
    /// Ways to the others, by their URL.
    ways: HashMap<String, Wire>,
    pub running: Option<Running>,
}

/// A member's process.
pub struct Running {
    pub node: Arc<Node>,
    pub view: View<RocksDisk>,
    serving: JoinHandle<()>,
    /// Its machine's state is lost with it, as after a crash before the first flush.
    _state: TempDir,
}

/// Three seats.
pub struct Group(pub Vec<Seat>);

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

impl Group {
    /// Founds a group of `size`.
    pub async fn found(size: u64) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..size {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let mut seats = Vec::new();
        for (id, listener) in (1..).zip(listeners) {
            let port = ports[id as usize - 1];
            let mut ways = HashMap::new();
            for other in ports.iter().filter(|other| **other != port) {
                ways.insert(url(*other), Wire::to(*other).await);
            }
            let mut seat = Seat { id, port, disk: Arc::default(), ways, running: None };
            seat.run(listener).await;
            seats.push(seat);
        }
        let members = (1..).zip(&ports).map(|(id, port)| Membership {
            id,
            name: id.to_string(),
            peer_urls: vec![url(*port)],
            ..Default::default()
        });
        let members: Vec<_> = members.collect();
        for seat in &seats {
            seat.node().open().await.unwrap();
        }
        seats[0].node().initialize(members).await.unwrap();
        seats[0].node().open().await.unwrap();
        Self(seats)
    }

    /// The index of the one that leads and is believed by all that run.
    pub async fn leader(&self) -> usize {
        self.leader_among(|_| true).await
    }

    /// The same, asking only some.
    pub async fn leader_among(&self, some: impl Fn(usize) -> bool) -> usize {
        eventually(async || {
            let asked = self.0.iter().enumerate().filter(|(index, seat)| some(*index) && seat.running.is_some());
            let mut seen = asked.map(|(_, seat)| seat.node().status().leadership);
            let first = seen.next().unwrap();
            let leader = self.0.iter().position(|seat| Some(seat.id) == first.leader);
            match leader {
                Some(leader)
                    if some(leader) && self.0[leader].running.is_some() && seen.all(|other| other == first) =>
                {
                    Ok(leader)
                }
                _ => Err("they don't agree on a leader"),
            }
        })
        .await
    }

    /// Cuts or heals all ways to and from a member.
    pub fn wire(&self, index: usize, whole: bool) {
        let own = url(self.0[index].port);
        for (at, seat) in self.0.iter().enumerate() {
            for (to, way) in &seat.ways {
                if at == index || *to == own {
                    way.whole.send_replace(whole);
                }
            }
        }
    }
}

impl Drop for Seat {
    /// A test that fails while its disk stalls must end: the log's thread is waited for.
    fn drop(&mut self) {
        self.disk.syncs(Sync::Works);
    }
}

impl Seat {
    pub fn node(&self) -> &Arc<Node> {
        &self.running.as_ref().expect("it runs").node
    }

    /// Kills the member without warning: what its disk did not sync is gone.
    pub async fn kill(&mut self) {
        let running = self.running.take().expect("it runs");
        self.disk = self.disk.crash();
        running.serving.abort();
        drop(running.serving.await);
        running.node.shutdown().await;
    }

    /// Starts the member again.
    pub async fn restart(&mut self) {
        let listener = eventually(async || TcpListener::bind(("127.0.0.1", self.port)).await).await;
        self.run(listener).await;
        self.node().open().await.unwrap();
    }

    async fn run(&mut self, listener: TcpListener) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(RocksDisk::open(StateDir::open(&dir.path().join("state")).unwrap()).unwrap());
        let machine = Machine::open(disk.clone(), disk.stored().unwrap()).unwrap();
        let view = View::new(machine.shared().clone(), disk.clone());
        let pending = Pending::new(self.id, rand::random());
        let worker = Handle::new(machine, disk, Unwatched, pending.clone(), Default::default());
        let via = self.ways.iter().map(|(url, way)| (url.clone(), way.url.clone())).collect();
        let config = NodeConfig {
            identity: Arc::new(Identity::new(self.id, GROUP, Box::new(|_| Ok(())))),
            links: Arc::new(Links::via(via)),
            snapshots: SnapshotDir::open(&dir.path().join("snapshots")).unwrap(),
            snapshot_entries: 0,
            pending,
            metrics: Default::default(),
        };
        let node = Arc::new(Node::start(config, self.disk.open(), worker).await.unwrap());
        let mut routes = tonic::service::Routes::builder();
        routes
            .add_service(node.service())
            .add_service(pb::leader_server::LeaderServer::new(LeaderService(node.clone())));
        let router = routes.routes().into_axum_router();
        let serving = tokio::spawn(listener::serve(listener, None, router, std::future::pending()));
        self.running = Some(Running { node, view, serving, _state: dir });
    }

    /// Writes a key here.
    pub async fn put(&self, key: &str, value: &str) -> Result<(), ProposeError> {
        let put = PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() };
        self.node().propose(Change::Put(put)).await.map(|_| ())
    }

    /// Reads a key here without asking anybody: its value, and how often it was written.
    pub fn peek(&self, key: &str) -> Option<(String, i64)> {
        let range = RangeRequest { key: key.to_owned().into(), ..Default::default() };
        let view = &self.running.as_ref().expect("it runs").view;
        let kv = view.range(&range).unwrap().kvs.pop()?;
        Some((String::from_utf8(kv.value.to_vec()).unwrap(), kv.version))
    }
}

/// What a follower asks, answered by a node alone.
struct LeaderService(Arc<Node>);

#[tonic::async_trait]
impl pb::leader_server::Leader for LeaderService {
    type ProposeStream = ReceiverStream<Result<pb::ProposeResponse, Status>>;

    async fn propose(
        &self,
        request: Request<Streaming<pb::ProposeRequest>>,
    ) -> Result<Response<Self::ProposeStream>, Status> {
        let (refusals, told) = mpsc::channel(8);
        let node = self.0.clone();
        tokio::spawn(async move {
            let mut requests = request.into_inner();
            while let Ok(Some(request)) = requests.message().await {
                let outcome = node.take(request.term, request.commands).await.unwrap();
                let refusals = refusals.clone();
                tokio::spawn(async move {
                    let not_taken = outcome.await;
                    drop(refusals.send(Ok(pb::ProposeResponse { not_taken })).await);
                });
            }
        });
        Ok(Response::new(ReceiverStream::new(told)))
    }

    async fn read_index(&self, _: Request<pb::ReadIndexRequest>) -> Result<Response<pb::ReadIndexResponse>, Status> {
        let id = self.0.read_index().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(pb::ReadIndexResponse { id: Some(id) }))
    }

    async fn renew_leases(
        &self,
        _: Request<pb::RenewLeasesRequest>,
    ) -> Result<Response<pb::RenewLeasesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn lease_time_to_live(
        &self,
        _: Request<pb::LeaseRemainingRequest>,
    ) -> Result<Response<pb::LeaseRemainingResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn change_members(&self, _: Request<pb::MemberChange>) -> Result<Response<pb::MemberChanged>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// What `attempt` gives once it succeeds.
pub async fn eventually<T, E: std::fmt::Debug>(mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) if tokio::time::Instant::now() > deadline => panic!("not within {PATIENCE:?}: {error:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
