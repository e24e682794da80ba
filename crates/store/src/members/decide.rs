//! What a member does at its start, as a pure function of what it is and what its peers answered.
//!
//! | the member has | the peers say | it |
//! |---|---|---|
//! | no data, `new` | all of them: no group yet | founds the group if its name is the first, else waits |
//! | no data, `new` | one has a group that knows its name under another id | is refused: its data is gone |
//! | no data, `existing` | one has a group | asks that one for the id of its peer URL |
//! | data | a majority answers and nobody objects | goes on |
//! | data | it was removed; or its directory is a copy, or an old one | is refused |
//!
//! A member waits for whom it must hear and cannot: a group is founded only with the word of every founder, so
//! none is founded twice; and a member with data takes part only when a majority could look at it, which costs
//! nothing, since without a majority there is nothing to take part in.

use std::collections::BTreeMap;

use crate::peers::Join;

/// A member without an id in somebody's group.
const NO_GROUP: u64 = 0;

/// What this member knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// `--name`.
    pub name: String,
    /// Its id; 0 while it has none (`existing`, no data).
    pub id: u64,
    /// Its group; 0 while it has none.
    pub cluster_id: u64,
    /// Drawn for this run of the process.
    pub session: u64,
    /// Its peer URL.
    pub url: String,
    /// `--initial-cluster`: names and peer URLs.
    pub initial: BTreeMap<String, String>,
    /// `--initial-cluster-state`.
    pub join: Join,
    /// Members of its group as its log has them, other than itself; empty without data.
    pub voters: BTreeMap<u64, String>,
    /// Whether its log holds anything.
    pub data: bool,
    /// End of its log.
    pub last_index: u64,
    /// How often its directory has been started, this time included.
    pub starts: u64,
}

/// What one peer said of itself and of the asker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// Its name.
    pub name: String,
    /// Its id; 0 while it has none.
    pub id: u64,
    /// Its group; 0 while it has none.
    pub cluster_id: u64,
    /// Drawn for that run of its process.
    pub session: u64,
    /// Its own `--initial-cluster`.
    pub initial: BTreeMap<String, String>,
    /// Whether it has a log.
    pub data: bool,
    /// Members of its group: id, name (empty: not started yet) and peer URLs.
    pub members: Vec<Known>,
    /// Whether its group, asked for certain, has no member with the asker's id.
    pub removed: bool,
    /// How often its group has seen the asker start.
    pub starts: u64,
    /// As leader: how much of the log the asker once had.
    pub matched: Option<u64>,
}

/// A member as a group knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: u64,
    /// Its name; empty until it has been started.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
}

/// What the peers at all known URLs answered; an error where one could not be asked.
pub type Answers = BTreeMap<String, Result<Hello, String>>;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Found the group with these members.
    Found(Vec<Known>),
    /// Ask the peer at this URL for an id.
    AskForId(String),
    /// Take part.
    Go,
    /// Ask again in a while; why.
    Wait(String),
    /// Give up; why, and what to do.
    Refuse(String),
}

/// Decides on what was heard.
pub fn decide(own: &Own, answers: &Answers) -> Step {
    if let Some(reason) = twin(own, answers) {
        return Step::Refuse(reason);
    }
    let step = match (own.data, own.join) {
        (true, _) => resume(own, answers),
        (false, Join::Existing) if own.id == 0 => ask_for_id(own, answers),
        // With an id it was taken in; the leader sends it the log.
        (false, Join::Existing) => reenter(own, answers),
        (false, Join::New) => begin(own, answers),
    };
    step.unwrap_or_else(Step::Refuse)
}

/// Another process that is this member, found at its own URL or anywhere else.
fn twin(own: &Own, answers: &Answers) -> Option<String> {
    let (url, _) = heard(answers).find(|(_, peer)| {
        peer.session != own.session && ((own.id != 0 && peer.id == own.id) || peer.name == own.name && own.url_is(peer))
    })?;
    Some(format!(
        "member {} runs already at {url}; a data directory belongs to one process: stop the other one, or give this \
         one a name, peer URL and directory of its own",
        own.name
    ))
}

