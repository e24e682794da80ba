//! Two controller leaders at once: one is frozen, the other takes over, the first is let go and goes on where it was.
//!
//! What each of them had committed, and in which epoch, their own logs say; so every write that took effect can be told from
//! those that were refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

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
/// Jobs that a leader which is let go finds untouched.
const BURST: u32 = 20;

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
    /// Refused: what it saw is no more, or, fenced, its epoch is over.
    Conflict {
        fenced: bool,
    },
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

    /// Groups that were refused, and those of them that only the fence of their epoch refused.
    fn refused(&self) -> (usize, usize) {
        let conflicts = self.told().into_iter().filter_map(|told| match told {
            Told::Conflict { fenced } => Some(fenced),
            _ => None,
        });
        conflicts.fold((0, 0), |(all, by_fence), fenced| (all + 1, by_fence + usize::from(fenced)))
    }
}

fn told(line: &Value) -> Option<Told> {
    let number = |field: &str| line[field].as_i64();
    match line["message"].as_str()? {
        "leading" => Some(Told::Leading { epoch: number("epoch")? }),
        "committed" => Some(Told::Committed { epoch: number("epoch")?, revision: number("revision")? }),
        "conflict" => Some(Told::Conflict { fenced: line["result"].as_str()?.contains("held no more in its epoch") }),
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

/// Who creates Jobs all the time.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    pause: AtomicBool,
    /// How many to create at once, now, also in a pause.
    burst: AtomicU32,
}

/// Creates Jobs, two a second and more when asked, until told to stop; how many.
fn submit(kubeconfig: &str, load: &Load) -> u32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = client::Config::from_kubeconfig(kubeconfig).unwrap();
        let client = client::Client::connect(&config).unwrap();
        let mut count = 0;
        while !load.stop.load(Ordering::SeqCst) {
            let burst = load.burst.load(Ordering::SeqCst);
            if burst == 0 && load.pause.load(Ordering::SeqCst) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            }
            let jobs = (count..=count + burst).map(|number| client.create(job(number)));
            futures::future::join_all(jobs).await.into_iter().for_each(|created| drop(created.unwrap()));
            count += 1 + burst;
            load.burst.fetch_sub(burst, Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        count
    })
}

/// Freezes whoever leads, lets the other take over, and lets the first go on: with Jobs to decide on that nobody else has touched,
/// for the other is frozen meanwhile, so that nothing but the fence stands in its way.
fn rounds(rivals: &[Rival; 2], load: &Load, count: u32) {
    for round in 0..count {
        let leader = usize::from(rivals[1].epoch() > rivals[0].epoch());
        let (old, new) = (&rivals[leader], &rivals[1 - leader]);
        let (epoch, deposed) = (old.epoch(), old.times_deposed());
        // In the middle of its work, which the other then takes up.
        std::thread::sleep(seconds(2));
        old.daemon.signal(libc::SIGSTOP);
        load.pause.store(true, Ordering::SeqCst);
        std::thread::sleep(seconds(FROZEN_S));
        eventually(seconds(60), || match new.epoch() {
            successor if successor > epoch => Ok(()),
            successor => Err(format!("{} leads in {successor}, {} in {epoch}", new.name, old.name)),
        });
        let successor = new.epoch();
        new.daemon.signal(libc::SIGSTOP);
        load.burst.store(BURST, Ordering::SeqCst);
        eventually(seconds(60), || match load.burst.load(Ordering::SeqCst) {
            0 => Ok(()),
            left => Err(format!("{left} Jobs are not created")),
        });
        let before = old.refused();
        old.daemon.signal(libc::SIGCONT);
        eventually(seconds(60), || match old.times_deposed() {
            times if times > deposed => Ok(()),
            times => Err(format!("{} was deposed {times} times", old.name)),
        });
        // What was under way is answered by now; the other's claim outlives this.
        std::thread::sleep(seconds(2));
        new.daemon.signal(libc::SIGCONT);
        load.pause.store(false, Ordering::SeqCst);
        let after = old.refused();
        println!(
            "round {round}: {} led in epoch {epoch}, {} took over in {successor}; let go, {} groups of {} were refused, {} by the fence alone",
            old.name,
            new.name,
            after.0 - before.0,
            old.name,
            after.1 - before.1
        );
    }
}

/// No commit of an epoch lies beyond the beginning of the next; how many groups only the fence refused.
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
    let fenced = rivals.iter().map(|rival| rival.refused().1).sum();
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

    let load = Load::default();
    let kubeconfig = path("admin.kubeconfig");
    let submitted = std::thread::scope(|scope| {
        let submitted = scope.spawn(|| submit(&kubeconfig, &load));
        // The load must end with the rounds, also when they panic.
        let rounds = scope.spawn(|| rounds(&rivals, &load, rounds_asked)).join();
        load.stop.store(true, Ordering::SeqCst);
        let submitted = submitted.join().unwrap();
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
