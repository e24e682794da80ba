//! A group of three real stores in this process: peer ports in mutual TLS, client ports in plaintext.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::etcdserverpb::StatusRequest;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{PutRequest, RangeRequest};
use proto::raftsman_store_v1::HelloRequest;
use proto::raftsman_store_v1::group_client::GroupClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use store::{Join, PeerTls, Peers};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// More groups at once than this would depose each other's leaders on a small machine.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Three members; those that were stopped are `None`.
pub struct Trio {
    _turn: SemaphorePermit<'static>,
    dir: TempDir,
    urls: Vec<(String, String)>,
    snapshot_entries: u64,
    pub authority: Authority,
    pub members: [Option<Member>; 3],
}

/// A running member.
pub struct Member {
    pub channel: Channel,
    pub leads: watch::Receiver<bool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), store::Error>>,
}

/// An authority that signs peers' certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    /// Writes a certificate named `name`, its key and the authority's certificate into `dir`.
    pub fn issue(&self, dir: &Path, name: &str) -> PeerTls {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        std::fs::create_dir_all(dir).expect("a folder");
        let file = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        PeerTls {
            certificate: file("peer.crt", &certificate.pem()),
            key: file("peer.key", &key.serialize_pem()),
            ca: file("ca.crt", &self.0.pem()),
        }
    }
}

impl Trio {
    /// Starts all three, which found their group.
    pub async fn start() -> Self {
        Self::start_with(0).await
    }

    /// Starts all three with so many entries between two snapshots; 0 is the default.
    pub async fn start_with(snapshot_entries: u64) -> Self {
        let turn = TURNS.acquire().await.expect("never closed");
        let dir = tempfile::tempdir().expect("a folder");
        let authority = Authority::new();
        let mut listeners = Vec::new();
        let mut urls = Vec::new();
        for name in NAMES {
            authority.issue(&dir.path().join("pki").join(name), &format!("raftsman-peer:{name}"));
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            urls.push((name.to_owned(), format!("https://{address}")));
            listeners.push(listener);
        }
        let mut trio = Self { _turn: turn, dir, urls, snapshot_entries, authority, members: [None, None, None] };
        let starting = listeners.into_iter().enumerate().map(|(index, listener)| trio.run(index, listener));
        let members = futures::future::join_all(starting).await;
        for (slot, member) in trio.members.iter_mut().zip(members) {
            *slot = Some(member);
        }
        trio
    }

    /// The data directory of a member.
    pub fn data(&self, index: usize) -> PathBuf {
        self.dir.path().join("data").join(NAMES[index])
    }

    /// Where a member's peers reach it.
    pub fn peer_url(&self, index: usize) -> &str {
        &self.urls[index].1
    }

    async fn run(&self, index: usize, peer: TcpListener) -> Member {
        let run = self.try_run(index, peer).await;
        run.unwrap_or_else(|error| panic!("{} ended: {error}", NAMES[index]))
    }

    async fn try_run(&self, index: usize, peer: TcpListener) -> Result<Member, store::Error> {
        let name = NAMES[index];
        let pki = self.dir.path().join("pki").join(name);
        let tls = PeerTls { certificate: pki.join("peer.crt"), key: pki.join("peer.key"), ca: pki.join("ca.crt") };
        let client = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (said, ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (leading, leads) = watch::channel(false);
        let peers = Peers {
            listener: peer,
            tls: Some(tls),
            advertise: vec![self.urls[index].1.clone()],
            initial: self.urls.clone(),
            join: Join::New,
        };
        let config = store::Config {
            name: name.into(),
            data_dir: self.data(index),
            peers: Some(peers),
            ready: Some(said),
            leads: Some(leading),
            hand_over: None,
            snapshot_entries: self.snapshot_entries,
            ..Default::default()
        };
        let task = tokio::spawn(store::run(config, client, async {
            let _gone = stopped.await.is_err();
        }));
        let ready = tokio::time::timeout(PATIENCE, ready).await.expect("ready in time");
        let Ok(ready) = ready else { return Err(task.await.expect("no panic").expect_err("it ended by itself")) };
        let channel = Channel::from_shared(format!("http://{}", ready.address)).expect("a URL");
        let channel = channel.connect().await.expect("a connection");
        Ok(Member { channel, leads, stop, task })
    }

    /// Starts a member again.
    pub async fn restart(&mut self, index: usize) {
        let address = self.urls[index].1.trim_start_matches("https://").to_owned();
        let begun = tokio::time::Instant::now();
        self.members[index] = loop {
            let listener = eventually(|| TcpListener::bind(&address)).await;
            match self.try_run(index, listener).await {
                Ok(member) => break Some(member),
                // Tasks of one that was stopped may hold the directory for a moment more.
                Err(store::Error::InUse { .. }) if begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{} ended: {error}", NAMES[index]),
            }
        };
    }

    /// Stops a member as SIGTERM does.
    pub async fn stop(&mut self, index: usize) {
        let member = self.members[index].take().expect("it runs");
        member.stop().await;
    }

    pub fn member(&self, index: usize) -> &Member {
        self.members[index].as_ref().expect("it runs")
    }

    /// Who leads, once one does.
    pub async fn leader(&self) -> usize {
        eventually(|| async {
            let leads = |member: &Option<Member>| member.as_ref().is_some_and(|member| *member.leads.borrow());
            self.members.iter().position(leads).ok_or("nobody leads")
        })
        .await
    }

    /// One that runs and does not lead.
    pub async fn follower(&self) -> usize {
        let leader = self.leader().await;
        (0..3).find(|index| *index != leader && self.members[*index].is_some()).expect("a follower")
    }
}

impl Member {
    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    /// Writes; answers the revision.
    pub async fn put(&self, key: &str, value: &str) -> Result<i64, Status> {
        let put = PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() };
        Ok(self.kv().put(put).await?.into_inner().header.expect("a header").revision)
    }

    /// Reads the value of a key, linearizably.
    pub async fn get(&self, key: &str) -> Result<Option<String>, Status> {
        let range = RangeRequest { key: key.to_owned().into(), ..Default::default() };
        let mut kvs = self.kv().range(range).await?.into_inner().kvs;
        Ok(kvs.pop().map(|kv| String::from_utf8(kv.value.to_vec()).expect("text")))
    }

    /// The leader's id as this member knows it, and its own.
    pub async fn status(&self) -> (u64, u64) {
        let status = self.maintenance().status(StatusRequest {}).await.expect("a status").into_inner();
        (status.leader, status.header.expect("a header").member_id)
    }

    async fn stop(self) {
        let _ended = self.stop.send(()).is_err();
        drop(self.channel);
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("it stops in time");
        ended.expect("no panic").expect("a clean stop");
    }
}

/// Asks the member at a peer port who it is, showing a certificate.
pub async fn greet(url: &str, trio: &Trio, certificate: Option<PeerTls>) -> Result<(), String> {
    let read = |path: &Path| std::fs::read(path).expect("a file");
    let ca = Certificate::from_pem(trio.authority.0.pem());
    let mut tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("127.0.0.1");
    if let Some(files) = certificate {
        tls = tls.identity(Identity::from_pem(read(&files.certificate), read(&files.key)));
    }
    let endpoint = Channel::from_shared(url.to_owned()).expect("a URL").tls_config(tls).expect("TLS");
    let channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
    let hello = GroupClient::new(channel).hello(HelloRequest::default()).await;
    hello.map(|_| ()).map_err(|status| status.to_string())
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
