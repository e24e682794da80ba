//! A real etcd in a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proto::etcdserverpb::RangeRequest;
use proto::etcdserverpb::kv_client::KvClient;
use tonic::transport::Channel;

/// Killed when it goes out of scope.
pub struct Etcd(Child);

impl Drop for Etcd {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn binary() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    let peers = std::env::var_os("RAFTSMAN_PEERS").map_or(home.join(".cache/raftsman/peers"), PathBuf::from);
    Some(peers.join("etcd")).filter(|path| path.exists())
}

fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port()
}

/// Starts one on `dir`, or says that there is none to start.
pub async fn start(dir: &Path) -> Option<(Etcd, std::net::SocketAddr, Channel)> {
    let Some(binary) = binary() else {
        eprintln!("passed over: no etcd under $RAFTSMAN_PEERS; `make peers` builds it");
        return None;
    };
    let address = format!("127.0.0.1:{}", port());
    let (client, peer) = (format!("http://{address}"), format!("http://127.0.0.1:{}", port()));
    let mut command = Command::new(binary);
    command.args(["--name", "a", "--log-level", "error"]).arg("--data-dir").arg(dir);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("a={peer}")]).stdout(Stdio::null()).stderr(Stdio::null());
    let etcd = Etcd(command.spawn().unwrap());
    for _ in 0..300 {
        if let Ok(channel) = Channel::from_shared(client.clone()).unwrap().connect().await
            && KvClient::new(channel.clone())
                .range(RangeRequest { key: "x".into(), ..Default::default() })
                .await
                .is_ok()
        {
            return Some((etcd, address.parse().unwrap(), channel));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("etcd does not come up within 30 s");
}