impl Own {
    /// Whether that is who should answer at this member's own URL.
    fn url_is(&self, peer: &Hello) -> bool {
        peer.initial.get(&peer.name) == Some(&self.url)
    }

    /// Founders other than this member, by name.
    fn others(&self) -> impl Iterator<Item = (&String, &String)> {
        self.initial.iter().filter(|(name, _)| **name != self.name)
    }
}

fn heard(answers: &Answers) -> impl Iterator<Item = (&String, &Hello)> {
    answers.iter().filter_map(|(url, answer)| answer.as_ref().ok().map(|hello| (url, hello)))
}

/// A member of a group that begins.
fn begin(own: &Own, answers: &Answers) -> Result<Step, String> {
    for (name, url) in own.others() {
        let Some(Ok(peer)) = answers.get(url) else { continue };
        if own.id != 0 && peer.members.iter().any(|member| member.id == own.id) {
            // The group was founded with this member; the leader sends it the log.
            return Ok(Step::Go);
        }
        if peer.data && peer.members.is_empty() {
            return Ok(Step::Wait(format!(
                "{name} at {url} has voted in a group that is not founded yet; if that lasts, the founder is gone: \
                 begin anew with empty data directories on all members"
            )));
        }
        if peer.data {
            return Err(late(own, url, peer));
        }
        same_plan(own, name, url, peer)?;
    }
    let silent: Vec<String> = own.others().filter_map(|(name, url)| silence(name, url, answers)).collect();
    if !silent.is_empty() {
        return Ok(Step::Wait(format!("a group is founded with the word of all its members; {}", silent.join(", "))));
    }
    match own.initial.first_key_value() {
        Some((first, _)) if *first != own.name => Ok(Step::Wait(format!("for member {first} to found the group"))),
        _ => Ok(Step::Found(founders(own, answers))),
    }
}

/// Why a member that expected to begin a group can't enter the one that it found.
fn late(own: &Own, url: &str, peer: &Hello) -> String {
    let place = format!("the member at {url} ({}) has a group already", peer.name);
    let by_url = |member: &&Known| member.peer_urls.contains(&own.url);
    if let Some(known) = peer.members.iter().find(|member| member.name == own.name) {
        let (name, id) = (&own.name, known.id);
        return format!(
            "{place}, which knows {name} as {id:x} with data that is not in this directory; start {name} with its \
             old --data-dir, or remove it (raftsman member remove {id:x}), add it again (raftsman member add \
             {name} --peer-url {}) and start it with an empty directory and --initial-cluster-state existing",
            own.url
        );
    }
    match peer.members.iter().find(by_url) {
        Some(_) => format!("{place} and has taken this member in; start it with --initial-cluster-state existing"),
        None => format!(
            "{place}, which does not know {0}; add it (raftsman member add {0} --peer-url {1}) and start it \
             with --initial-cluster-state existing",
            own.name, own.url
        ),
    }
}

/// All founders must have been told the same.
fn same_plan(own: &Own, name: &str, url: &str, peer: &Hello) -> Result<(), String> {
    if peer.name != *name {
        return Err(format!(
            "--initial-cluster says that {name} is at {url}, but there is {}; correct it on this member or there",
            peer.name
        ));
    }
    if peer.initial != own.initial {
        return Err(format!(
            "--initial-cluster differs: here it is {}, at {name} ({url}) it is {}; write the same on all members",
            listed(&own.initial),
            listed(&peer.initial)
        ));
    }
    Ok(())
}

fn listed(initial: &BTreeMap<String, String>) -> String {
    initial.iter().map(|(name, url)| format!("{name}={url}")).collect::<Vec<_>>().join(",")
}

/// The silence of a member, in words; `None` if it answered.
fn silence(name: &str, url: &str, answers: &Answers) -> Option<String> {
    match answers.get(url) {
        Some(Ok(_)) => None,
        Some(Err(error)) => Some(format!("{name} at {url} does not answer ({error})")),
        None => Some(format!("{name} at {url} was not asked")),
    }
}

