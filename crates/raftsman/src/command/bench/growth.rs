//! What a large store costs: a member's restart, and an empty member that catches up while the others serve.

use std::time::{Duration, Instant};

use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::{MemberAddRequest, MemberRemoveRequest, RangeRequest};

use super::rival::Rival;
use super::tool::Tool;
use crate::failure::Failure;

/// How long a member may take before the measurement is given up.
const LIMIT: Duration = Duration::from_secs(300);
/// Pause between two looks at a member; what is measured takes seconds.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What was measured.
pub struct Growth {
    /// From the start of a killed member's process to its first linearizable answer.
    pub restart: Duration,
    /// From the start of an empty member's process to its first linearizable answer.
    pub catch_up: Duration,
    /// 99th percentile of the others' puts in the meantime, in seconds.
    pub put_p99: f64,
}

/// Fills `rival` with `keys` keys of 8 bytes with values of 256, and measures.
pub async fn measure(rival: &mut Rival, tool: &Tool, keys: u64) -> Result<Growth, Failure> {
    let keys = keys.to_string();
    let load =
        ["--conns", "100", "--clients", "1000", "put", "--sequential-keys", "--key-size", "8", "--val-size", "256"];
    tool.run(rival, &[&load[..], &["--total", &keys, "--key-space-size", &keys]].concat()).await?;

    let leader = rival.leader().await?;
    let victim = (leader + 1) % rival.len();
    rival.kill(victim);
    let begun = Instant::now();
    rival.launch(victim, "new")?;
    serves(rival, victim).await?;
    let restart = begun.elapsed();

    rival.leader().await?;
    replace(rival, leader, victim).await?;
    let begun = Instant::now();
    rival.launch(victim, "existing")?;
    let rate = ["--conns", "10", "--clients", "10", "put", "--rate", "300", "--total", "3000", "--val-size", "256"];
    let (caught_up, puts) = tokio::join!(
        async {
            serves(rival, victim).await?;
            Ok::<_, Failure>(begun.elapsed())
        },
        tool.run_at(rival, leader, &rate)
    );
    let put_p99 = puts?.first().map_or(f64::NAN, |figures| figures.p99);
    Ok(Growth { restart, catch_up: caught_up?, put_p99 })
}

/// Takes a member out of the group, with its data, and announces an empty one in its place.
async fn replace(rival: &mut Rival, leader: usize, victim: usize) -> Result<(), Failure> {
    let id = rival.status(victim).await?.header.map_or(0, |header| header.member_id);
    rival.kill(victim);
    let mut cluster = ClusterClient::new(rival.connect(leader).await?);
    cluster.member_remove(MemberRemoveRequest { id }).await.map_err(Failure::failed)?;
    std::fs::remove_dir_all(rival.data(victim)).map_err(Failure::failed)?;
    let add = MemberAddRequest { peer_urls: vec![rival.peer_url(victim)], is_learner: false };
    let begun = Instant::now();
    // etcd refuses for some seconds, until the members that are left count as healthy.
    loop {
        match cluster.member_add(add.clone()).await {
            Ok(_) => return Ok(()),
            Err(status) if begun.elapsed() > LIMIT => return Err(Failure::failed(status)),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// Waits until a member answers a linearizable read.
async fn serves(rival: &Rival, member: usize) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let answer = async {
            let mut kv = KvClient::new(rival.connect(member).await?);
            let read = RangeRequest { key: "benchmark-key".into(), ..Default::default() };
            kv.range(read).await.map_err(Failure::failed)
        };
        match answer.await {
            Ok(_) => return Ok(()),
            Err(failure) if begun.elapsed() > LIMIT => return Err(failure),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
