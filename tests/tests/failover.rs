//! How long nobody leads (Done 4), printed as a table. A few rounds in `make test`, without judging the times; the figures
//! of a release come from
//!
//! ```text
//! RAFTSMAN_FAILOVERS=100 cargo test -p tests --test failover -- --nocapture
//!
//!  kill -9 of the leader --+--> first write that is acknowledged (asked of both others at once)
//!                          '--> first Pod of a Job that was created afterwards, by the controllers' new leader
//! ```

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use client::api::proto::batch_v1::{Job, JobSpec};
use client::api::proto::core_v1::{Container, Pod, PodSpec, PodTemplateSpec};
use client::api::proto::meta_v1::ObjectMeta;
use client::{Client, Config, ListOptions};
use proto::etcdserverpb::MoveLeaderRequest;
use tests::dice::rounds;
use tests::members::{Members, Program};
use tests::patience::{eventually, seconds};
use tests::store_client::{Identity, StoreClient, block_on};

const ROUNDS: usize = 3;
const POLL: Duration = Duration::from_millis(10);
/// A round that takes longer has gone wrong.
const ROUND_MAX: Duration = Duration::from_secs(60);

/// Times of one kind, with what the release promises.
struct Times {
    what: &'static str,
    bar: &'static str,
    measured: Vec<Duration>,
}

impl Times {
    fn new(what: &'static str, bar: &'static str) -> Times {
        Times { what, bar, measured: Vec::new() }
    }

    fn row(&self) -> String {
        let mut sorted = self.measured.clone();
        sorted.sort();
        let at = |share: f64| sorted[((share * sorted.len() as f64).ceil() as usize).max(1) - 1].as_millis();
        format!(
            "| {} | {} | {} | {} | {} | {} |",
            self.what,
            sorted.len(),
            at(0.5),
            at(0.99),
            sorted[sorted.len() - 1].as_millis(),
            self.bar
        )
    }
}

fn print_table(all: &[&Times]) {
    println!("| ms from the fault on | rounds | p50 | p99 | max | bar |\n|---|---|---|---|---|---|");
    all.iter().for_each(|times| println!("{}", times.row()));
}

/// Tries each of these members until one acknowledges a write.
async fn first_write(stores: Vec<(String, Identity)>, key: String) -> Duration {
    let begun = Instant::now();
    let mut tries = tokio::task::JoinSet::new();
    for (url, identity) in stores {
        let key = key.clone();
        tries.spawn(async move {
            let store = StoreClient::new(&url, &identity);
            while store.put(&key, "value").await.is_err() {
                tokio::time::sleep(POLL).await;
            }
        });
    }
    let first = tokio::time::timeout(ROUND_MAX, tries.join_next()).await;
    first.expect("a write is acknowledged in time").expect("one is tried").expect("no panic");
    begun.elapsed()
}

fn job(name: &str) -> Job {
    let container = Container { name: "c".into(), image: "any".into(), ..Default::default() };
    let pod = PodSpec { containers: vec![container], restart_policy: "Never".into(), ..Default::default() };
    let template = PodTemplateSpec { spec: Some(pod), ..Default::default() };
    Job {
        metadata: Some(ObjectMeta { namespace: "default".into(), name: name.into(), ..Default::default() }),
        spec: Some(JobSpec { template: Some(template), ..Default::default() }),
        ..Default::default()
    }
}

/// Creates a Job at one of these API servers and waits for its first Pod.
async fn first_pod(config: Config, name: String) -> Duration {
    let begun = Instant::now();
    let client = Client::connect(&config).expect("a client");
    let wait = async {
        while client.create(job(&name)).await.is_err_and(|error| !error.is_already_exists()) {
            tokio::time::sleep(POLL).await;
        }
        loop {
            let selector = format!("job-name={name}");
            let options = ListOptions { label_selector: selector, ..ListOptions::namespace("default") };
            if client.list::<Pod>(options).await.is_ok_and(|page| !page.items.is_empty()) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(ROUND_MAX, wait).await.expect("a Pod is created in time");
    begun.elapsed()
}

/// The leader, once the claims of controllers and scheduler are with its own.
fn settled(members: &Members) -> usize {
    let leader = members.leader();
    let admin = members.admin(leader, "kube-system");
    let holder = format!("{}-", members.name(leader));
    for claim in ["controllers", "scheduler"] {
        eventually(seconds(60), || {
            let ran = admin.kubectl(&["get", "lease", claim, "-o", "jsonpath={.spec.holderIdentity}"]);
            if ran.stdout.starts_with(&holder) { Ok(()) } else { Err(format!("{claim}: {ran}")) }
        });
    }
    leader
}

#[test]
fn after_the_leader_is_killed_writes_and_pods_go_on() {
    let mut members = Members::start(Program::Server);
    let mut writes = Times::new("kill -9 of the leader to the first acknowledged write", "p50 1500, p99 3000");
    let mut pods = Times::new("kill -9 of the leader to the first Pod of the new one", "p99 5000");
    for round in 0..rounds("RAFTSMAN_FAILOVERS", ROUNDS) {
        let leader = settled(&members);
        let others: Vec<usize> = (0..members.count()).filter(|other| *other != leader).collect();
        let stores: Vec<_> = others.iter().map(|other| members.stores()[*other].clone()).collect();
        let mut config = Config::from_kubeconfig(members.admin(others[0], "default").kubeconfig()).unwrap();
        config.servers = others.iter().map(|other| members.api_url(*other)).collect();
        members.kill(leader);
        let (write, pod) = block_on(async {
            let write = tokio::spawn(first_write(stores, "failover".to_owned()));
            let pod = first_pod(config, format!("failover-{round}")).await;
            (write.await.unwrap(), pod)
        });
        writes.measured.push(write);
        pods.measured.push(pod);
        members.restart(leader);
    }
    print_table(&[&writes, &pods]);
}

#[test]
fn a_graceful_transfer_is_hardly_felt() {
    let mut members = Members::start(Program::Store);
    let mut moves = Times::new("MoveLeader called to the first write begun afterwards", "p99 300");
    let mut stops = Times::new("SIGTERM to the leader to the first acknowledged write", "p99 300");
    for _ in 0..rounds("RAFTSMAN_FAILOVERS", ROUNDS) {
        let leader = members.leader();
        let stores = members.stores();
        let next = (leader + 1) % members.count();
        moves.measured.push(block_on(async {
            let client = |index: usize| StoreClient::new(&stores[index].0, &stores[index].1);
            let target = client(next).status().await.unwrap().header.unwrap().member_id;
            let (old, new) = (client(leader), client(next));
            old.status().await.unwrap();
            let begun = Instant::now();
            old.maintenance().move_leader(MoveLeaderRequest { target_id: target }).await.unwrap();
            new.put("moved", "value").await.unwrap();
            begun.elapsed()
        }));
        assert_eq!(members.leader(), next, "the leader is the one that was asked for");

        let others: Vec<_> = (0..members.count()).filter(|other| *other != next).collect();
        let stores: Vec<_> = others.iter().map(|other| members.stores()[*other].clone()).collect();
        members.daemon(next).signal(libc::SIGTERM);
        stops.measured.push(block_on(first_write(stores, "stopped".to_owned())));
        // Not another SIGTERM while it stops: that one would abort it.
        eventually(seconds(60), || if members.runs(next) { Err("it still stops".to_owned()) } else { Ok(()) });
        assert_eq!(members.stop(next), Some(0), "{}", members.log(next));
        members.restart(next);
    }
    print_table(&[&moves, &stops]);
}
