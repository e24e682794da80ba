//! Jobs over a change of leader: three members, two agents; the leader is killed, frozen and stopped while a Job runs.
//!
//! ```text
//!  leader   --x kill -9          --x SIGSTOP        --x SIGTERM
//!  Job      =======================================================>  every Pod once, all counted
//! ```

use tests::cluster::{Client, Daemon};
use tests::members::{Members, Program, Setup};
use tests::patience::{eventually, seconds};
use tests::runs::Runs;

const NODES: [&str; 2] = ["n1", "n2"];
const PODS: usize = 24;

fn start_agent(members: &Members, node: &str) -> Daemon {
    let kubeconfig = members.pki().join(format!("node-{node}.kubeconfig")).display().to_string();
    let data = members.folder().join(format!("agent-{node}")).display().to_string();
    let args = ["agent", "--kubeconfig", &kubeconfig, "--node-name", node, "--data-dir", &data];
    Daemon::start(members.folder(), &format!("agent-{node}"), &args)
}

/// A member whose process runs and that does not lead: who is asked by the test.
fn witness(members: &Members, leader: usize) -> Client {
    members.admin((leader + 1) % members.count(), "default")
}

/// Waits until so many of the Job's Pods have succeeded.
fn wait_succeeded(client: &Client, name: &str, count: usize) {
    eventually(seconds(90), || {
        let ran = client.kubectl(&["get", "job", name, "-o", "jsonpath={.status.succeeded}"]);
        match ran.stdout.parse::<usize>().unwrap_or(0) >= count {
            true => Ok(()),
            false => Err(format!("{ran}")),
        }
    });
}

/// The claims are with the raft leader's own candidates, whoever had them before.
fn wait_claims_at(client: &Client, members: &Members, leader: usize) {
    let holder = format!("{}-", members.name(leader));
    for claim in ["controllers", "scheduler"] {
        eventually(seconds(60), || {
            let path = "jsonpath={.spec.holderIdentity}";
            let ran = client.kubectl_anywhere(&["-n", "kube-system", "get", "lease", claim, "-o", path]);
            match ran.stdout.starts_with(&holder) {
                true => Ok(()),
                false => Err(format!("{claim} is not held by a candidate of {holder}*: {ran}")),
            }
        });
    }
}

#[test]
fn a_job_goes_on_whatever_happens_to_the_leader() {
    let nodes = NODES.map(str::to_owned).to_vec();
    let mut members = Members::start_with(Setup { nodes, ..Setup::of(Program::Server) });
    let _agents = NODES.map(|node| start_agent(&members, node));
    let leader = members.leader();
    let client = witness(&members, leader);
    wait_claims_at(&client, &members, leader);
    let runs = Runs::new(members.folder(), "survivor", PODS);
    client.kubectl_with(&["create", "-f", "-"], &runs.manifest(4, 1)).ok();

    wait_succeeded(&client, "survivor", 3);
    members.kill(leader);
    let second = members.leader();
    let client = witness_of(&members, &[leader, second]);
    wait_succeeded(&client, "survivor", 8);
    members.restart(leader);

    let frozen = members.leader();
    members.freeze(frozen);
    let client = witness(&members, frozen);
    wait_succeeded(&client, "survivor", 16);
    members.thaw(frozen);

    let last = members.leader();
    let client = witness(&members, last);
    assert_eq!(members.stop(last), Some(0), "{}", members.log(last));
    client.wait_for_job("survivor", "Complete", seconds(120));
    runs.expect_each_once(&client);
    wait_claims_at(&client, &members, members.leader());
}

#[test]
fn an_api_server_leaves_a_store_that_does_not_answer() {
    let stores = Members::start(Program::Store);
    let endpoints: Vec<String> = (0..stores.count()).map(|index| stores.client_url(index)).collect();
    let (endpoints, pki) = (endpoints.join(","), stores.pki().join("a").display().to_string());
    let api = format!("{}:6443", stores.host(0));
    let args = ["apiserver", "--listen-api", &api, "--pki-dir", &pki, "--store-endpoints", &endpoints];
    let _api = Daemon::start(stores.folder(), "apiserver", &args);
    let client = stores.admin(0, "default");
    client.kubectl(&["create", "configmap", "before"]).ok();
    // It talks to the first; who is frozen keeps its connections, so only pings tell.
    stores.freeze(0);
    eventually(seconds(90), || match client.kubectl(&["create", "configmap", "after", "--request-timeout=20s"]) {
        ran if ran.code == Some(0) || ran.stderr.contains("AlreadyExists") => Ok(()),
        ran => Err(ran.to_string()),
    });
    let names = client.kubectl(&["get", "configmaps", "-o", "name"]).ok();
    assert!(names.contains("configmap/before") && names.contains("configmap/after"), "{names}");
    stores.thaw(0);
}

/// A member that is none of these.
fn witness_of(members: &Members, without: &[usize]) -> Client {
    let index = (0..members.count()).find(|index| !without.contains(index)).expect("three are more than two");
    members.admin(index, "default")
}
