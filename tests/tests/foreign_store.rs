//! The API server on a store that is not ours: a real etcd cluster of three members with mutual TLS, two
//! `raftsman server --store-endpoints` beside each other on it, and an agent that knows both.

use std::net::TcpListener;

use tests::cluster::{Client, Daemon};
use tests::members::{Members, Program, Setup};
use tests::patience::{eventually, seconds};
use tests::runs::Runs;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples");

/// A control plane without a store of its own; its API listens where the member of the same number would.
fn start_server(etcd: &Members, index: usize) -> Daemon {
    let name = etcd.name(index);
    let data = etcd.folder().join(format!("server-{name}")).display().to_string();
    let (pki, api) = (etcd.pki().join(name), format!("{}:6443", etcd.host(index)));
    let file = |name: &str| pki.join(name).display().to_string();
    let endpoints: Vec<String> = (0..etcd.count()).map(|index| etcd.client_url(index)).collect();
    let (endpoints, folder) = (endpoints.join(","), pki.display().to_string());
    let (ca, certificate, key) = (file("store-ca.crt"), file("store-client.crt"), file("store-client.key"));
    let mut args = vec!["server", "--name", name, "--data-dir", &data, "--pki-dir", &folder, "--listen-api", &api];
    args.extend(["--store-endpoints", &endpoints]);
    // The other one finds the same files in --pki-dir by itself.
    if index == 0 {
        args.extend(["--store-ca", &ca, "--store-cert", &certificate, "--store-key", &key]);
    }
    Daemon::start(etcd.folder(), &format!("server-{name}"), &args)
}

fn start_agent(etcd: &Members) -> Daemon {
    let kubeconfig = etcd.pki().join("node-n1.kubeconfig").display().to_string();
    let data = etcd.folder().join("agent").display().to_string();
    let servers = format!("{},{}", etcd.api_url(0), etcd.api_url(1));
    let args = ["agent", "--kubeconfig", &kubeconfig, "--server", &servers, "--node-name", "n1", "--data-dir", &data];
    Daemon::start(etcd.folder(), "agent", &args)
}

fn example(name: &str) -> String {
    std::fs::read_to_string(format!("{EXAMPLES}/{name}")).expect("an example")
}

fn succeeded(client: &Client, job: &str) -> usize {
    client.kubectl(&["get", "job", job, "-o", "jsonpath={.status.succeeded}"]).stdout.parse().unwrap_or(0)
}

#[test]
fn jobs_run_on_an_etcd_cluster_and_survive_its_members_and_ours() {
    let mut etcd = Members::start_with(Setup { nodes: vec!["n1".into()], ..Setup::of(Program::Etcd) });
    let mut first = start_server(&etcd, 0);
    let _second = start_server(&etcd, 1);
    let _agent = start_agent(&etcd);
    let client = etcd.admin(0, "default");

    client.kubectl_with(&["create", "-f", "-"], &example("pi.yaml")).ok();
    client.wait_for_job("pi", "Complete", seconds(120));
    let pi = client.kubectl(&["logs", "job/pi"]).ok();
    assert!(pi.starts_with("3.14159265358979"), "{pi}");

    // The example's half minutes are two seconds here.
    let paral = example("paral.yaml").replace("sleep 30", "sleep 2");
    client.kubectl_with(&["create", "-f", "-"], &paral).ok();
    eventually(seconds(60), || match succeeded(&client, "paral") {
        0 => Err("no Pod of paral has succeeded".to_owned()),
        _ => Ok(()),
    });
    let leader = etcd.leader();
    etcd.kill(leader);
    let paral = client.wait_for_job("paral", "Complete", seconds(120));
    assert_eq!(paral["status"]["succeeded"], 8, "{}", paral["status"]);
    assert!(paral["status"]["failed"].is_null(), "{}", paral["status"]);

    // The first holds the claims. Nobody is preferred on a foreign store: the second inherits them after their lease.
    first.kill();
    let client = etcd.admin(1, "default");
    let runs = Runs::new(etcd.folder(), "heirs", 4);
    client.kubectl_with(&["create", "-f", "-"], &runs.manifest(2, 1)).ok();
    client.wait_for_job("heirs", "Complete", seconds(120));
    runs.expect_each_once(&client);
}

#[test]
fn a_store_that_is_not_there_is_waited_for() {
    // Nobody listens on this port once the listener is gone.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut command = std::process::Command::new(tests::process::binary("raftsman"));
    let endpoint = format!("http://127.0.0.1:{port}");
    command.args(["apiserver", "--insecure", "--listen-api", "127.0.0.1:0", "--store-endpoints", &endpoint]);
    let mut daemon = Daemon::launch(folder.path(), "apiserver", command);
    eventually(seconds(60), || match daemon.log().contains("cannot read the store; trying again") {
        true => Ok(()),
        false => Err(daemon.log()),
    });
    assert!(daemon.ended().is_none(), "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
}
