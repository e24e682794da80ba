//! Two controller leaders at once: one is frozen, the other takes over, the first is let go and goes on where it was.
//!
//! What each of them had committed, and in which epoch, their own logs say; so every write that took effect can be told from
//! those that were refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use client::api::proto::batch_v1::{Job, JobSpec};
use client::api::proto::core_v1::{Container, PodSpec, PodTemplateSpec};
use client::api::proto::meta_v1::ObjectMeta;
use serde_json::Value;
use tests::cluster::{Client, Daemon};
use tests::patience::{eventually, seconds};
use tests::process::binary;

use super::ground::{free_address, make_pki};

/// Fifty, for the closing note: RAFTSMAN_ROUNDS=50.
const ROUNDS: u32 = 2;
/// Longer than a claim lives without its holder.
const FROZEN_S: u64 = 20;
const COMPLETIONS: i32 = 2;

/// One of the two.
struct Rival {
    daemon: Daemon,
    name: &'static str,
}

/// What a rival's log says of one group.
#[derive(Debug)]
enum Told {
    Leading {
        epoch: i64,
    },
    Committed {
        epoch: i64,
        revision: i64,
    },
    /// By the store, for its epoch is over.
    Fenced,
    Deposed,
}

impl Rival {
    fn start(folder: &Path, name: &'static str, api: &str) -> Rival {
        let kubeconfig = folder.join("pki/a/control-plane.kubeconfig");
        let mut command = Command::new(binary("raftsman"));
        command.args(["controllers", "--log-format", "json", "--server", api, "--kubeconfig"]).arg(kubeconfig);
        command.env("RUST_LOG", "warn,controllers=debug");
        let mut daemon = Daemon::launch(folder, name, command);
        daemon.wait_ready();
        Rival { daemon, name }
    }

    fn told(&self) -> Vec<Told> {
        self.daemon.log().lines().filter_map(|line| told(&serde_json::from_str(line).ok()?)).collect()
    }

    fn epoch(&self) -> i64 {
        let epochs = self.told().into_iter().filter_map(|told| match told {
            Told::Leading { epoch } => Some(epoch),
            _ => None,
        });
        epochs.max().unwrap_or(0)
    }

    fn times_deposed(&self) -> usize {
        self.told().iter().filter(|told| matches!(told, Told::Deposed)).count()
    }
}

fn told(line: &Value) -> Option<Told> {
    let number = |field: &str| line[field].as_i64();
    match line["message"].as_str()? {
        "leading" => Some(Told::Leading { epoch: number("epoch")? }),
        "committed" => Some(Told::Committed { epoch: number("epoch")?, revision: number("revision")? }),
        "conflict" if line["result"].as_str()?.contains("held no more in its epoch") => Some(Told::Fenced),
        "no longer leading" => Some(Told::Deposed),
        _ => None,
    }
}

