//! Changes of members, on the leader.

use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb::Member;
use proto::raftsman_store_v1::command::Change;
use proto::raftsman_store_v1::member_change::Change as Wanted;
use proto::raftsman_store_v1::{JoinMember, MemberChange, MemberChanged, Publish};
use tokio::time::Instant;
use tonic::{Response, Status};

use super::peer_urls;
use super::rules::{self, Refusal, Standing};
use crate::raft::{Membership, Reshape};
use crate::services::{Context, status};

/// A member that answered within this counts as connected.
const ACTIVE_WITHIN: Duration = Duration::from_secs(2);

/// How long a change may take, with what leads to it: an election, a round of the group.
const CHANGE_MAX: Duration = Duration::from_secs(10);
/// The answer of a member that does not lead.
const NOT_LEADER: &str = "etcdserver: not leader";
const NO_LEADER: &str = "etcdserver: no leader";
/// Pause before the leader is looked for again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Makes the change that a client or a joining member wants, here or on the leader.
pub async fn anywhere(context: &Arc<Context>, wanted: MemberChange) -> Result<MemberChanged, Status> {
    let deadline = Instant::now() + CHANGE_MAX;
    loop {
        let answer = if context.node.leads() {
            change(context, wanted.clone()).await
        } else if let Some(calls) = context.node.leader_calls() {
            let left = deadline.saturating_duration_since(Instant::now());
            let request = calls.request(wanted.clone(), left);
            calls.client().change_members(request).await.map(Response::into_inner)
        } else {
            Err(Status::unavailable(NO_LEADER))
        };
        match answer {
            // Certainly not done, so it may be tried again.
            Err(status) if [NOT_LEADER, NO_LEADER].contains(&status.message()) && Instant::now() < deadline => {}
            answer => return answer,
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Makes the change on the leader. Others answer "not leader".
pub async fn change(context: &Arc<Context>, wanted: MemberChange) -> Result<MemberChanged, Status> {
    let wanted = wanted.change.ok_or_else(|| Status::invalid_argument("raftsman: an empty change of members"))?;
    // One at a time, so that each is decided on what the one before it left.
    let _turn = context.changes.lock().await;
    let standing = standing(context).ok_or_else(|| Status::failed_precondition(NOT_LEADER))?;
    let (id, reshape) = match wanted {
        Wanted::Add(add) => {
            let urls = peer_urls::parse(&add.peer_urls).ok_or(Refusal::BadUrls)?;
            rules::add(&standing.members, &urls, add.learner)?;
            let id = draw(&standing.members, || rand::random_range(1..=u64::MAX));
            (id, Reshape::Learner { id, peer_urls: urls, joins_as_voter: !add.learner })
        }
        Wanted::Remove(remove) => {
            rules::remove(&standing.members, remove.id, context.node.id())?;
            (remove.id, Reshape::Gone(remove.id))
        }
        Wanted::Update(update) => {
            rules::update(&standing.members, update.id, &update.peer_urls)?;
            let urls = peer_urls::parse(&update.peer_urls).ok_or(Refusal::BadUrls)?;
            (update.id, Reshape::Moved { id: update.id, peer_urls: urls })
        }
        Wanted::Promote(promote) => {
            rules::promote(&standing.members, promote.id, standing.last)?;
            (promote.id, Reshape::Vote(promote.id))
        }
        Wanted::Join(join) => return self::join(context, join).await,
    };
    tracing::info!("members change: {reshape}");
    let members = context.node.reshape(reshape).await.map_err(status::propose)?;
    Ok(changed(context, id, members))
}

/// Gives the id that was drawn for a member's peer URLs to its data directory, and to no other.
async fn join(context: &Arc<Context>, join: JoinMember) -> Result<MemberChanged, Status> {
    let members = context.node.members();
    let shares = |member: &&Membership| member.peer_urls.iter().any(|url| join.peer_urls.contains(url));
    let Some(member) = members.iter().find(shares) else {
        let urls = join.peer_urls.join(",");
        return Err(Status::failed_precondition(format!(
            "the group has no member with the peer URL {urls}; add it first (raftsman member add {} --peer-url {urls})",
            join.name
        )));
    };
    // Only founders are named there. One that lost its directory may have acknowledged what its log had, even before it
    // said anything of itself; after that the group knows its directory.
    let unheard = !context.view.shared().group.read().published.contains_key(&member.id);
    if unheard && !member.name.is_empty() {
        return Err(Status::failed_precondition(format!(
            "member {0} founded the group and must come back with its directory; if that is lost, remove the member and add \
             it again (raftsman member remove {0}, raftsman member add {0})",
            member.name
        )));
    }
    let taken = {
        let group = context.view.shared().group.read();
        let others = members.iter().filter(|other| other.id != member.id);
        others.map(|other| name(other, group.published.get(&other.id))).any(|name| name == join.name)
    };
    if taken {
        return Err(Status::failed_precondition(format!(
            "the group has a member {0} already; start this one with another --name, or remove that one first \
             (raftsman member remove {0})",
            join.name
        )));
    }
    let publish = Publish { member_id: member.id, name: join.name, directory: join.directory, ..Default::default() };
    context.node.propose(Change::Publish(publish)).await.map_err(status::propose)?;
    let id = member.id;
    Ok(changed(context, id, members))
}

/// The group as the leader sees it.
pub struct Standings {
    /// All members.
    pub members: Vec<Standing>,
    /// End of the leader's log.
    pub last: u64,
}

/// How the members stand; `None` where this one does not lead.
pub fn standing(context: &Context) -> Option<Standings> {
    let contacts = context.node.contacts()?;
    let own = context.node.id();
    let group = context.view.shared().group.read();
    let last = context.node.status().last_index;
    let members = context.node.members().into_iter().map(|member| {
        let contact = contacts.get(&member.id).copied().unwrap_or_default();
        Standing {
            started: !name(&member, group.published.get(&member.id)).is_empty(),
            voter: !member.learner || member.joins_as_voter,
            active: member.id == own || contact.heard.is_some_and(|ago| ago < ACTIVE_WITHIN),
            matched: if member.id == own { Some(last) } else { contact.matched },
            id: member.id,
            peer_urls: member.peer_urls,
        }
    });
    Some(Standings { members: members.collect(), last })
}

/// What a member is called: as it said itself, else as it was founded.
fn name(member: &Membership, published: Option<&Publish>) -> String {
    published.map_or_else(|| member.name.clone(), |published| published.name.clone())
}

/// An id that no member has; 64 random bits make sure that none ever had it.
fn draw(members: &[Standing], mut draw: impl FnMut() -> u64) -> u64 {
    loop {
        let id = draw();
        if id != 0 && members.iter().all(|member| member.id != id) {
            return id;
        }
    }
}

fn changed(context: &Context, id: u64, members: Vec<Membership>) -> MemberChanged {
    let cluster_id = context.view.shared().group.read().cluster_id;
    MemberChanged { member_id: id, members: listed(context, members), cluster_id }
}

/// Members as etcd's clients are told of them.
pub fn listed(context: &Context, members: Vec<Membership>) -> Vec<Member> {
    let group = context.view.shared().group.read();
    let member = |member: Membership| {
        let published = group.published.get(&member.id);
        Member {
            id: member.id,
            name: name(&member, published),
            client_urls: published.map(|published| published.client_urls.clone()).unwrap_or_default(),
            // One that was added as a voter is shown as what it will be.
            is_learner: member.learner && !member.joins_as_voter,
            peer_urls: member.peer_urls,
        }
    };
    members.into_iter().map(member).collect()
}
