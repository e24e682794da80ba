//! What a change of members must fulfil: etcd's rules, in etcd's order, with etcd's words.
//!
//! They keep a group from being changed into one without a quorum: a member counts only once it has been
//! started, and nobody is added or taken away while too few are connected.

use tonic::{Code, Status};

/// Learners that a group may have at a time.
const LEARNERS_MAX: usize = 1;
/// Entries that a learner may lack when it gets a vote, beside etcd's tenth of the log.
const LAG_MAX: u64 = 5_000;

/// A member as the leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its id.
    pub id: u64,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Whether it votes, or will without being asked for.
    pub voter: bool,
    /// Whether it said its name: it was started.
    pub started: bool,
    /// Whether it answers the leader; true for the leader itself.
    pub active: bool,
    /// Last entry that its log has in common with the leader's.
    pub matched: Option<u64>,
}

/// Why a change is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No URLs, or none that can be one.
    BadUrls,
    /// Another member has one of the URLs.
    UrlsTaken,
    /// No member has the id.
    NotFound,
    /// It votes already.
    NotLearner,
    /// The learner lacks too much of the log.
    NotInSync,
    /// Too few voters would have been started.
    NotEnoughStarted,
    /// Too few voters are connected.
    Unhealthy,
    /// One learner at a time.
    TooManyLearners,
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let (code, text) = match refusal {
            Refusal::BadUrls => (Code::InvalidArgument, "etcdserver: given member URLs are invalid"),
            Refusal::UrlsTaken => (Code::FailedPrecondition, "etcdserver: Peer URLs already exists"),
            Refusal::NotFound => (Code::NotFound, "etcdserver: member not found"),
            Refusal::NotLearner => (Code::FailedPrecondition, "etcdserver: can only promote a learner member"),
            Refusal::NotInSync => {
                (Code::FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader")
            }
            // etcd answers this one with the code of an error that it does not know.
            Refusal::NotEnoughStarted => {
                (Code::Unknown, "etcdserver: re-configuration failed due to not enough started members")
            }
            Refusal::Unhealthy => (Code::Unavailable, "etcdserver: unhealthy cluster"),
            Refusal::TooManyLearners => (Code::FailedPrecondition, "etcdserver: too many learner members in cluster"),
        };
        Status::new(code, text)
    }
}

/// Whether a member with these URLs may be added.
pub fn add(members: &[Standing], urls: &[String], learner: bool) -> Result<(), Refusal> {
    let voters = count(members, |_| true);
    let started = count(members, |member| member.started);
    // One started member alone may always be given a second.
    let alone = voters == 1 && started == 1;
    if !learner && !alone && started < quorum(voters + 1) {
        return Err(Refusal::NotEnoughStarted);
    }
    if voters != 1 && count(members, |member| member.active) < quorum(voters + 1) {
        return Err(Refusal::Unhealthy);
    }
    if members.iter().any(|member| shares(member, urls)) {
        return Err(Refusal::UrlsTaken);
    }
    if learner && members.iter().filter(|member| !member.voter).count() >= LEARNERS_MAX {
        return Err(Refusal::TooManyLearners);
    }
    Ok(())
}

/// Whether the member `id` may be removed; `leader` is who asks itself that.
pub fn remove(members: &[Standing], id: u64, leader: u64) -> Result<(), Refusal> {
    let target = find(members, id);
    if target.is_some_and(|member| !member.voter) {
        return Ok(());
    }
    let others = count(members, |member| member.id != id);
    if count(members, |member| member.id != id && member.started) < quorum(others) {
        return Err(Refusal::NotEnoughStarted);
    }
    let target = target.ok_or(Refusal::NotFound)?;
    let active = count(members, |member| member.active);
    // One that is down does not count among those that are left either way.
    if (target.active || id == leader) && active < 1 + quorum(count(members, |_| true).saturating_sub(1)) {
        return Err(Refusal::Unhealthy);
    }
    Ok(())
}

/// Whether the URLs of the member `id` may become these.
pub fn update(members: &[Standing], id: u64, urls: &[String]) -> Result<(), Refusal> {
    find(members, id).ok_or(Refusal::NotFound)?;
    match members.iter().any(|member| member.id != id && shares(member, urls)) {
        true => Err(Refusal::UrlsTaken),
        false => Ok(()),
    }
}

/// Whether the learner `id` may get its vote; `last` is the end of the leader's log.
pub fn promote(members: &[Standing], id: u64, last: u64) -> Result<(), Refusal> {
    let target = find(members, id).ok_or(Refusal::NotFound)?;
    if !in_sync(target, last) {
        return Err(Refusal::NotInSync);
    }
    // The learner counts among the voters to come, and as started.
    if count(members, |member| member.started) + 1 < quorum(count(members, |_| true) + 1) {
        return Err(Refusal::NotEnoughStarted);
    }
    match target.voter {
        true => Err(Refusal::NotLearner),
        false => Ok(()),
    }
}

/// Whether a learner has as much of the log as a voter should: what etcd asks for, and in a long log more.
pub fn in_sync(member: &Standing, last: u64) -> bool {
    let matched = member.matched.unwrap_or(0);
    let etcd = u128::from(matched) * 10 >= u128::from(last) * 9;
    etcd && matched.saturating_add(LAG_MAX) >= last && (member.started && member.active)
}

