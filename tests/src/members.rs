//! A group of store members as real processes, with certificates, each at an address of its own, so that all of them
//! keep their usual ports over any restart:
//!
//! ```text
//! member a  https://127.X.Y.1:2379 (clients)  :2380 (peers)  :6443 (API)      data in <folder>/a
//! member b  https://127.X.Y.2:2379 ...                                        X.Y is drawn for each group
//! ```
//!
//! What they run is `raftsman server`, `raftsman store`, or the pinned etcd, which is what tests are tested with.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proto::etcdserverpb::StatusResponse;
use tempfile::TempDir;

use crate::cluster::{Client, Daemon};
use crate::netns::Network;
use crate::patience::eventually;
use crate::peers::peer;
use crate::process::{Ran, binary};
use crate::store_client::{Identity, StoreClient, block_on};

/// How long a group may take to have a leader, on a machine that is busy with other tests.
const LEADER_WITHIN: Duration = Duration::from_secs(60);

/// How long one member may take to say who leads.
const STATUS_WITHIN: Duration = Duration::from_secs(2);

/// What a member runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Store, API server, controllers and scheduler.
    Server,
    /// The store alone.
    Store,
    /// The real one, of `scripts/peers.sh`.
    Etcd,
}

/// What to start.
pub struct Setup {
    pub program: Program,
    pub count: usize,
    /// Nodes that get a kubeconfig.
    pub nodes: Vec<String>,
    /// More flags for every member.
    pub flags: Vec<String>,
    /// Environment of every member.
    pub env: Vec<(String, String)>,
    /// Puts each member into a network namespace of its own, and the wire between them into the test's hands.
    pub network: bool,
}

impl Setup {
    /// Three members of this program, on loopback.
    pub fn of(program: Program) -> Setup {
        Setup { program, count: 3, nodes: Vec::new(), flags: Vec::new(), env: Vec::new(), network: false }
    }
}

/// One member: its place, and its process while it runs.
struct Member {
    name: String,
    host: String,
    daemon: Option<Daemon>,
}

/// A group.
pub struct Members {
    setup: Setup,
    members: Vec<Member>,
    network: Option<Network>,
    /// Holds the group's addresses, so that no other group draws them.
    _claim: Option<TcpListener>,
    // Dropped last.
    folder: TempDir,
}

/// Members are a, b, c and so on.
fn letter(index: usize) -> String {
    char::from(b'a' + index as u8).to_string()
}

/// A /24 of loopback that no other group on this machine has, held by a port on it.
fn claim() -> (String, TcpListener) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..10_000 {
        let number = std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let net = format!("127.{}.{}", 1 + number / 254 % 254, 1 + number % 254);
        if let Ok(listener) = TcpListener::bind(format!("{net}.250:2381")) {
            return (net, listener);
        }
    }
    panic!("no free loopback net was found");
}

impl Members {
    /// Three members that have a leader.
    pub fn start(program: Program) -> Members {
        Members::start_with(Setup::of(program))
    }

    /// A group that has a leader.
    pub fn start_with(setup: Setup) -> Members {
        let mut members = Members::prepare(setup);
        (0..members.count()).for_each(|index| members.launch(index));
        (0..members.count()).for_each(|index| members.wait_ready(index));
        members.leader();
        members
    }

    /// Addresses and certificates; no process yet.
    pub fn prepare(setup: Setup) -> Members {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (net, network, claim) = if setup.network {
            let network = Network::new(setup.count);
            (network.net().to_owned(), Some(network), None)
        } else {
            let (net, claim) = claim();
            (net, None, Some(claim))
        };
        let member = |index: usize| Member { name: letter(index), host: format!("{net}.{}", index + 1), daemon: None };
        // One place more than asked for, so that a test can add or replace a member.
        let members: Vec<Member> = (0..setup.count).map(member).collect();
        let mut create = Command::new(binary("raftsman"));
        create.args(["pki", "create", "--out", &folder.path().join("pki").display().to_string()]);
        for index in 0..=setup.count {
            let member = member(index);
            create.args(["--server", &format!("{}={}", member.name, member.host)]);
        }
        for node in &setup.nodes {
            create.args(["--node", node]);
        }
        Ran::run(&mut create).ok();
        Members { setup, members, network, _claim: claim, folder }
    }