fn founders(own: &Own, answers: &Answers) -> Vec<Known> {
    let founder = |(name, url): (&String, &String)| {
        let id = match answers.get(url) {
            Some(Ok(peer)) if *name != own.name => peer.id,
            _ => own.id,
        };
        Known { id, name: name.clone(), peer_urls: vec![url.clone()] }
    };
    own.initial.iter().map(founder).collect()
}

/// A member that a group has taken in, and that doesn't know its id yet.
fn ask_for_id(own: &Own, answers: &Answers) -> Result<Step, String> {
    if let Some((_, url)) = own.others().find(|(_, url)| matches!(answers.get(*url), Some(Ok(peer)) if peer.data)) {
        return Ok(Step::AskForId(url.clone()));
    }
    let silent: Vec<String> = own.others().filter_map(|(name, url)| silence(name, url, answers)).collect();
    if silent.is_empty() {
        return Err("--initial-cluster-state is existing, but no member of --initial-cluster has a group; name the \
                    members of the group that has taken this one in, or found one with --initial-cluster-state new"
            .into());
    }
    Ok(Step::Wait(format!("for a member of the group; {}", silent.join(", "))))
}

/// A member that has its id, but no log yet.
fn reenter(own: &Own, answers: &Answers) -> Result<Step, String> {
    for (url, peer) in heard(answers) {
        object(own, url, peer)?;
    }
    match heard(answers).any(|(_, peer)| peer.data && peer.session != own.session) {
        true => Ok(Step::Go),
        false => Ok(Step::Wait("for a member of the group".into())),
    }
}

/// A member with data.
fn resume(own: &Own, answers: &Answers) -> Result<Step, String> {
    for (url, peer) in heard(answers) {
        object(own, url, peer)?;
    }
    // Who has no data there can't know what this member has acknowledged.
    let present = own.voters.values().filter(|url| matches!(answers.get(*url), Some(Ok(peer)) if peer.data)).count();
    // This member and those that answered.
    if (present + 1) * 2 > own.voters.len() + 1 {
        return Ok(Step::Go);
    }
    let silent = own.voters.iter().filter_map(|(id, url)| silence(&format!("{id:x}"), url, answers));
    Ok(Step::Wait(format!("for a majority of the group; {}", silent.collect::<Vec<_>>().join(", "))))
}

/// What a peer knows that keeps this member out.
fn object(own: &Own, url: &str, peer: &Hello) -> Result<(), String> {
    let at = format!("member {} at {url}", peer.name);
    if peer.cluster_id != NO_GROUP && own.cluster_id != NO_GROUP && peer.cluster_id != own.cluster_id {
        return Err(format!(
            "{at} belongs to the group {:x}, this member to {:x}; they must not share peer URLs",
            peer.cluster_id, own.cluster_id
        ));
    }
    if peer.removed {
        return Err(removed(&own.name, own.id));
    }
    if peer.starts >= own.starts {
        let reason = format!("{at} has seen it start {} times, this would be time {}", peer.starts, own.starts);
        return Err(older(own, &reason));
    }
    if let Some(matched) = peer.matched.filter(|matched| *matched > own.last_index) {
        let reason = format!("{at}, the leader, saw its log reach entry {matched}, here it ends at {}", own.last_index);
        return Err(older(own, &reason));
    }
    Ok(())
}

/// A member whose directory went back in time forgets what it acknowledged, so it must not take part.
fn older(own: &Own, reason: &str) -> String {
    format!(
        "this data directory is an older copy of {}'s: {reason}; use the newest one, or remove the member ({:x}) and \
         add it again with an empty directory",
        own.name, own.id
    )
}

