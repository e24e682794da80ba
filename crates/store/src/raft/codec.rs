//! openraft's types to protobuf and back, for disk and wire.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use openraft::EntryPayload;
use prost::Message;
use prost::encoding::message;
use proto::raftsman_store_v1 as pb;

use super::types::{Entry, LogId, Members, Payload, Peer, Proposal, StoredMembership, Vote};

// Field numbers of LogEntry, which is written by hand below so that a shared command need not be copied.
const ID: u32 = 1;
const MEMBERSHIP: u32 = 2;
const COMMAND: u32 = 3;

pub fn log_id(id: &LogId) -> pb::LogId {
    pb::LogId { term: id.leader_id.term, index: id.index }
}

pub fn read_log_id(id: &pb::LogId) -> LogId {
    LogId::new_term_index(id.term, id.index)
}

pub fn vote(vote: &Vote) -> pb::Vote {
    pb::Vote { term: vote.leader_id.term, voted_for: vote.leader_id.voted_for, committed: vote.committed }
}

pub fn read_vote(vote: &pb::Vote) -> Vote {
    if vote.committed { Vote::new_committed(vote.term, vote.voted_for) } else { Vote::new(vote.term, vote.voted_for) }
}

pub fn membership(members: &Members) -> pb::Membership {
    let configs =
        members.get_joint_config().iter().map(|ids| pb::Voters { ids: ids.iter().copied().collect() }).collect();
    let members = members
        .nodes()
        .map(|(id, peer)| {
            let Peer { name, peer_urls, joins_as_voter } = peer.clone();
            (*id, pb::Member { name, peer_urls, joins_as_voter })
        })
        .collect();
    pb::Membership { configs, members }
}

/// `None` where the membership is not a possible one.
pub fn read_membership(stored: &pb::Membership) -> Option<Members> {
    let configs: Vec<_> = stored.configs.iter().map(|voters| voters.ids.iter().copied().collect()).collect();
    let nodes: std::collections::BTreeMap<u64, Peer> = stored
        .members
        .iter()
        .map(|(id, member)| {
            let pb::Member { name, peer_urls, joins_as_voter } = member.clone();
            (*id, Peer { name, peer_urls, joins_as_voter })
        })
        .collect();
    if configs.is_empty() && nodes.is_empty() {
        return Some(Members::default());
    }
    Members::new(configs, nodes).ok()
}

pub fn stored_membership(stored: &StoredMembership) -> pb::StoredMembership {
    pb::StoredMembership { id: stored.log_id().as_ref().map(log_id), membership: Some(membership(stored.membership())) }
}

pub fn read_stored_membership(stored: &pb::StoredMembership) -> Option<StoredMembership> {
    let id = stored.id.as_ref().map(read_log_id);
    let members = read_membership(&stored.membership.clone().unwrap_or_default())?;
    Some(StoredMembership::new(id, members))
}

/// An entry as bytes of a `LogEntry`.
pub fn encode_entry(entry: &Entry) -> Bytes {
    let id = log_id(&entry.log_id);
    let mut buffer = BytesMut::with_capacity(entry_size(entry));
    message::encode(ID, &id, &mut buffer);
    match &entry.payload {
        EntryPayload::Blank => {}
        EntryPayload::Membership(members) => message::encode(MEMBERSHIP, &membership(members), &mut buffer),
        EntryPayload::Normal(proposal) => message::encode(COMMAND, &*proposal.0, &mut buffer),
    }
    buffer.freeze()
}

/// About how many bytes an entry takes, in memory and on disk.
pub fn entry_size(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.0.encoded_len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    payload + 64
}

/// Reads an entry; `None` where the bytes are none.
pub fn decode_entry(bytes: Bytes) -> Option<Entry> {
    let stored = pb::LogEntry::decode(bytes).ok()?;
    let payload = match (stored.membership, stored.command) {
        (Some(membership), None) => EntryPayload::Membership(read_membership(&membership)?),
        (None, Some(command)) => EntryPayload::Normal(Proposal(Arc::new(command))),
        (None, None) => EntryPayload::Blank,
        (Some(_), Some(_)) => return None,
    };
    Some(entry(read_log_id(&stored.id?), payload))
}

fn entry(log_id: LogId, payload: Payload) -> Entry {
    Entry { log_id, payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip() {
        let command = pb::Command {
            origin: Some(pb::Origin { member_id: 1, number: 5 }),
            change: Some(pb::command::Change::LeaseRevoke(pb::LeaseRevoke {
                ids: vec![7],
                expired: true,
                granted: vec![3],
            })),
        };
        let peer = Peer { name: "a".into(), peer_urls: vec!["https://a:2380".into()], joins_as_voter: true };
        let members = Members::new(
            vec![[1, 2].into(), [2, 3].into()],
            std::collections::BTreeMap::from([(1, peer.clone()), (2, peer.clone()), (3, peer.clone()), (4, peer)]),
        )
        .unwrap();
        for payload in
            [EntryPayload::Blank, EntryPayload::Normal(Proposal(Arc::new(command))), EntryPayload::Membership(members)]
        {
            let original = entry(LogId::new_term_index(3, 9), payload);
            assert_eq!(decode_entry(encode_entry(&original)), Some(original));
        }
    }

    #[test]
    fn votes_round_trip() {
        for original in [Vote::new(4, 7), Vote::new_committed(4, 7)] {
            assert_eq!(read_vote(&vote(&original)), original);
        }
    }
}
