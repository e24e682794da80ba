//! Two stores side by side on this machine: three members each, the same certificates, mutual TLS on both ports.
//!
//! ```text
//!   FOLDER/pki/{a,b,c}       one PKI for both
//!   FOLDER/etcd/{a,b,c}      data and log of etcd's members
//!   FOLDER/raftsman/{a,b,c}  the same of `raftsman store`
//! ```

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{StatusRequest, StatusResponse};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::memory;
use super::tool::missing;
use crate::failure::Failure;
use crate::pki::cluster::{self, MemberHosts};

/// Names of the members.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// How long a group may take until it has a leader.
const LEADER_WITHIN: Duration = Duration::from_secs(60);
/// How long a member may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Etcd,
    Raftsman,
}

/// A group of three members.
pub struct Rival {
    pub kind: Kind,
    program: PathBuf,
    folder: PathBuf,
    pki: PathBuf,
    members: Vec<Member>,
}

/// One process of a group, and where it is.
struct Member {
    name: &'static str,
    client: String,
    peer: String,
    process: Option<Child>,
}

/// Makes the certificates of both groups.
pub fn make_pki(folder: &Path) -> Result<PathBuf, Failure> {
    let pki = folder.join("pki");
    let hosts = NAMES.map(|name| MemberHosts { name: name.into(), hosts: vec!["127.0.0.1".into()] });
    cluster::create(&pki, &hosts, &[], chrono::Utc::now())?;
    Ok(pki)
}

impl Rival {
    /// Starts three members and waits for their leader.
    pub async fn start(kind: Kind, program: &Path, folder: &Path, pki: &Path) -> Result<Rival, Failure> {
        let folder = folder.join(match kind {
            Kind::Etcd => "etcd",
            Kind::Raftsman => "raftsman",
        });
        let mut members = Vec::new();
        for name in NAMES {
            let address = || free_port().map(|port| format!("127.0.0.1:{port}"));
            let (client, peer) = (address()?, address()?);
            std::fs::create_dir_all(folder.join(name)).map_err(Failure::failed)?;
            members.push(Member { name, client, peer, process: None });
        }
        let mut rival = Rival { kind, program: program.to_owned(), folder, pki: pki.to_owned(), members };
        for member in 0..rival.members.len() {
            rival.launch(member, "new")?;
        }
        rival.leader().await?;
        Ok(rival)
    }

    /// Starts one member's process.
    pub fn launch(&mut self, member: usize, state: &str) -> Result<(), Failure> {
        let log = self.folder.join(self.members[member].name).join("log");
        let mut command = match self.kind {
            Kind::Etcd => self.etcd(member, state),
            Kind::Raftsman => self.raftsman(member, state),
        };
        let log = File::options().create(true).append(true).open(log).map_err(Failure::failed)?;
        let output = log.try_clone().map_err(Failure::failed)?;
        let child = command.stdin(Stdio::null()).stdout(output).stderr(log).spawn();
        self.members[member].process = Some(child.map_err(|error| missing(&self.program, &error))?);
        Ok(())
    }

    fn raftsman(&self, member: usize, state: &str) -> Command {
        let Member { name, client, peer, .. } = &self.members[member];
        let mut command = Command::new(&self.program);
        command.args(["store", "--name", name, "--initial-cluster", &self.initial_cluster()]);
        command.args(["--initial-cluster-state", state, "--listen-peer", peer, "--listen-client", client]);
        command.arg("--data-dir").arg(self.data(member)).arg("--pki-dir").arg(self.pki.join(name));
        command
    }

