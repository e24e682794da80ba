//! `raftsman member list|add|promote|remove|transfer`: the members of a store's group.

use clap::{Args, Subcommand};
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, MoveLeaderRequest,
    StatusRequest,
};
use serde_json::json;
use tonic::transport::Channel;

use super::print::{self, Format, Output, Table};
use super::store::{StoreConnection, StoreSession, refused};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List the members and their parts
    List(ListArgs),
    /// Add a member; it gets its vote when it has caught up
    Add(AddArgs),
    /// Give a learner its vote
    Promote(OneArgs),
    /// Remove a member; it never comes back under the same id
    Remove(OneArgs),
    /// Hand leadership to a member
    Transfer(OneArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    connection: StoreConnection,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct AddArgs {
    #[command(flatten)]
    connection: StoreConnection,
    /// The name that it will be started with
    name: String,
    /// Where the others will reach it, such as https://10.0.0.4:2380
    #[arg(long = "peer-url", value_name = "URL", value_delimiter = ',', required = true)]
    peer_urls: Vec<String>,
    /// Without a vote, until `raftsman member promote`
    #[arg(long)]
    learner: bool,
}

#[derive(Debug, Args)]
pub struct OneArgs {
    #[command(flatten)]
    connection: StoreConnection,
    /// Its name or id, as `member list` prints them
    member: String,
}

pub async fn run(command: MemberCommand) -> Result<(), Failure> {
    match command {
        MemberCommand::List(args) => list(args).await,
        MemberCommand::Add(args) => add(args).await,
        MemberCommand::Promote(args) => {
            let (session, member) = args.find().await?;
            let request = MemberPromoteRequest { id: member.id };
            ClusterClient::new(session.channel).member_promote(request).await.map_err(refused)?;
            eprintln!("member {} votes now", shown(&member));
            Ok(())
        }
        MemberCommand::Remove(args) => {
            let (session, member) = args.find().await?;
            let request = MemberRemoveRequest { id: member.id };
            ClusterClient::new(session.channel).member_remove(request).await.map_err(refused)?;
            eprintln!("member {} is removed; its data directory is of no use any more", shown(&member));
            Ok(())
        }
        MemberCommand::Transfer(args) => transfer(args).await,
    }
}

impl OneArgs {
    /// Connects, and looks up the member that is meant.
    async fn find(&self) -> Result<(StoreSession, Member), Failure> {
        let session = self.connection.open().await?;
        let members = members(&session.channel).await?;
        let found = choose(&members, &self.member).cloned();
        let known = || members.iter().map(shown).collect::<Vec<_>>().join(", ");
        let missing = || Failure::Failed(format!("there is no member {:?}; there are {}", self.member, known()));
        Ok((session, found.ok_or_else(missing)?))
    }
}

/// The member of that name, else of that id.
fn choose<'a>(members: &'a [Member], text: &str) -> Option<&'a Member> {
    let by_name = members.iter().find(|member| member.name == text);
    by_name.or_else(|| {
        let id = u64::from_str_radix(text, 16).ok()?;
        members.iter().find(|member| member.id == id)
    })
}

/// A member in messages.
fn shown(member: &Member) -> String {
    match member.name.as_str() {
        "" => format!("{:x}", member.id),
        name => format!("{name} ({:x})", member.id),
    }
}

async fn members(channel: &Channel) -> Result<Vec<Member>, Failure> {
    let request = MemberListRequest { linearizable: true };
    let listed = ClusterClient::new(channel.clone()).member_list(request).await.map_err(refused)?;
    Ok(listed.into_inner().members)
}

/// The leader's id as the member at the other end knows it; 0 for none.
async fn leader(channel: &Channel) -> Result<u64, Failure> {
    let status = MaintenanceClient::new(channel.clone()).status(StatusRequest {}).await.map_err(refused)?;
    Ok(status.into_inner().leader)
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let session = args.connection.open().await?;
    let (members, leader) = (members(&session.channel).await?, leader(&session.channel).await?);
    match args.output.output {
        Format::Name => members.iter().for_each(|member| println!("member/{:x}", member.id)),
        format @ (Format::Json | Format::Yaml) => {
            let members: Vec<_> = members.iter().map(|member| as_json(member, leader)).collect();
            print::value(&json!({ "members": members }), format)?;
        }
        Format::Table | Format::Wide => print!("{}", table(&members, leader)),
    }
    Ok(())
}

