//! Who a member is, and the check that a call is meant for it.
//!
//! A call names the group and the member that it is for. Both are random numbers, so that a directory that was
//! swapped, restored or taken over from another group is told apart from the one that is meant.

use std::io;

use parking_lot::Mutex;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

const CLUSTER: &str = "raftsman-cluster-id";
const MEMBER: &str = "raftsman-member-id";

/// Writes the group's id to disk.
pub type Adopt = Box<dyn Fn(u64) -> io::Result<()> + Send + Sync>;

/// This member's ids.
pub struct Identity {
    member: u64,
    group: Mutex<Group>,
    adopt: Adopt,
}

struct Group {
    /// 0: of no group yet.
    cluster: u64,
    /// Whether raft's calls are taken.
    open: bool,
}

impl Identity {
    /// The identity of member `member` of group `cluster` (0: none yet). `adopt` makes a group's id durable.
    pub fn new(member: u64, cluster: u64, adopt: Adopt) -> Self {
        Self { member, group: Mutex::new(Group { cluster, open: false }), adopt }
    }

    /// The member's id.
    pub fn member(&self) -> u64 {
        self.member
    }

    /// The group's id, 0 for none yet.
    pub fn cluster(&self) -> u64 {
        self.group.lock().cluster
    }

    /// Raft's calls are taken from now on; before, a member does not know yet whether it may take part.
    pub fn open(&self) {
        self.group.lock().open = true;
    }

    /// Makes the member one of group `cluster`, for good.
    pub fn join(&self, cluster: u64) -> io::Result<()> {
        let mut group = self.group.lock();
        if group.cluster == cluster && cluster != 0 {
            return Ok(());
        }
        if group.cluster != 0 || cluster == 0 {
            return Err(io::Error::other(format!("it is of group {:x}, not of {cluster:x}", group.cluster)));
        }
        (self.adopt)(cluster)?;
        group.cluster = cluster;
        Ok(())
    }

    /// Names the group and the member that a call is for.
    pub fn address(&self, target: u64, metadata: &mut MetadataMap) {
        metadata.insert(CLUSTER, hex(self.cluster()));
        metadata.insert(MEMBER, hex(target));
    }

    /// Refuses a call for somebody else. A member of no group becomes one of the first group that calls it by its
    /// id, which only members of `--initial-cluster` and who has asked one of them can know.
    pub fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let target = read(metadata, MEMBER)?;
        let cluster = read(metadata, CLUSTER)?;
        if target != self.member {
            return Err(Status::failed_precondition(format!(
                "raftsman: this is member {:x}, the call is for member {target:x}",
                self.member
            )));
        }
        if !self.group.lock().open {
            return Err(Status::unavailable("raftsman: this member is starting"));
        }
        self.join(cluster).map_err(|error| Status::failed_precondition(format!("raftsman: {error}")))
    }
}

fn hex(id: u64) -> MetadataValue<Ascii> {
    // Hexadecimal digits are ASCII.
    MetadataValue::try_from(format!("{id:x}")).unwrap_or_else(|_| MetadataValue::from_static("0"))
}

fn read(metadata: &MetadataMap, name: &str) -> Result<u64, Status> {
    let id = metadata.get(name).and_then(|value| value.to_str().ok());
    id.and_then(|id| u64::from_str_radix(id, 16).ok())
        .ok_or_else(|| Status::invalid_argument(format!("raftsman: a call of a peer needs the metadata {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(member: u64, cluster: u64) -> Identity {
        let identity = Identity::new(member, cluster, Box::new(|_| Ok(())));
        identity.open();
        identity
    }

    fn addressed(cluster: u64, target: u64) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        identity(0, cluster).address(target, &mut metadata);
        metadata
    }

    #[test]
    fn calls_for_others_are_refused() {
        let own = identity(7, 3);
        assert!(own.check(&addressed(3, 7)).is_ok());
        assert!(own.check(&addressed(3, 8)).unwrap_err().message().contains("for member 8"));
        assert!(own.check(&addressed(4, 7)).unwrap_err().message().contains("not of 4"));
        assert!(own.check(&MetadataMap::new()).is_err());
    }

    #[test]
    fn the_first_group_that_calls_is_joined_for_good() {
        let own = identity(7, 0);
        assert!(own.check(&addressed(0, 7)).is_err());
        assert!(own.check(&addressed(5, 8)).is_err());
        assert_eq!(own.cluster(), 0);
        assert!(own.check(&addressed(5, 7)).is_ok());
        assert_eq!(own.cluster(), 5);
        assert!(own.check(&addressed(6, 7)).is_err());
    }

    #[test]
    fn nobody_is_joined_before_the_start_is_through() {
        let own = Identity::new(7, 0, Box::new(|_| Ok(())));
        assert_eq!(own.check(&addressed(5, 7)).unwrap_err().code(), tonic::Code::Unavailable);
        assert_eq!(own.cluster(), 0);
    }

    #[test]
    fn a_group_that_can_not_be_written_down_is_not_joined() {
        let own = Identity::new(7, 0, Box::new(|_| Err(io::Error::other("disk full"))));
        own.open();
        assert!(own.check(&addressed(5, 7)).unwrap_err().message().contains("disk full"));
        assert_eq!(own.cluster(), 0);
    }
}
