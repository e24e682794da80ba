//! The same requests to our store and to a real etcd: the same answers and errors, to the word, but for what
//! `accepted.rs` lists.
//!
//! etcd's binary is `$RAFTSMAN_PEERS/etcd` (`make peers`); without it the tests say so and pass over.
//! `RAFTSMAN_SEED=n` plays one random script again, `RAFTSMAN_SCRIPTS=n` plays so many, from that seed on.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod accepted;
mod etcd;
mod gateway;
#[path = "../harness/mod.rs"]
mod harness;
mod play;
mod random;
mod script;
mod step;
mod waiting;
mod wire;

use play::{Act, Said, play};
use step::{Peer, Step};

/// Random scripts, and acts of each.
const SCRIPTS: u64 = 6;
const SCRIPT_LEN: usize = 300;
/// Differences of one random script that are shown.
const SHOWN_DIFFERENCES: usize = 4;
/// Characters of an answer that are shown.
const SHOWN: usize = 2_000;

/// A pair of fresh stores, and what keeps them up.
struct Pair {
    etcd: Peer,
    ours: Peer,
    _etcd: etcd::Etcd,
    running: harness::Running,
    _folder: tempfile::TempDir,
}

async fn pair() -> Option<Pair> {
    let folder = tempfile::tempdir().unwrap();
    let (process, address, channel) = etcd::start(&folder.path().join("etcd")).await?;
    let running = harness::start(&folder.path().join("ours")).await;
    let ours = Peer::new(running.channel.clone(), running.address).await;
    Some(Pair { etcd: Peer::new(channel, address).await, ours, _etcd: process, running, _folder: folder })
}

/// Plays a script on both, and panics with every difference that is not accepted. Notes which accepted ones were met.
async fn compare(pair: &Pair, acts: &[Act], met: &mut [bool], title: &str) {
    let differences = differences(pair, acts, met).await;
    let count = differences.len();
    assert!(differences.is_empty(), "{title}: {count} differences in {} acts\n{}", acts.len(), differences.join("\n"));
}

async fn differences(pair: &Pair, acts: &[Act], met: &mut [bool]) -> Vec<String> {
    let (etcd, ours) = tokio::join!(play(&pair.etcd, acts), play(&pair.ours, acts));
    let mut differences = Vec::new();
    for (number, act) in acts.iter().enumerate() {
        let (want, have) = (&etcd.answers[number], &ours.answers[number]);
        let accepted = match act {
            Act::Ask(step) => accepted::ACCEPTED.iter().position(|difference| (difference.is)(step, want, have)),
            _ => None,
        };
        match accepted {
            _ if want == have => {}
            Some(place) => met[place] = true,
            None => {
                differences.push(format!("{}\n  etcd: {}\n  ours: {}", cut(&format!("{act:?}")), cut(want), cut(have)))
            }
        }
    }
    differences.extend(watch_differences(&etcd, &ours));
    differences
}