fn job(number: u32) -> Job {
    let container = Container {
        name: "main".into(),
        image: "any".into(),
        command: vec!["/bin/true".into()],
        ..Container::default()
    };
    let pod = PodSpec { restart_policy: "Never".into(), containers: vec![container], ..PodSpec::default() };
    Job {
        metadata: Some(ObjectMeta { namespace: "default".into(), name: format!("j{number}"), ..ObjectMeta::default() }),
        spec: Some(JobSpec {
            completions: Some(COMPLETIONS),
            parallelism: Some(COMPLETIONS),
            template: Some(PodTemplateSpec { spec: Some(pod), ..PodTemplateSpec::default() }),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// Creates Jobs, two a second, until told to stop; how many.
fn submit(kubeconfig: &str, stop: &AtomicBool) -> u32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = client::Config::from_kubeconfig(kubeconfig).unwrap();
        let client = client::Client::connect(&config).unwrap();
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            client.create(job(count)).await.unwrap();
            count += 1;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        count
    })
}

/// Freezes whoever leads, lets the other take over, and lets the first go on.
fn rounds(rivals: &[Rival; 2], count: u32) {
    for round in 0..count {
        let leader = usize::from(rivals[1].epoch() > rivals[0].epoch());
        let (old, new) = (&rivals[leader], &rivals[1 - leader]);
        let (epoch, deposed) = (old.epoch(), old.times_deposed());
        old.daemon.signal(libc::SIGSTOP);
        std::thread::sleep(seconds(FROZEN_S));
        eventually(seconds(60), || match new.epoch() {
            successor if successor > epoch => Ok(()),
            successor => Err(format!("{} leads in {successor}, {} in {epoch}", new.name, old.name)),
        });
        old.daemon.signal(libc::SIGCONT);
        eventually(seconds(60), || match old.times_deposed() {
            times if times > deposed => Ok(()),
            times => Err(format!("{} was deposed {times} times", old.name)),
        });
        println!("round {round}: {} led in epoch {epoch}, {} took over in {}", old.name, new.name, new.epoch());
    }
}

/// No commit of an epoch lies beyond the beginning of the next; how many writes were tried all the same, and refused.
fn expect_fenced(rivals: &[Rival; 2]) -> usize {
    let told: Vec<Told> = rivals.iter().flat_map(Rival::told).collect();
    let begun = |told: &Told| if let Told::Leading { epoch } = told { Some(*epoch) } else { None };
    let epochs: BTreeSet<i64> = told.iter().filter_map(begun).collect();
    let mut commits: BTreeMap<i64, usize> = BTreeMap::new();
    for told in &told {
        if let Told::Committed { epoch, revision } = told {
            *commits.entry(*epoch).or_default() += 1;
            let next = epochs.range(epoch + 1..).next();
            assert!(next.is_none_or(|next| revision < next), "epoch {epoch} wrote {revision}, in that of {next:?}");
        }
    }
    let fenced = told.iter().filter(|told| matches!(told, Told::Fenced)).count();
    println!("commits by epoch: {commits:?}; {fenced} groups of deposed leaders were refused by the store");
    assert!(commits.len() > 1, "both have written");
    fenced
}

#[test]
fn a_frozen_leader_that_is_let_go_has_no_effect() {
    let rounds_asked = std::env::var("RAFTSMAN_ROUNDS").ok().map_or(ROUNDS, |text| text.parse().unwrap());
    let (api, store) = (free_address(), free_address());
    let folder = make_pki("127.0.0.1", &["n1"], &api);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (pki, plane, api_url) = (path("pki/a"), path("pki/a/control-plane.kubeconfig"), format!("https://{api}"));
    let start = |name: &str, args: &[&str]| Daemon::start(folder.path(), name, args);
    let data = path("store-data");
    let _store =
        start("store", &["store", "--name", "a", "--data-dir", &data, "--pki-dir", &pki, "--listen-client", &store]);
    let store_url = format!("https://{store}");
    let _api =
        start("apiserver", &["apiserver", "--pki-dir", &pki, "--listen-api", &api, "--store-endpoints", &store_url]);
    let _scheduler = start("scheduler", &["scheduler", "--server", &api_url, "--kubeconfig", &plane]);
    let rivals = ["one", "two"].map(|name| Rival::start(folder.path(), name, &api_url));
    let (data, node) = (path("agent"), path("pki/node-n1.kubeconfig"));
    let _agent = start(
        "agent",
        &["agent", "--server", &api_url, "--kubeconfig", &node, "--node-name", "n1", "--data-dir", &data],
    );
    eventually(seconds(60), || match rivals.iter().map(Rival::epoch).max() {
        Some(1..) => Ok(()),
        epoch => Err(format!("nobody leads: {epoch:?}")),
    });

    let stop = AtomicBool::new(false);
    let kubeconfig = path("admin.kubeconfig");
    let submitted = std::thread::scope(|scope| {
        let load = scope.spawn(|| submit(&kubeconfig, &stop));
        // The load must end with the rounds, also when they panic.
        let rounds = scope.spawn(|| rounds(&rivals, rounds_asked)).join();
        stop.store(true, Ordering::Relaxed);
        let submitted = load.join().unwrap();
        rounds.unwrap();
        submitted
    });

    let client = Client::at(folder.path(), "default");
    let jobs = eventually(seconds(120), || {
        let jobs: Value = serde_json::from_str(&client.kubectl(&["get", "jobs", "-o", "json"]).ok()).unwrap();
        let jobs = jobs["items"].as_array().unwrap().clone();
        let complete = jobs.iter().filter(|job| job["status"]["succeeded"] == COMPLETIONS).count();
        if complete as u32 == submitted {
            Ok(jobs)
        } else {
            Err(format!("{complete} of {submitted} Jobs are complete"))
        }
    });
    assert!(jobs.iter().all(|job| job["status"]["failed"].is_null()));
    let pods = client.kubectl(&["get", "pods", "-o", "name"]).ok().lines().count();
    assert_eq!(pods, jobs.len() * COMPLETIONS as usize, "every completion has one Pod");
    let fenced = expect_fenced(&rivals);
    // Whether a round catches it in the middle of something is chance; that no round of many does is a fault.
    assert!(fenced > 0 || rounds_asked < 10, "no deposed leader tried to write");
    println!("{rounds_asked} rounds, {submitted} Jobs");
}