/// What a member says that its group has removed.
pub fn removed(name: &str, id: u64) -> String {
    format!(
        "member {name} ({id:x}) was removed from its group; to let it in again, add it (raftsman member add) and \
         start it with an empty --data-dir and --initial-cluster-state existing"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: u64 = 77;

    fn url(name: &str) -> String {
        format!("https://{name}:2380")
    }

    fn plan() -> BTreeMap<String, String> {
        ["a", "b", "c"].into_iter().map(|name| (name.to_owned(), url(name))).collect()
    }

    fn id(name: &str) -> u64 {
        u64::from(name.as_bytes()[0])
    }

    fn known(name: &str) -> Known {
        Known { id: id(name), name: name.into(), peer_urls: vec![url(name)] }
    }

    /// A fresh member.
    fn fresh(name: &str, join: Join) -> Own {
        Own {
            name: name.into(),
            id: if join == Join::New { id(name) } else { 0 },
            cluster_id: 0,
            session: id(name),
            url: url(name),
            initial: plan(),
            join,
            voters: BTreeMap::new(),
            data: false,
            last_index: 0,
            starts: 1,
        }
    }

    /// A member with data.
    fn old(name: &str) -> Own {
        let others = ["a", "b", "c"].into_iter().filter(|other| *other != name);
        Own {
            cluster_id: GROUP,
            voters: others.map(|other| (id(other), url(other))).collect(),
            data: true,
            last_index: 50,
            starts: 8,
            ..fresh(name, Join::New)
        }
    }

    fn waiting(name: &str) -> Hello {
        Hello { name: name.into(), id: id(name), session: id(name), initial: plan(), ..Default::default() }
    }

    fn member(name: &str) -> Hello {
        let members = ["a", "b", "c"].map(known).into();
        Hello { cluster_id: GROUP, data: true, members, ..waiting(name) }
    }

    fn answers(heard: Vec<(&str, Hello)>) -> Answers {
        let silent = ["a", "b", "c"].map(|name| (url(name), Err("connection refused".to_owned())));
        let heard = heard.into_iter().map(|(at, hello)| (url(at), Ok(hello)));
        silent.into_iter().chain(heard).collect()
    }

    fn refusal(step: Step) -> String {
        match step {
            Step::Refuse(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_by_name_founds_the_group_once_all_have_spoken() {
        let a = fresh("a", Join::New);
        let all = answers(vec![("b", waiting("b")), ("c", waiting("c"))]);
        assert_eq!(decide(&a, &all), Step::Found(["a", "b", "c"].map(known).into()));
        let one_missing = answers(vec![("b", waiting("b"))]);
        let Step::Wait(reason) = decide(&a, &one_missing) else { panic!("c may have a group") };
        assert!(reason.contains("c at https://c:2380 does not answer (connection refused)"), "{reason}");
        let b = fresh("b", Join::New);
        let all = answers(vec![("a", waiting("a")), ("c", waiting("c"))]);
        assert_eq!(decide(&b, &all), Step::Wait("for member a to found the group".into()));
        let founded = answers(vec![("a", member("a"))]);
        assert_eq!(decide(&b, &founded), Step::Go);
        let voted = Hello { data: true, ..waiting("c") };
        let Step::Wait(reason) = decide(&b, &answers(vec![("c", voted)])) else { panic!("c has voted for a") };
        assert!(reason.contains("has voted"), "{reason}");
    }

    #[test]
    fn a_member_alone_founds_its_group_at_once() {
        let alone = Own { initial: [("a".to_owned(), url("a"))].into(), ..fresh("a", Join::New) };
        assert_eq!(decide(&alone, &Answers::new()), Step::Found(vec![known("a")]));
    }

    #[test]
    fn a_known_name_without_its_data_is_refused() {
        let wiped = Own { id: 4711, session: 4711, ..fresh("a", Join::New) };
        let reason = refusal(decide(&wiped, &answers(vec![("b", member("b"))])));
        assert!(reason.contains("knows a as 61") && reason.contains("raftsman member remove 61"), "{reason}");
        let stranger = Hello { members: vec![known("b"), known("c")], ..member("b") };
        let reason = refusal(decide(&wiped, &answers(vec![("b", stranger)])));
        assert!(reason.contains("does not know a; add it"), "{reason}");
        let added = Known { name: String::new(), ..known("a") };
        let expecting = Hello { members: vec![added, known("b")], ..member("b") };
        let reason = refusal(decide(&wiped, &answers(vec![("b", expecting)])));
        assert!(reason.contains("has taken this member in; start it with --initial-cluster-state"), "{reason}");
    }

    #[test]
    fn founders_with_different_plans_do_not_found() {
        let mut other = plan();
        other.insert("d".into(), url("d"));
        let a = fresh("a", Join::New);
        let differs = Hello { initial: other, ..waiting("b") };
        let reason = refusal(decide(&a, &answers(vec![("b", differs)])));
        assert!(reason.contains("--initial-cluster differs") && reason.contains("d=https://d:2380"), "{reason}");
        let reason = refusal(decide(&a, &answers(vec![("b", waiting("c"))])));
        assert!(reason.contains("says that b is at https://b:2380, but there is c"), "{reason}");
    }

    #[test]
    fn an_existing_group_gives_the_id() {
        let c = fresh("c", Join::Existing);
        let one = answers(vec![("b", member("b"))]);
        assert_eq!(decide(&c, &one), Step::AskForId(url("b")));
        assert!(matches!(decide(&c, &answers(vec![])), Step::Wait(_)));
        let groupless = answers(vec![("a", waiting("a")), ("b", waiting("b"))]);
        assert!(refusal(decide(&c, &groupless)).contains("no member of --initial-cluster has a group"));
        let taken_in = Own { id: id("c"), cluster_id: GROUP, ..c };
        assert_eq!(decide(&taken_in, &one), Step::Go);
    }

    #[test]
    fn a_member_with_data_goes_on_with_a_majority() {
        let a = old("a");
        assert!(matches!(decide(&a, &answers(vec![])), Step::Wait(_)));
        assert_eq!(decide(&a, &answers(vec![("b", member("b"))])), Step::Go);
        assert!(matches!(decide(&a, &answers(vec![("b", waiting("b"))])), Step::Wait(_)));
        let alone = Own { voters: BTreeMap::new(), ..a };
        assert_eq!(decide(&alone, &answers(vec![])), Step::Go);
    }

    #[test]
    fn what_a_peer_knows_better_keeps_a_member_out() {
        let foreign = Hello { cluster_id: 5, ..member("b") };
        let gone = Hello { removed: true, ..member("b") };
        let behind = Hello { matched: Some(51), ..member("b") };
        let before = Hello { starts: 8, ..member("b") };
        for (peer, reason) in [
            (foreign, "belongs to the group 5, this member to 4d"),
            (gone, "member a (61) was removed from its group"),
            (behind, "older copy of a's: member b at https://b:2380, the leader, saw its log reach entry 51"),
            (before, "older copy of a's: member b at https://b:2380 has seen it start 8 times"),
        ] {
            let said = refusal(decide(&old("a"), &answers(vec![("b", peer)])));
            assert!(said.contains(reason), "{said}");
        }
        let equal = Hello { matched: Some(50), starts: 7, ..member("b") };
        assert_eq!(decide(&old("a"), &answers(vec![("b", equal)])), Step::Go);
    }

    #[test]
    fn a_second_process_of_a_member_is_refused() {
        let twin = Hello { session: 999, ..member("a") };
        let itself = Hello { session: id("a"), ..member("a") };
        let reason = refusal(decide(&old("a"), &answers(vec![("a", twin.clone()), ("b", member("b"))])));
        assert!(reason.contains("member a runs already at https://a:2380"), "{reason}");
        assert_eq!(decide(&old("a"), &answers(vec![("a", itself), ("b", member("b"))])), Step::Go);
        // A fresh directory under the same name and URL.
        let other = Own { id: 4711, ..fresh("a", Join::New) };
        let reason = refusal(decide(&other, &answers(vec![("a", twin)])));
        assert!(reason.contains("runs already"), "{reason}");
    }
}