    fn etcd(&self, member: usize, state: &str) -> Command {
        let Member { name, client, peer, .. } = &self.members[member];
        let (client, peer, pki) = (format!("https://{client}"), format!("https://{peer}"), self.pki.join(name));
        let mut command = Command::new(&self.program);
        command.args(["--name", name, "--initial-cluster", &self.initial_cluster(), "--log-level", "error"]);
        command.args(["--initial-cluster-state", state, "--enable-grpc-gateway=false"]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--client-cert-auth", "--peer-client-cert-auth"]).arg("--data-dir").arg(self.data(member));
        for (flag, file) in [
            ("--cert-file", "store.crt"),
            ("--key-file", "store.key"),
            ("--trusted-ca-file", "store-ca.crt"),
            ("--peer-cert-file", "peer.crt"),
            ("--peer-key-file", "peer.key"),
            ("--peer-trusted-ca-file", "store-ca.crt"),
        ] {
            command.arg(flag).arg(pki.join(file));
        }
        command
    }

    fn initial_cluster(&self) -> String {
        let entry = |member: &Member| format!("{}=https://{}", member.name, member.peer);
        self.members.iter().map(entry).collect::<Vec<_>>().join(",")
    }

    /// Where a member keeps its data.
    pub fn data(&self, member: usize) -> PathBuf {
        self.folder.join(self.members[member].name).join("data")
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Client URLs of all members.
    pub fn client_urls(&self) -> Vec<String> {
        (0..self.members.len()).map(|member| self.client_url(member)).collect()
    }

    /// Client URL of one member.
    pub fn client_url(&self, member: usize) -> String {
        format!("https://{}", self.members[member].client)
    }

    /// A member's peer URL.
    pub fn peer_url(&self, member: usize) -> String {
        format!("https://{}", self.members[member].peer)
    }

    /// A file of a client's credentials.
    pub fn credential(&self, file: &str) -> PathBuf {
        self.pki.join(NAMES[0]).join(file)
    }

    /// A connection to one member's client port.
    pub async fn connect(&self, member: usize) -> Result<Channel, Failure> {
        let read = |file: &str| std::fs::read(self.credential(file)).map_err(Failure::failed);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("store-ca.crt")?))
            .identity(Identity::from_pem(read("store-client.crt")?, read("store-client.key")?));
        let endpoint = Endpoint::from_shared(self.client_url(member)).map_err(Failure::failed)?;
        let endpoint = endpoint.tls_config(tls).map_err(Failure::failed)?.timeout(Duration::from_secs(5));
        endpoint.connect().await.map_err(Failure::failed)
    }

    /// What a member says of itself.
    pub async fn status(&self, member: usize) -> Result<StatusResponse, Failure> {
        let answer = MaintenanceClient::new(self.connect(member).await?).status(StatusRequest {}).await;
        Ok(answer.map_err(Failure::failed)?.into_inner())
    }

    /// Waits until a member leads that the others follow; which one.
    pub async fn leader(&mut self) -> Result<usize, Failure> {
        let begun = Instant::now();
        loop {
            let mut statuses = Vec::new();
            for member in 0..self.members.len() {
                self.check_alive(member)?;
                statuses.extend(self.status(member).await.ok().map(|status| (member, status)));
            }
            let id = |status: &StatusResponse| status.header.as_ref().map_or(0, |header| header.member_id);
            let leader = statuses.iter().find(|(_, status)| status.leader != 0 && status.leader == id(status));
            if let Some((leader, status)) = leader
                && statuses.len() == self.members.len()
                && statuses.iter().all(|(_, other)| other.leader == status.leader)
            {
                return Ok(*leader);
            }
            if begun.elapsed() > LEADER_WITHIN {
                return Err(Failure::Failed(format!("no leader came up; see the logs in {}", self.folder.display())));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn check_alive(&mut self, member: usize) -> Result<(), Failure> {
        let Member { name, process, .. } = &mut self.members[member];
        match process.as_mut().map(Child::try_wait) {
            Some(Ok(Some(ended))) => {
                let log = std::fs::read_to_string(self.folder.join(*name).join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default().to_owned();
                Err(Failure::Failed(format!("{:?} {name} ended ({ended}): {last}", self.kind)))
            }
            _ => Ok(()),
        }
    }

    /// Process id of a member.
    pub fn pid(&self, member: usize) -> Option<u32> {
        self.members[member].process.as_ref().map(Child::id)
    }

    /// Peak memory (VmHWM) of the members, in bytes.
    pub fn peak_memory(&self) -> Vec<u64> {
        (0..self.members.len()).filter_map(|member| memory::peak_of_server(&self.client_url(member))).collect()
    }

    /// kill -9, and gone.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].process.take() {
            // Whoever has ended already needs no signal.
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        for child in self.members.iter_mut().filter_map(|member| member.process.as_mut()) {
            let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
            let _told = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        }
        let begun = Instant::now();
        for member in 0..self.members.len() {
            while begun.elapsed() < STOP_WITHIN
                && let Some(child) = &mut self.members[member].process
                && matches!(child.try_wait(), Ok(None))
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            self.kill(member);
        }
    }
}

/// A port that nobody uses now.
fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::failed)?;
    Ok(listener.local_addr().map_err(Failure::failed)?.port())
}
