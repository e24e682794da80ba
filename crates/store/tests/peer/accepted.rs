//! The differences from etcd 3.6 that are meant to be there, each with its reason. What is not listed here is a fault.

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
];
