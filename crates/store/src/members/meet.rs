//! Meeting the peers at a start, until it is decided what this member does.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use proto::raftsman_store_v1::group_client::GroupClient;
use proto::raftsman_store_v1::{HelloRequest, HelloResponse, JoinMember};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::decide::{self, Answers, Hello, Known, Own, Step};
use crate::error::Error;
use crate::marker::Marker;
use crate::peers::{Join, Peers};
use crate::raft::{Links, Membership, Node};

/// How long a peer may take to answer; it may ask its leader in between.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long taking a member in may take.
const JOIN_MAX: Duration = Duration::from_secs(15);
/// Pause before the peers are asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How long a member that can't found a group still tells what it was told.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often it is said for whom a member waits.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Who this member is to its peers, and whom it expects.
#[derive(Clone)]
pub struct Introduction {
    /// `--name`.
    pub name: String,
    /// Drawn for this run of the process.
    pub session: u64,
    /// Its data directory; 0 in one of an earlier version.
    pub directory: u64,
    /// How often that one has been started, this time included.
    pub starts: u64,
    /// Its peer URL; empty for a member without a peer port.
    pub url: String,
    /// `--initial-cluster`.
    pub initial: BTreeMap<String, String>,
    /// `--initial-cluster-state`.
    pub join: Join,
    /// The way to the peers.
    pub links: Arc<Links>,
}

impl Introduction {
    /// Asks everybody at these URLs at once.
    pub async fn ask(&self, urls: BTreeSet<String>, member_id: u64, cluster_id: u64) -> Answers {
        let mut asked = JoinSet::new();
        for url in urls {
            let answer = self.ask_at(self.links.connect(vec![url.clone()]), member_id, cluster_id);
            asked.spawn(async move { (url, answer.await) });
        }
        asked.join_all().await.into_iter().collect()
    }

    /// Asks the one at the other end of a connection.
    pub fn ask_at(
        &self,
        channel: Channel,
        member_id: u64,
        cluster_id: u64,
    ) -> impl Future<Output = Result<Hello, String>> + use<> {
        let request = HelloRequest { member_id, name: self.name.clone(), cluster_id };
        async move {
            let answer = tokio::time::timeout(ANSWER_MAX, GroupClient::new(channel).hello(request)).await;
            match answer {
                Ok(Ok(response)) => Ok(hello(response.into_inner())),
                Ok(Err(status)) => Err(cause(&status)),
                Err(_) => Err("no answer in time".to_owned()),
            }
        }
    }

    /// Of a member without a peer port.
    pub fn alone(name: String, links: Arc<Links>) -> Self {
        let initial = BTreeMap::from([(name.clone(), String::new())]);
        let session = rand::random_range(1..=u64::MAX);
        Self { name, session, directory: 0, starts: 0, url: String::new(), initial, join: Join::New, links }
    }

    /// Of a member with peers.
    pub fn of(name: String, peers: &Peers, links: Arc<Links>) -> Self {
        let initial: BTreeMap<String, String> = peers.initial.iter().cloned().collect();
        let url = initial.get(&name).or(peers.advertise.first()).cloned().unwrap_or_default();
        Self { url, initial, join: peers.join, ..Self::alone(name, links) }
    }

    /// Everybody who may know something: the founders, this member's own URL (another process may sit there), and
    /// the members of its group.
    fn everybody(&self, own: &Own) -> BTreeSet<String> {
        let founders = self.initial.values().cloned();
        let all = founders.chain([self.url.clone()]).chain(own.voters.values().cloned());
        all.filter(|url| !url.is_empty()).collect()
    }

    fn own(&self, id: u64, cluster_id: u64) -> Own {
        Own {
            name: self.name.clone(),
            id,
            cluster_id,
            session: self.session,
            url: self.url.clone(),
            initial: self.initial.clone(),
            join: self.join,
            voters: BTreeMap::new(),
            data: false,
            last_index: 0,
            starts: self.starts,
        }
    }

    /// Fetches the id that a group drew for this member, for its directory; answers id and group.
    pub async fn fetch_id(&self, marker: &Marker) -> Result<(u64, u64), Error> {
        let own = self.own(0, 0);
        let mut pause = Pause::default();
        loop {
            let answers = self.ask(self.everybody(&own), 0, 0).await;
            let reason = match decide::decide(&own, &answers) {
                Step::AskForId(url) => match self.join(&url, marker.directory).await {
                    Ok(ids) => return Ok(ids),
                    Err(status) if status.code() == Code::Unavailable => cause(&status),
                    Err(status) => return Err(Error::Group(status.message().to_owned())),
                },
                Step::Refuse(reason) => return Err(Error::Group(reason)),
                Step::Wait(reason) => reason,
                Step::Found(_) | Step::Go => "for a member of the group".to_owned(),
            };
            pause.wait(&reason).await;
        }
    }