fn watch_differences(etcd: &Said, ours: &Said) -> Vec<String> {
    let mut differences = Vec::new();
    let ids = etcd.watches.keys().chain(ours.watches.keys()).collect::<std::collections::BTreeSet<_>>();
    let nothing = Vec::new();
    for id in ids {
        let (want, have) = (etcd.watches.get(id).unwrap_or(&nothing), ours.watches.get(id).unwrap_or(&nothing));
        if want != have {
            let place = want.iter().zip(have).take_while(|(want, have)| want == have).count();
            let at = |said: &[String]| said.get(place).map_or("nothing more".to_owned(), |said| cut(said));
            let title = format!("watch {id:?}, item {place} of {} and {}", want.len(), have.len());
            differences.push(format!("{title}\n  etcd: {}\n  ours: {}", at(want), at(have)));
        }
    }
    differences
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_answered_as_by_etcd() {
    let Some(pair) = pair().await else { return };
    let mut met = vec![false; accepted::ACCEPTED.len()];
    let acts: Vec<Act> = script::all().into_iter().map(Act::Ask).collect();
    assert!(acts.len() > 500, "several hundred calls, not {}", acts.len());
    compare(&pair, &acts, &mut met, "the written script").await;
    for (difference, met) in accepted::ACCEPTED.iter().zip(met) {
        assert!(met, "no longer a difference: {}", difference.reason);
    }
    pair.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_scripts_are_answered_as_by_etcd() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (first, scripts) = (number("RAFTSMAN_SEED"), number("RAFTSMAN_SCRIPTS"));
    let scripts = scripts.unwrap_or(if first.is_some() { 1 } else { SCRIPTS });
    let first = first.unwrap_or_default();
    let mut failed = Vec::new();
    for seed in first..first + scripts {
        let Some(pair) = pair().await else { return };
        let acts = random::script(seed, SCRIPT_LEN);
        let differences = differences(&pair, &acts, &mut vec![false; accepted::ACCEPTED.len()]).await;
        if !differences.is_empty() {
            let shown = differences.iter().take(SHOWN_DIFFERENCES).cloned().collect::<Vec<_>>().join("\n");
            eprintln!("RAFTSMAN_SEED={seed}: {} differences in {} acts\n{shown}", differences.len(), acts.len());
            failed.push(seed);
        }
        pair.running.stop().await.unwrap();
    }
    assert!(failed.is_empty(), "answered otherwise: RAFTSMAN_SEED={failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_are_told_what_etcd_tells() {
    let Some(pair) = pair().await else { return };
    compare(&pair, &script::watches::script(), &mut vec![false; accepted::ACCEPTED.len()], "watches").await;
    pair.running.stop().await.unwrap();
}

/// Status, content type and body of a plain HTTP/1.1 request.
async fn http(peer: &Peer, method: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(peer.address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    // etcd runs its checks in no fixed order.
    let mut lines: Vec<&str> = body.lines().collect();
    lines.sort_unstable();
    format!("{status} {}", if method == "GET" && status != "404" { lines.join("|") } else { String::new() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_is_answered_as_by_etcd() {
    let Some(pair) = pair().await else { return };
    let paths = [
        "/version",
        "/health",
        "/health?serializable=true",
        "/health?exclude=NOSPACE",
        "/livez",
        "/livez?verbose",
        "/livez/serializable_read",
        "/livez/linearizable_read",
        "/readyz",
        "/readyz?verbose",
        "/readyz?verbose&exclude=data_corruption&exclude=non_learner",
        "/readyz/data_corruption",
        "/readyz/linearizable_read?verbose",
        "/readyz/none",
        "/nothing",
    ];
    let alarms = [(0, 0), (1, 1), (2, 1), (1, 2), (2, 2)];
    for (action, alarm) in alarms {
        let alarm = proto::etcdserverpb::AlarmRequest { action, member_id: step::OWN, alarm };
        let alarm = Step::Alarm(alarm);
        assert_eq!(pair.etcd.ask(alarm.clone()).await, pair.ours.ask(alarm).await);
        for path in paths {
            assert_eq!(http(&pair.etcd, "GET", path).await, http(&pair.ours, "GET", path).await, "GET {path}");
        }
    }
    for path in ["/health", "/livez", "/readyz", "/version"] {
        assert_eq!(http(&pair.etcd, "POST", path).await, http(&pair.ours, "POST", path).await, "POST {path}");
    }
    pair.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_none_are_refused_as_by_etcd() {
    let Some(pair) = pair().await else { return };
    let (want, have) = tokio::join!(wire::transcript(&pair.etcd), wire::transcript(&pair.ours));
    for (want, have) in want.iter().zip(&have) {
        assert_eq!(want, have);
    }
    pair.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_is_answered_as_by_etcd() {
    let Some(pair) = pair().await else { return };
    let mut differences = Vec::new();
    for (method, path, body) in gateway::script() {
        let (want, have) =
            tokio::join!(gateway::ask(&pair.etcd, method, path, body), gateway::ask(&pair.ours, method, path, body));
        if want != have {
            differences.push(format!("{method} {path} {body}\n  etcd: {want:?}\n  ours: {have:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    pair.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_locks_and_leadership_is_as_on_etcd() {
    let Some(pair) = pair().await else { return };
    let (want, have) = tokio::join!(waiting::transcript(&pair.etcd), waiting::transcript(&pair.ours));
    for (want, have) in want.iter().zip(&have) {
        assert_eq!(want, have);
    }
    assert_eq!(want.len(), have.len());
    pair.running.stop().await.unwrap();
}
