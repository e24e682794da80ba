//! The differences from etcd 3.6 that are meant to be there, each with its reason. What is not listed here is a fault.
//!
//! One is not played, for etcd ends its process: a transaction that deletes a key to the end of all keys and puts it with
//! `ignore_value` or `ignore_lease` is refused, as one that writes a key twice. And one would take luck: a candidate whose lease ends while it waits is told so; etcd calls it the leader.

use tonic::Code;

use crate::step::{Step, refused};

/// A difference between two answers to one request.
pub struct Difference {
    /// Why we answer otherwise.
    pub reason: &'static str,
    /// Whether two answers to a step differ in this way.
    pub is: fn(&Step, etcd: &str, ours: &str) -> bool,
}

/// All of them.
pub const ACCEPTED: &[Difference] = &[
    Difference {
        reason: "Users and roles are not kept: access is by client certificate, and a user whose permissions nobody \
                 checks would be a false promise. Adding one is refused in words.",
        is: |step, _, ours| matches!(step, Step::UserAdd(_) | Step::RoleAdd(_)) && refused(ours, Code::Unimplemented),
    },
    Difference {
        reason: "There is no older version of Raftsman whose data this one could write, so a downgrade is refused in \
                 words, not begun.",
        is: |step, etcd, ours| {
            matches!(step, Step::Downgrade(_))
                && !refused(etcd, Code::InvalidArgument)
                && refused(ours, Code::Unimplemented)
        },
    },
    Difference {
        reason: "Transactions are nested no deeper than 30 levels: the protobuf library takes no message of more than \
                 100 levels, which keeps a request from overflowing the stack.",
        is: |step, etcd, ours| {
            let deep = refused(ours, Code::Internal) && ours.contains("recursion limit reached");
            matches!(step, Step::Txn(_)) && deep && refused(etcd, Code::InvalidArgument)
        },
    },
    Difference {
        reason: "The hash of a revision is of what is there now. etcd, asked for the revision of one of its last \
                 compactions, answers what it noted down then, even where the revision is compacted meanwhile; after a \
                 compaction at 0 also where 0 means the newest.",
        is: |step, etcd, ours| {
            let Step::HashKv(request) = step else { return false };
            let compacted = format!("compact_revision: {0}, hash_revision: {0}", request.revision);
            let gone = ours == "OutOfRange: etcdserver: mvcc: required revision has been compacted";
            let zero = request.revision == 0 && etcd.ends_with("compact_revision: -1, hash_revision: 0 }");
            zero || etcd.starts_with("HashKvResponse") && (gone || ours.contains(&compacted))
        },
    },
    Difference {
        reason: "A member that is accused of damage (alarm CORRUPT) serves no reads either.",
        is: |step, _, ours| matches!(step, Step::Range(_)) && ours == "DataLoss: etcdserver: corrupt cluster",
    },
];
