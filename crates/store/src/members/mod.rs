//! Who belongs to the group, and how that changes.
//!
//! ```text
//!   start without data:  ask the peers --> decide: found the group | be taken in | wait | refuse, in words
//!   MemberAdd & co:      any member --> leader --> rules (etcd's) --> raft's membership entry
//!   added as a voter:    a learner until it has caught up, then the leader gives it its vote
//! ```
//!
//! An id is drawn at random for one data directory and never used again. So a member whose data is gone is
//! another member: it is refused under its old name until the old one is removed and it is added anew.

mod peer_urls;
mod rules;