/// Voters of a kind.
fn count(members: &[Standing], kind: impl Fn(&Standing) -> bool) -> usize {
    members.iter().filter(|member| member.voter && kind(member)).count()
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

fn find(members: &[Standing], id: u64) -> Option<&Standing> {
    members.iter().find(|member| member.id == id)
}

fn shares(member: &Standing, urls: &[String]) -> bool {
    member.peer_urls.iter().any(|url| urls.contains(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: u64 = 1;

    fn url(id: u64) -> Vec<String> {
        vec![format!("https://h{id}:2380")]
    }

    fn member(id: u64) -> Standing {
        Standing { id, peer_urls: url(id), voter: true, started: true, active: true, matched: Some(100) }
    }

    fn group(size: u64) -> Vec<Standing> {
        (1..=size).map(member).collect()
    }

    fn changed(size: u64, id: u64, change: impl Fn(&mut Standing)) -> Vec<Standing> {
        let mut members = group(size);
        members.iter_mut().filter(|member| member.id == id).for_each(change);
        members
    }

    #[test]
    fn adding_keeps_a_quorum_of_started_and_connected_voters() {
        let unstarted = |size| changed(size, size, |last| last.started = false);
        let silent = |size| changed(size, size, |last| last.active = false);
        for (members, learner, answer) in [
            (group(1), false, Ok(())),
            (group(3), false, Ok(())),
            // The second was added but not started: with a third there would be one of two started.
            (unstarted(2), false, Err(Refusal::NotEnoughStarted)),
            (unstarted(2), true, Ok(())),
            (unstarted(4), false, Ok(())),
            (silent(2), false, Err(Refusal::Unhealthy)),
            (silent(3), false, Err(Refusal::Unhealthy)),
            (silent(3), true, Err(Refusal::Unhealthy)),
            (silent(4), false, Ok(())),
        ] {
            assert_eq!(add(&members, &url(9), learner), answer, "{learner} {members:?}");
        }
    }

    #[test]
    fn urls_are_one_members_alone_and_there_is_one_learner() {
        assert_eq!(add(&group(3), &[url(9), url(2)].concat(), false), Err(Refusal::UrlsTaken));
        let learning = changed(4, 4, |last| last.voter = false);
        assert_eq!(add(&learning, &url(9), true), Err(Refusal::TooManyLearners));
        assert_eq!(add(&learning, &url(9), false), Ok(()));
        assert_eq!(update(&group(3), 2, &url(3)), Err(Refusal::UrlsTaken));
        assert_eq!(update(&group(3), 2, &url(2)), Ok(()));
        assert_eq!(update(&group(3), 9, &url(9)), Err(Refusal::NotFound));
    }

    #[test]
    fn removing_keeps_a_quorum_of_started_and_connected_voters() {
        let silent = changed(3, 3, |last| last.active = false);
        for (members, id, answer) in [
            (group(1), 1, Err(Refusal::NotEnoughStarted)),
            (group(2), 2, Ok(())),
            (group(3), 1, Ok(())),
            (group(3), 9, Err(Refusal::NotFound)),
            // One is down: it may go, but none of the two that carry the group.
            (silent.clone(), 3, Ok(())),
            (silent.clone(), 2, Err(Refusal::Unhealthy)),
            (silent.clone(), LEADER, Err(Refusal::Unhealthy)),
            (changed(2, 2, |last| last.started = false), 1, Err(Refusal::NotEnoughStarted)),
            (changed(2, 2, |last| last.voter = false), 2, Ok(())),
        ] {
            assert_eq!(remove(&members, id, LEADER), answer, "{id} {members:?}");
        }
    }

    #[test]
    fn a_learner_gets_its_vote_when_it_has_caught_up() {
        let learner = |matched, last| {
            let members = changed(4, 4, |learner| {
                learner.voter = false;
                learner.matched = matched;
            });
            promote(&members, 4, last)
        };
        assert_eq!(learner(Some(90), 100), Ok(()));
        assert_eq!(learner(Some(89), 100), Err(Refusal::NotInSync));
        assert_eq!(learner(None, 100), Err(Refusal::NotInSync));
        assert_eq!(learner(Some(990_000), 1_000_000), Err(Refusal::NotInSync), "ten thousand entries are too many");
        assert_eq!(learner(Some(996_000), 1_000_000), Ok(()));
        assert_eq!(promote(&group(3), 2, 100), Err(Refusal::NotLearner));
        assert_eq!(promote(&group(3), 9, 100), Err(Refusal::NotFound));
        let mut unstarted = changed(4, 4, |learner| (learner.voter, learner.started) = (false, false));
        assert_eq!(promote(&unstarted, 4, 100), Err(Refusal::NotInSync));
        unstarted.iter_mut().filter(|member| member.voter).for_each(|voter| voter.started = voter.id == LEADER);
        unstarted[3].started = true;
        assert_eq!(promote(&unstarted, 4, 100), Err(Refusal::NotEnoughStarted));
    }
}