    pub fn count(&self) -> usize {
        self.members.len()
    }

    pub fn name(&self, index: usize) -> &str {
        &self.members[index].name
    }

    pub fn host(&self, index: usize) -> &str {
        &self.members[index].host
    }

    pub fn client_url(&self, index: usize) -> String {
        format!("https://{}:2379", self.host(index))
    }

    pub fn peer_url(&self, index: usize) -> String {
        format!("https://{}:2380", self.host(index))
    }

    pub fn api_url(&self, index: usize) -> String {
        format!("https://{}:6443", self.host(index))
    }

    /// The folder of everything: data, certificates, logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data_dir(&self, index: usize) -> PathBuf {
        self.folder().join(self.name(index))
    }

    /// What `pki create` wrote: `admin.kubeconfig`, `node-NAME.kubeconfig`, a folder for each member.
    pub fn pki(&self) -> PathBuf {
        self.folder().join("pki")
    }

    /// The wires between the members, where the setup asked for them.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("Setup::network was set")
    }

    /// Takes a member in that is not part of the group yet: the next letter. `launch_as` starts it.
    pub fn add(&mut self) -> usize {
        assert!(self.count() == self.setup.count, "there is a certificate for one more");
        let net = self.host(0).rsplit_once('.').expect("an address").0.to_owned();
        let index = self.count();
        self.members.push(Member { name: letter(index), host: format!("{net}.{}", index + 1), daemon: None });
        index
    }

    /// `--initial-cluster` of these members.
    pub fn initial_cluster(&self, of: impl IntoIterator<Item = usize>) -> String {
        let entry = |index| format!("{}={}", self.name(index), self.peer_url(index));
        of.into_iter().map(entry).collect::<Vec<_>>().join(",")
    }

    /// Starts a member's process without waiting for it.
    pub fn launch(&mut self, index: usize) {
        self.launch_as(index, "new", &[], &[]);
    }

    /// The same with `--initial-cluster-state`, more flags, and environment.
    pub fn launch_as(&mut self, index: usize, state: &str, flags: &[&str], env: &[(&str, &str)]) {
        let mut command = self.command(index, state);
        command.args(&self.setup.flags).args(flags).envs(self.setup.env.iter().cloned()).envs(env.iter().copied());
        let daemon = Daemon::launch(self.folder.path(), &format!("member-{}", self.name(index)), command);
        self.members[index].daemon = Some(daemon);
    }

    /// Waits until a launched member serves.
    pub fn wait_ready(&mut self, index: usize) {
        if self.setup.program != Program::Etcd {
            return self.daemon_mut(index).wait_ready();
        }
        eventually(LEADER_WITHIN, || {
            let ended = self.daemon_mut(index).ended();
            assert!(ended.is_none(), "etcd ended: {ended:?}\n{}", self.log(index));
            self.follows(index)
        });
    }

    fn command(&self, index: usize, state: &str) -> Command {
        let program = match self.setup.program {
            Program::Etcd => peer("etcd"),
            Program::Server | Program::Store => binary("raftsman"),
        };
        let mut command = match &self.network {
            Some(network) => network.command(index, &program),
            None => Command::new(program),
        };
        match self.setup.program {
            Program::Etcd => command.args(self.etcd_flags(index, state)),
            Program::Server => {
                let api = format!("{}:6443", self.host(index));
                command.arg("server").args(self.member_flags(index, state)).args(["--listen-api", &api])
            }
            Program::Store => command.arg("store").args(self.member_flags(index, state)),
        };
        command
    }

    fn member_flags(&self, index: usize, state: &str) -> Vec<String> {
        let host = self.host(index);
        let flags = [
            ("--name", self.name(index).to_owned()),
            ("--data-dir", self.data_dir(index).display().to_string()),
            ("--pki-dir", self.pki().join(self.name(index)).display().to_string()),
            ("--listen-client", format!("{host}:2379")),
            ("--listen-peer", format!("{host}:2380")),
            ("--initial-cluster", self.initial_cluster(0..self.count())),
            ("--initial-cluster-state", state.to_owned()),
        ];
        flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }

    fn etcd_flags(&self, index: usize, state: &str) -> Vec<String> {
        let file = |name: &str| self.pki().join(self.name(index)).join(name).display().to_string();
        let flags = [
            ("--name", self.name(index).to_owned()),
            ("--data-dir", self.data_dir(index).display().to_string()),
            ("--listen-client-urls", self.client_url(index)),
            ("--advertise-client-urls", self.client_url(index)),
            ("--listen-peer-urls", self.peer_url(index)),
            ("--initial-advertise-peer-urls", self.peer_url(index)),
            ("--initial-cluster", self.initial_cluster(0..self.count())),
            ("--initial-cluster-state", state.to_owned()),
            ("--cert-file", file("store.crt")),
            ("--key-file", file("store.key")),
            ("--trusted-ca-file", file("store-ca.crt")),
            ("--peer-cert-file", file("peer.crt")),
            ("--peer-key-file", file("peer.key")),
            ("--peer-trusted-ca-file", file("store-ca.crt")),
            ("--log-level", "warn".to_owned()),
        ];
        let mut flags: Vec<String> = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        // The gateway would dial its own port with a certificate that is a server's only.
        let switches = ["--client-cert-auth", "--peer-client-cert-auth", "--enable-grpc-gateway=false"];
        flags.extend(switches.map(str::to_owned));
        flags
    }

    /// A member's process.
    pub fn daemon(&self, index: usize) -> &Daemon {
        self.members[index].daemon.as_ref().expect("the member was started")
    }

    pub fn daemon_mut(&mut self, index: usize) -> &mut Daemon {
        self.members[index].daemon.as_mut().expect("the member was started")
    }

    /// Whether a member's process runs (a frozen one does).
    pub fn runs(&mut self, index: usize) -> bool {
        self.members[index].daemon.as_mut().is_some_and(|daemon| daemon.ended().is_none())
    }

    /// What a member has logged, over all its starts.
    pub fn log(&self, index: usize) -> String {
        let path = self.folder().join(format!("member-{}.log", self.name(index)));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// kill -9.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut daemon) = self.members[index].daemon.take() {
            daemon.kill();
        }
    }

    /// SIGTERM; the exit code.
    pub fn stop(&mut self, index: usize) -> Option<i32> {
        self.members[index].daemon.take().and_then(|mut daemon| daemon.stop())
    }

    /// SIGSTOP.
    pub fn freeze(&self, index: usize) {
        self.daemon(index).signal(libc::SIGSTOP);
    }

    /// SIGCONT.
    pub fn thaw(&self, index: usize) {
        self.daemon(index).signal(libc::SIGCONT);
    }

    /// Starts a member that was killed or stopped again, with the flags that it had, and waits until it serves.
    pub fn restart(&mut self, index: usize) {
        self.launch(index);
        self.wait_ready(index);
    }

    /// Certificates of the client that may use the store.
    pub fn identity(&self) -> Identity {
        Identity::of(&self.pki().join("a"))
    }

    /// An etcd client of one member.
    pub fn store(&self, index: usize) -> StoreClient {
        StoreClient::new(&self.client_url(index), &self.identity())
    }

    /// An etcd client of one member that can be made inside and outside a runtime alike, and sent to a task.
    pub fn stores(&self) -> Vec<(String, Identity)> {
        (0..self.count()).map(|index| (self.client_url(index), self.identity())).collect()
    }

    /// The leader, in which all running members that answer agree; waits for one.
    #[track_caller]
    pub fn leader(&self) -> usize {
        eventually(LEADER_WITHIN, || self.leader_now())
    }

    /// The leader in which all members that answer agree and which answers itself, or why there is none.
    pub fn leader_now(&self) -> Result<usize, String> {
        let asked = self.stores();
        let statuses = block_on(async {
            let ask = async |(url, identity): &(String, Identity)| {
                let store = StoreClient::new(url, identity);
                tokio::time::timeout(STATUS_WITHIN, store.status()).await.map_err(|_| "no answer".to_owned())?
            };
            futures::future::join_all(asked.iter().map(ask)).await
        });
        let answered: Vec<_> = statuses.iter().flatten().collect();
        let told = answered.first().map_or(0, |status| status.leader);
        let id = |status: &StatusResponse| status.header.as_ref().map_or(0, |header| header.member_id);
        let leads = |status: &Result<StatusResponse, String>| status.as_ref().is_ok_and(|status| id(status) == told);
        match statuses.iter().position(leads) {
            Some(leader) if answered.iter().all(|status| status.leader == told) => Ok(leader),
            _ => {
                let said = |status: &Result<StatusResponse, String>| match status {
                    Ok(status) => format!("{:x} names {:x}", id(status), status.leader),
                    Err(why) => why.clone(),
                };
                Err(statuses.iter().map(said).collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// Whether a member answers and knows a leader.
    fn follows(&self, index: usize) -> Result<(), String> {
        let (url, identity) = self.stores()[index].clone();
        let status = block_on(async move { StoreClient::new(&url, &identity).status().await })?;
        if status.leader != 0 { Ok(()) } else { Err(format!("member {} knows no leader", self.name(index))) }
    }

    /// A member that does not lead.
    pub fn follower(&self) -> usize {
        (self.leader() + 1) % self.count()
    }

    /// Waits until all members hold the same content at the same revision, by their own hashes; the hash.
    #[track_caller]
    pub fn agree(&self) -> u32 {
        let asked = self.stores();
        eventually(LEADER_WITHIN, || {
            let hashes = block_on(async {
                let mut hashes = Vec::new();
                for (url, identity) in &asked {
                    let answer =
                        StoreClient::new(url, identity).hash_kv(0).await.map_err(|status| status.to_string())?;
                    let revision = answer.header.map_or(0, |header| header.revision);
                    hashes.push((revision, answer.compact_revision, answer.hash));
                }
                Ok::<_, String>(hashes)
            })?;
            let first = hashes[0];
            if hashes.iter().all(|hash| *hash == first) { Ok(first.2) } else { Err(format!("hashes {hashes:x?}")) }
        })
    }

    /// Runs the pinned etcdctl against these members.
    pub fn etcdctl(&self, of: impl IntoIterator<Item = usize>, args: &[&str]) -> Ran {
        let endpoints: Vec<String> = of.into_iter().map(|index| self.client_url(index)).collect();
        let file = |name: &str| self.pki().join("a").join(name);
        let mut command = Command::new(peer("etcdctl"));
        command.arg("--endpoints").arg(endpoints.join(","));
        command.arg("--cacert").arg(file("store-ca.crt")).arg("--cert").arg(file("store-client.crt"));
        command.arg("--key").arg(file("store-client.key")).args(args);
        Ran::run(&mut command)
    }

    /// kubectl and our CLI, pointed at one member's API.
    pub fn admin(&self, index: usize, namespace: &str) -> Client {
        let folder = self.folder().join("admin").join(self.name(index));
        std::fs::create_dir_all(&folder).expect("a test's folder can be written");
        let text = std::fs::read_to_string(self.pki().join("admin.kubeconfig")).expect("pki create wrote it");
        let line = |line: &str| match line.split_once("server:") {
            Some((before, _)) => format!("{before}server: {}", self.api_url(index)),
            None => line.to_owned(),
        };
        let text: Vec<String> = text.lines().map(line).collect();
        std::fs::write(folder.join("admin.kubeconfig"), text.join("\n")).expect("a test's folder can be written");
        std::fs::copy(self.pki().join("admin.token"), folder.join("admin.token")).expect("pki create wrote it");
        Client::at(&folder, namespace)
    }

    /// The API servers, for an agent's `--server`.
    pub fn api_urls(&self) -> String {
        (0..self.count()).map(|index| self.api_url(index)).collect::<Vec<_>>().join(",")
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        // Not politely: a frozen member could not answer, and one alone has nobody to hand over to.
        for index in 0..self.count() {
            self.kill(index);
        }
    }
}