fn as_json(member: &Member, leader: u64) -> serde_json::Value {
    json!({
        "id": format!("{:x}", member.id),
        "name": member.name,
        "part": part(member, leader),
        "peerURLs": member.peer_urls,
        "clientURLs": member.client_urls,
    })
}

/// What a member does in its group.
fn part(member: &Member, leader: u64) -> &'static str {
    match () {
        () if member.name.is_empty() => "unstarted",
        () if member.id == leader => "leader",
        () if member.is_learner => "learner",
        () => "follower",
    }
}

fn table(members: &[Member], leader: u64) -> String {
    let mut table = Table::new(&["NAME", "ID", "PART", "PEER", "CLIENT"]);
    for member in members {
        table.row([
            member.name.clone(),
            format!("{:x}", member.id),
            part(member, leader).to_owned(),
            member.peer_urls.join(","),
            member.client_urls.join(","),
        ]);
    }
    table.render()
}

async fn add(args: AddArgs) -> Result<(), Failure> {
    let session = args.connection.open().await?;
    if members(&session.channel).await?.iter().any(|member| member.name == args.name) {
        return Err(Failure::Failed(format!(
            "there is a member {0} already; remove it first (raftsman member remove {0}), or choose another name",
            args.name
        )));
    }
    let request = MemberAddRequest { peer_urls: args.peer_urls.clone(), is_learner: args.learner };
    let added = ClusterClient::new(session.channel).member_add(request).await.map_err(refused)?.into_inner();
    let id = added.member.map_or(0, |member| member.id);
    println!("{id:x}");
    eprintln!(
        "start it with an empty --data-dir and\n  --name {} --initial-cluster-state existing --initial-cluster {}",
        args.name,
        initial_cluster(&added.members, id, &args.name)
    );
    Ok(())
}

/// `--initial-cluster` of the new member: everybody who has a name, and itself.
fn initial_cluster(members: &[Member], new: u64, name: &str) -> String {
    let named = |member: &Member| {
        let name = if member.id == new { name } else { &member.name };
        let url = member.peer_urls.first().filter(|_| !name.is_empty())?;
        Some(format!("{name}={url}"))
    };
    members.iter().filter_map(named).collect::<Vec<_>>().join(",")
}

/// Only the leader can hand leadership over, so it is asked itself.
async fn transfer(args: OneArgs) -> Result<(), Failure> {
    let (session, target) = args.find().await?;
    let leader = leader(&session.channel).await?;
    let all = members(&session.channel).await?;
    let Some(leader) = all.iter().find(|member| member.id == leader) else {
        return Err(Failure::Failed("the group has no leader now; try again in a few seconds".into()));
    };
    let channel = session.at(&leader.client_urls).await?;
    let request = MoveLeaderRequest { target_id: target.id };
    MaintenanceClient::new(channel).move_leader(request).await.map_err(refused)?;
    eprintln!("member {} leads now", shown(&target));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, name: &str) -> Member {
        Member { id, name: name.into(), peer_urls: vec![format!("https://h{id:x}:2380")], ..Default::default() }
    }

    #[test]
    fn a_member_is_named_by_name_or_id() {
        let members = [member(0xab, "a"), member(0xa, "b"), member(0xc, "")];
        assert_eq!(choose(&members, "a").map(|member| member.id), Some(0xab), "a name goes before an id");
        assert_eq!(choose(&members, "c").map(|member| member.id), Some(0xc));
        assert_eq!(choose(&members, "ab").map(|member| member.id), Some(0xab));
        assert_eq!(choose(&members, "x"), None);
    }

    #[test]
    fn a_list_says_who_does_what() {
        let learner = Member { is_learner: true, ..member(3, "d") };
        let text = table(&[member(1, "a"), member(2, "b"), learner, member(4, "")], 2);
        let parts: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split_whitespace().rev().nth(1)).collect();
        assert_eq!(parts, ["follower", "leader", "learner", "unstarted"]);
    }

    #[test]
    fn a_new_member_is_told_whom_to_ask() {
        let members = [member(1, "a"), member(2, ""), member(3, "")];
        assert_eq!(initial_cluster(&members, 3, "d"), "a=https://h1:2380,d=https://h3:2380");
    }
}
