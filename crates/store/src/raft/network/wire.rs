//! openraft's messages between members, as protobuf and back. What is read from the wire and can't be a message of
//! raft is refused with words.

use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use proto::raftsman_store_v1 as pb;
use tonic::Status;

use crate::raft::codec;
use crate::raft::types::{TypeConfig, Vote};

/// A message that lacks a part.
fn lacks(part: &str) -> Status {
    Status::invalid_argument(format!("raftsman: a peer's message without {part}"))
}

/// The vote that every message has.
pub fn read_vote(vote: Option<&pb::Vote>) -> Result<Vote, Status> {
    vote.map(codec::read_vote).ok_or_else(|| lacks("vote"))
}

pub fn append_request(request: &AppendEntriesRequest<TypeConfig>) -> pb::AppendRequest {
    pb::AppendRequest {
        vote: Some(codec::vote(&request.vote)),
        previous: request.prev_log_id.as_ref().map(codec::log_id),
        entries: request.entries.iter().map(codec::encode_entry).collect(),
        committed: request.leader_commit.as_ref().map(codec::log_id),
    }
}

pub fn read_append_request(request: pb::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
    let entries: Option<Vec<_>> = request.entries.into_iter().map(codec::decode_entry).collect();
    let entries = entries.ok_or_else(|| lacks("readable entries"))?;
    let first = request.previous.as_ref().map_or(0, |id| id.index + 1);
    if entries.iter().zip(first..).any(|(entry, index)| entry.log_id.index != index) {
        return Err(Status::invalid_argument("raftsman: a peer's entries do not follow each other"));
    }
    Ok(AppendEntriesRequest {
        vote: read_vote(request.vote.as_ref())?,
        prev_log_id: request.previous.as_ref().map(codec::read_log_id),
        entries,
        leader_commit: request.committed.as_ref().map(codec::read_log_id),
    })
}

pub fn append_response(result: &StreamAppendResult<TypeConfig>) -> pb::AppendResponse {
    use pb::append_response::Result as Answer;
    let answer = match result {
        Ok(id) => Answer::Matching(pb::Matching { id: id.as_ref().map(codec::log_id) }),
        Err(StreamAppendError::Conflict(id)) => Answer::Conflict(codec::log_id(id)),
        Err(StreamAppendError::HigherVote(vote)) => Answer::HigherVote(codec::vote(vote)),
    };
    pb::AppendResponse { result: Some(answer) }
}

pub fn read_append_response(response: &pb::AppendResponse) -> Result<StreamAppendResult<TypeConfig>, Status> {
    use pb::append_response::Result as Answer;
    Ok(match response.result.as_ref().ok_or_else(|| lacks("result"))? {
        Answer::Matching(matching) => Ok(matching.id.as_ref().map(codec::read_log_id)),
        Answer::Conflict(id) => Err(StreamAppendError::Conflict(codec::read_log_id(id))),
        Answer::HigherVote(vote) => Err(StreamAppendError::HigherVote(codec::read_vote(vote))),
    })
}

pub fn vote_request(request: &VoteRequest<TypeConfig>) -> pb::VoteRequest {
    pb::VoteRequest {
        vote: Some(codec::vote(&request.vote)),
        last: request.last_log_id.as_ref().map(codec::log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

pub fn read_vote_request(request: &pb::VoteRequest) -> Result<VoteRequest<TypeConfig>, Status> {
    let last = request.last.as_ref().map(codec::read_log_id);
    let mut read = VoteRequest::new(read_vote(request.vote.as_ref())?, last);
    read.leadership_transfer = request.leadership_transfer;
    Ok(read)
}

pub fn vote_response(response: &VoteResponse<TypeConfig>) -> pb::VoteResponse {
    pb::VoteResponse {
        vote: Some(codec::vote(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(codec::log_id),
    }
}

pub fn read_vote_response(response: &pb::VoteResponse) -> Result<VoteResponse<TypeConfig>, Status> {
    let last = response.last.as_ref().map(codec::read_log_id);
    Ok(VoteResponse::new(read_vote(response.vote.as_ref())?, last, response.granted))
}

pub fn transfer_request(request: &TransferLeaderRequest<TypeConfig>) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        from: Some(codec::vote(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(codec::log_id),
    }
}

pub fn read_transfer_request(request: &pb::TransferLeaderRequest) -> Result<TransferLeaderRequest<TypeConfig>, Status> {
    let last = request.last.as_ref().map(codec::read_log_id);
    Ok(TransferLeaderRequest::new(read_vote(request.from.as_ref())?, request.to, last))
}