    fn needs_peers(&self, own: &Own) -> String {
        let others = own.voters.values().cloned().collect::<Vec<_>>().join(", ");
        format!(
            "the group of member {} has others ({others}), which can't be reached without a peer port; start it with \
             --initial-cluster",
            self.name
        )
    }

    async fn join(&self, url: &str, directory: u64) -> Result<(u64, u64), Status> {
        let mut client = GroupClient::new(self.links.connect(vec![url.to_owned()]));
        let mut request =
            Request::new(JoinMember { name: self.name.clone(), peer_urls: vec![self.url.clone()], directory });
        request.set_timeout(JOIN_MAX);
        let joined = client.join(request).await?.into_inner();
        Ok((joined.member_id, joined.cluster_id))
    }

    /// Meets the peers until this member may take part, and founds the group if that falls to it.
    pub async fn enter(&self, node: &Node) -> Result<(), Error> {
        let stopped = |error: io::Error| Error::Stopped(error.to_string());
        let identity = node.identity();
        let mut pause = Pause::default();
        loop {
            // First this: raft answers once it knows the members that its log names.
            let data = node.initialized().await.map_err(stopped)?;
            let others = node.members().into_iter().filter(|member| member.id != node.id() && !member.learner);
            let own = Own {
                voters: others.filter_map(|member| Some((member.id, member.peer_urls.into_iter().next()?))).collect(),
                data,
                last_index: node.status().last_index,
                ..self.own(node.id(), identity.cluster())
            };
            if self.url.is_empty() && !own.voters.is_empty() {
                return Err(Error::Group(self.needs_peers(&own)));
            }
            let answers = self.ask(self.everybody(&own), own.id, own.cluster_id).await;
            match decide::decide(&own, &answers) {
                Step::Go => return Ok(()),
                Step::Found(members) => {
                    if own.cluster_id == 0 {
                        // On disk before anybody hears of it, so that the group has one id.
                        identity.join(rand::random_range(1..=u64::MAX)).map_err(stopped)?;
                    }
                    tracing::info!("founding the group {:x}", identity.cluster());
                    return node.initialize(members.into_iter().map(founder).collect()).await.map_err(stopped);
                }
                Step::Refuse(reason) => {
                    if !own.data {
                        // Those that wait for this one shall learn the same.
                        tokio::time::sleep(LAST_WORDS).await;
                    }
                    return Err(Error::Group(reason));
                }
                Step::Wait(reason) => pause.wait(&reason).await,
                Step::AskForId(_) => pause.wait("for a member of the group").await,
            }
        }
    }
}

fn founder(known: Known) -> Membership {
    let peer_urls = known.peer_urls.into_iter().filter(|url| !url.is_empty()).collect();
    Membership { id: known.id, name: known.name, peer_urls, ..Default::default() }
}

/// The pause between two rounds, with a word about it now and then.
#[derive(Default)]
struct Pause {
    said: Option<Instant>,
}

impl Pause {
    async fn wait(&mut self, reason: &str) {
        // The first rounds of a start are no news.
        let due = self.said.get_or_insert_with(|| Instant::now() + Duration::from_secs(1) - SAY_EVERY);
        if due.elapsed() >= SAY_EVERY {
            tracing::warn!("waiting: {reason}");
            *due = Instant::now();
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

fn hello(response: HelloResponse) -> Hello {
    let known = |(id, member): (u64, proto::raftsman_store_v1::Member)| Known {
        id,
        name: member.name,
        peer_urls: member.peer_urls,
    };
    Hello {
        name: response.name,
        id: response.member_id,
        cluster_id: response.cluster_id,
        session: response.session,
        initial: response.initial.into_iter().collect(),
        data: response.initialized,
        members: response.members.into_iter().map(known).collect(),
        removed: response.removed,
        starts: response.starts,
        matched: response.matched,
    }
}

/// Why a call failed, in words: the innermost reason, for the outer ones say only that there is one.
fn cause(status: &Status) -> String {
    let mut innermost: &dyn std::error::Error = status;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = match std::error::Error::source(status) {
        Some(_) => innermost.to_string(),
        None => status.message().to_owned(),
    };
    match text.contains("certificate not valid yet") || text.contains("certificate expired") {
        true => format!("{text}; is this machine's clock right?"),
        false => text,
    }
}
