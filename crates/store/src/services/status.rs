//! Errors as etcd's clients know them: they tell errors apart by the text, so it is etcd's to the letter.

use tonic::{Code, Status};

use crate::machine::{Failure, Refused};
use crate::raft::{ProposeError, ReadError};

/// Status of a failure of the machine.
pub fn failure(failure: Failure) -> Status {
    let (code, text) = match failure {
        Failure::EmptyKey => (Code::InvalidArgument, "etcdserver: key is not provided"),
        Failure::ValueProvided => (Code::InvalidArgument, "etcdserver: value is provided"),
        Failure::LeaseProvided => (Code::InvalidArgument, "etcdserver: lease is provided"),
        Failure::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
        Failure::TooManyOps => (Code::InvalidArgument, "etcdserver: too many operations in txn request"),
        Failure::DuplicateKey => (Code::InvalidArgument, "etcdserver: duplicate key given in txn request"),
        Failure::InvalidSort => (Code::InvalidArgument, "etcdserver: invalid sort option"),
        Failure::Compacted => (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
        Failure::FutureRevision => (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision"),
        Failure::LeaseNotFound => (Code::NotFound, "etcdserver: requested lease not found"),
        Failure::LeaseExists => (Code::FailedPrecondition, "etcdserver: lease already exists"),
        Failure::LeaseTtlTooLarge => (Code::OutOfRange, "etcdserver: too large lease TTL"),
        Failure::NoSpace => (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
        Failure::Corrupt => (Code::DataLoss, "etcdserver: corrupt cluster"),
        Failure::OtherDirectory => (
            Code::FailedPrecondition,
            "the id of this member was given to another data directory; start the member with that one, or remove it \
             (raftsman member remove), add it again and start it with an empty directory",
        ),
        Failure::OlderDirectory => (
            Code::FailedPrecondition,
            "this data directory is an older copy of the member's; use the newest one, or remove the member (raftsman \
             member remove), add it again and start it with an empty directory",
        ),
        Failure::RecordMissing => (Code::DataLoss, "raftsman: a record is missing in the state database"),
    };
    Status::new(code, text)
}

/// Status of a refused read.
pub fn refused(refused: Refused) -> Status {
    match refused {
        Refused::Failure(refusal) => failure(refusal),
        Refused::Disk(error) => Status::data_loss(format!("raftsman: {error}")),
    }
}

/// Status of a proposal without reply.
pub fn propose(error: ProposeError) -> Status {
    match error {
        ProposeError::Refused(refusal) => failure(refusal),
        ProposeError::NoLeader => Status::unavailable("etcdserver: no leader"),
        ProposeError::Unknown => Status::unavailable("etcdserver: leader changed"),
        ProposeError::TimedOut => Status::unavailable("etcdserver: request timed out"),
        ProposeError::Stopped => stopped(),
    }
}

/// Status of a read that can't be linearizable.
pub fn read(error: ReadError) -> Status {
    match error {
        ReadError::NoLeader => Status::unavailable("etcdserver: no leader"),
        ReadError::NoQuorum => Status::unavailable("etcdserver: request timed out"),
        ReadError::Stopped => stopped(),
    }
}

/// Status of a call of the leader that went wrong: its own words, or that there is none to be reached.
pub fn of_leader(status: Status) -> Status {
    match status.message().starts_with("etcdserver: ") {
        true => status,
        false => {
            tracing::debug!("the leader can't be asked: {}", status.message());
            Status::unavailable("etcdserver: no leader")
        }
    }
}

/// The member is going down.
pub fn stopped() -> Status {
    Status::unavailable("etcdserver: server stopped")
}

/// The machine answered another kind of command: a fault of ours.
pub fn mismatch() -> Status {
    Status::internal("raftsman: the machine answered another request")
}
