//! Locks and elections where somebody has to wait, told as a transcript of who got what, in which order.

use std::time::Duration;

use proto::etcdserverpb::*;
use proto::v3electionpb::election_client::ElectionClient;
use proto::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use proto::v3lockpb::{LockRequest, UnlockRequest};
use tokio::task::JoinHandle;

use crate::script::{get, range};
use crate::step::{Peer, Step};

/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long is looked whether something happens that must not.
const MOMENT: Duration = Duration::from_millis(300);

struct Stage<'a> {
    peer: &'a Peer,
    transcript: Vec<String>,
}

/// Plays everything on one store.
pub async fn transcript(peer: &Peer) -> Vec<String> {
    let mut stage = Stage { peer, transcript: Vec::new() };
    for id in 1..=5 {
        stage.ask(Step::Grant(LeaseGrantRequest { id, ttl: 600 })).await;
    }
    stage.locks().await;
    stage.elections().await;
    stage.sessions().await;
    stage.transcript
}

fn lock(lease: i64) -> Step {
    Step::Lock(LockRequest { name: "lock".into(), lease })
}

fn campaign(lease: i64, value: &'static str) -> Step {
    Step::Campaign(CampaignRequest { name: "ballot".into(), lease, value: value.into() })
}

impl Stage<'_> {
    fn note(&mut self, what: &str, answer: String) {
        self.transcript.push(format!("{what}: {answer}"));
    }

    async fn ask(&mut self, step: Step) {
        let answer = self.peer.ask(step.clone()).await;
        self.note(&format!("{step:?}"), answer);
    }

    /// Asks in the background.
    fn begin(&self, step: Step) -> JoinHandle<String> {
        let peer = self.peer.clone();
        tokio::spawn(async move { peer.ask(step).await })
    }

    /// The key is there, or gone, in the end.
    async fn until(&mut self, key: &str, there: bool) {
        let count = || async {
            let mut kv = kv_client::KvClient::new(self.peer.channel.clone());
            kv.range(get(key)).await.unwrap().into_inner().count
        };
        let seen = tokio::time::timeout(PATIENCE, async {
            while (count().await == 1) != there {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let seen = seen.await.is_ok();
        self.note(&format!("{key} is there: {there}"), seen.to_string());
    }

    async fn ends(&mut self, what: &str, task: JoinHandle<String>) {
        let answer = tokio::time::timeout(PATIENCE, task).await.expect("an end in time").unwrap();
        self.note(what, answer);
    }

    async fn waits(&mut self, what: &str, task: &mut JoinHandle<String>) {
        let waits = tokio::time::timeout(MOMENT, task).await.is_err();
        self.note(&format!("{what} waits"), waits.to_string());
    }

    async fn locks(&mut self) {
        let unlock = |key: &'static str| Step::Unlock(UnlockRequest { key: key.into() });
        self.ask(lock(1)).await;
        let mut second = self.begin(lock(2));
        self.until("lock/2", true).await;
        let mut third = self.begin(lock(3));
        self.until("lock/3", true).await;
        let fourth = self.begin(lock(4));
        self.until("lock/4", true).await;
        self.waits("the second", &mut second).await;
        // Whoever does not wait any longer leaves the queue.
        second.abort();
        self.until("lock/2", false).await;
        self.waits("the third", &mut third).await;
        self.ask(Step::Revoke(LeaseRevokeRequest { id: 4 })).await;
        self.ask(unlock("lock/1")).await;
        self.ends("the third", third).await;
        self.ask(unlock("lock/3")).await;
        // etcd looks whether the lease of a waiter is still there when its turn has come.
        self.ends("the fourth, whose lease has ended", fourth).await;
        self.ask(Step::Range(range("lock/", "lock0"))).await;
    }

    async fn elections(&mut self) {
        let leader = |lease: i64, rev: i64| LeaderKey {
            name: "ballot".into(),
            key: format!("ballot/{lease}").into(),
            rev,
            lease,
        };
        let mut elections = ElectionClient::new(self.peer.channel.clone());
        // etcd answers the call itself with its first leader only.
        let observed = tokio::spawn(async move { elections.observe(LeaderRequest { name: "ballot".into() }).await });
        self.ask(campaign(1, "one")).await;
        let mut observed = observed.await.unwrap().unwrap().into_inner();
        self.observe(&mut observed).await;
        let mut second = self.begin(campaign(2, "two"));
        self.until("ballot/2", true).await;
        let third = self.begin(campaign(3, "three"));
        self.until("ballot/3", true).await;
        self.waits("the second candidate", &mut second).await;
        let created = self.created("ballot/1").await;
        let value = "one again".into();
        self.ask(Step::Proclaim(ProclaimRequest { leader: Some(leader(1, created)), value })).await;
        self.observe(&mut observed).await;
        self.ask(Step::Resign(ResignRequest { leader: Some(leader(1, created)) })).await;
        self.ends("the second candidate", second).await;
        self.observe(&mut observed).await;
        self.ask(Step::Revoke(LeaseRevokeRequest { id: 2 })).await;
        self.ends("the third candidate", third).await;
        self.observe(&mut observed).await;
        self.ask(Step::Leader(LeaderRequest { name: "ballot".into() })).await;
        let created = self.created("ballot/3").await;
        let value = "from a lease that is gone".into();
        let gone = LeaderKey { lease: 2, ..leader(3, created) };
        self.ask(Step::Proclaim(ProclaimRequest { leader: Some(gone), value })).await;
        // A candidate that goes away while it waits.
        let fifth = self.begin(campaign(5, "five"));
        self.until("ballot/5", true).await;
        fifth.abort();
        self.until("ballot/5", false).await;
    }

    async fn created(&self, key: &str) -> i64 {
        let mut kv = kv_client::KvClient::new(self.peer.channel.clone());
        kv.range(get(key)).await.unwrap().into_inner().kvs[0].create_revision
    }

    async fn observe(&mut self, observed: &mut tonic::Streaming<proto::v3electionpb::LeaderResponse>) {
        let told = tokio::time::timeout(PATIENCE, observed.message()).await.expect("told in time");
        let kv = told.unwrap().unwrap().kv.unwrap();
        self.note("observed", format!("{kv:?}"));
    }

    /// Callers without a lease of their own get one of a minute.
    async fn sessions(&mut self) {
        let mut locks = proto::v3lockpb::lock_client::LockClient::new(self.peer.channel.clone());
        let mut elections = ElectionClient::new(self.peer.channel.clone());
        let locked = locks.lock(LockRequest { name: "session".into(), lease: 0 }).await.unwrap().into_inner();
        let campaign = CampaignRequest { name: "session".into(), lease: 0, value: "v".into() };
        let key = String::from_utf8(locked.key.to_vec()).unwrap();
        let lease = i64::from_str_radix(key.trim_start_matches("session/"), 16).unwrap();
        locks.unlock(UnlockRequest { key: locked.key }).await.unwrap();
        let led = elections.campaign(campaign).await.unwrap().into_inner().leader.unwrap();
        for lease in [lease, led.lease] {
            let answer = self.peer.ask(Step::TimeToLive(LeaseTimeToLiveRequest { id: lease, keys: false })).await;
            self.note("a session's lease", answer.replace(&lease.to_string(), "LEASE"));
        }
    }
}
