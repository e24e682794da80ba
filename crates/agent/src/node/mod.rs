//! The Node objects that this process stands for: registered, kept Ready, and alive by their leases.

pub mod capacity;
mod lease;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs, UdpSocket};

use api::time::to_time;
use chrono::{DateTime, Utc};
use client::{Client, Error, Group, GroupResult, Write};
use proto::core_v1::{Node, NodeAddress, NodeCondition, NodeStatus, NodeSystemInfo};
use proto::meta_v1::ObjectMeta;

use capacity::Capacity;
pub use lease::{LeaseKeeper, Renewed};

/// What the nodes of one process have in common.
#[derive(Clone, Debug)]
pub struct Identity {
    pub names: Vec<String>,
    pub ip: String,
    pub capacity: Capacity,
    /// `process://0.1.0`.
    pub runtime_version: String,
    /// The Kubernetes version that is followed, `v1.36.0+raftsman.0.1.0`.
    pub version: String,
}

impl Identity {
    fn node(&self, name: &str, now: DateTime<Utc>) -> Node {
        let labels = [
            ("kubernetes.io/hostname", name),
            ("kubernetes.io/os", std::env::consts::OS),
            ("kubernetes.io/arch", architecture()),
        ];
        Node {
            metadata: Some(ObjectMeta {
                name: name.to_owned(),
                labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
                ..ObjectMeta::default()
            }),
            spec: None,
            status: Some(self.status(name, now)),
        }
    }

    fn status(&self, name: &str, now: DateTime<Utc>) -> NodeStatus {
        let address = |kind: &str, address: &str| NodeAddress { r#type: kind.to_owned(), address: address.to_owned() };
        NodeStatus {
            capacity: self.capacity.quantities(),
            allocatable: self.capacity.quantities(),
            addresses: vec![address("InternalIP", &self.ip), address("Hostname", name)],
            conditions: conditions(now),
            node_info: Some(self.info()),
            ..NodeStatus::default()
        }
    }

    fn info(&self) -> NodeSystemInfo {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        NodeSystemInfo {
            machine_id: read("/etc/machine-id"),
            system_uuid: read("/etc/machine-id"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            kernel_version: read("/proc/sys/kernel/osrelease"),
            os_image: os_image(&read("/etc/os-release")),
            container_runtime_version: self.runtime_version.clone(),
            kubelet_version: self.version.clone(),
            operating_system: std::env::consts::OS.to_owned(),
            architecture: architecture().to_owned(),
            ..NodeSystemInfo::default()
        }
    }
}

fn conditions(now: DateTime<Utc>) -> Vec<NodeCondition> {
    [
        ("MemoryPressure", "False", "AgentHasSufficientMemory", "agent has sufficient memory available"),
        ("DiskPressure", "False", "AgentHasNoDiskPressure", "agent has no disk pressure"),
        ("PIDPressure", "False", "AgentHasSufficientPID", "agent has sufficient PID available"),
        ("Ready", "True", "AgentReady", "agent is posting ready status"),
    ]
    .map(|(name, status, reason, message)| NodeCondition {
        r#type: name.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_heartbeat_time: Some(to_time(now)),
        last_transition_time: Some(to_time(now)),
    })
    .into()
}

/// Go's name of the architecture, which Kubernetes' labels use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn os_image(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

/// The address by which this machine reaches the API server; no packet is sent to learn it.
pub fn own_address(server_url: &str) -> IpAddr {
    let host = server_url.rsplit("://").next().unwrap_or(server_url).trim_end_matches('/');
    let found = || {
        let server = host.to_socket_addrs().ok()?.next()?;
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(server).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    found().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Makes the Node objects where they are missing, and reports their status. Errors may pass: try again.
pub async fn register(client: &Client, identity: &Identity, now: DateTime<Utc>) -> Result<(), Error> {
    let nodes = || identity.names.iter().map(|name| identity.node(name, now));
    let exists = |status: &proto::meta_v1::Status| status.reason == "AlreadyExists";
    commit_each(client, nodes().map(Write::create).collect(), exists).await?;
    report(client, identity, now).await
}

/// Reports the status of all nodes.
pub async fn report(client: &Client, identity: &Identity, now: DateTime<Utc>) -> Result<(), Error> {
    let nodes = identity.names.iter().map(|name| identity.node(name, now));
    commit_each(client, nodes.map(Write::update_status).collect(), |_| false).await
}

/// Commits writes that have nothing to do with each other; `is_fine` says which refusals are.
async fn commit_each(
    client: &Client,
    writes: Vec<Write>,
    is_fine: impl Fn(&proto::meta_v1::Status) -> bool,
) -> Result<(), Error> {
    let groups = writes.into_iter().map(|write| Group { writes: vec![write], ..Group::default() }).collect();
    for result in client.commit(groups).await? {
        match result {
            GroupResult::Refused { status, .. } if !is_fine(&status) => return Err(Error::Api { status }),
            GroupResult::Unknown { error } => return Err(Error::Config(error)),
            GroupResult::Committed { .. } | GroupResult::Refused { .. } => {}
        }
    }
    Ok(())
}
