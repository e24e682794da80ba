//! Every key that the store writes to disk, of both databases.
//!
//! Numbers are big-endian, so that RocksDB's byte order is the numbers' order. A key begins with a prefix
//! byte; the version that introduced it stands beside it. Prefixes are never used again for something else.

use crate::machine::Revision;

/// Version of both databases' layout; a store refuses a directory with a higher one. Since 0.1.
pub const FORMAT: u32 = 1;

/// The raft log's database (`log/`).
pub mod log {
    /// One entry of the log. Since 0.1.
    const ENTRY: u8 = b'e';

    /// The last vote. Since 0.1.
    pub const VOTE: &[u8] = b"mvote";
    /// The last log id known to be committed; not synced by itself. Since 0.1.
    pub const COMMITTED: &[u8] = b"mcommitted";
    /// The member whose log it is. Since 0.1.
    pub const OWNER: &[u8] = b"mowner";
    /// The last log id that was purged. Since 0.1.
    pub const PURGED: &[u8] = b"mpurged";

    /// First key after all entries.
    pub const ENTRIES_END: &[u8] = &[ENTRY + 1];

    /// Key of the entry at `index`.
    pub fn entry(index: u64) -> [u8; 9] {
        let mut key = [ENTRY; 9];
        key[1..].copy_from_slice(&index.to_be_bytes());
        key
    }

    /// Index of an entry's key; `None` for any other key.
    pub fn entry_index(key: &[u8]) -> Option<u64> {
        let (&prefix, rest) = key.split_first()?;
        let bytes: [u8; 8] = rest.try_into().ok()?;
        (prefix == ENTRY).then(|| u64::from_be_bytes(bytes))
    }
}

/// The machine's database (`state/`).
pub mod state {
    use super::Revision;

    /// One version of one key, by its revision. Since 0.1.
    const RECORD: u8 = b'r';
    /// A lease, by its id. Since 0.1.
    const LEASE: u8 = b'l';
    /// What a member published of itself, by its id. Since 0.1.
    const MEMBER: u8 = b'n';
    /// A raised alarm, by member id and kind. Since 0.1.
    const ALARM: u8 = b'a';

    /// What a member last reported of its content, by its id. Since 0.1.
    const REPORT: u8 = b'h';

    /// Where the machine stands. Since 0.1.
    pub const PROGRESS: &[u8] = b"mprogress";
    /// The group's membership as of the applied log. Since 0.1.
    pub const MEMBERSHIP: &[u8] = b"mmembership";
    /// Revision up to which superseded records are physically gone; local to a member. Since 0.1.
    pub const PRUNED: &[u8] = b"mpruned";

    /// Key of the record written at `revision`.
    pub fn record(revision: Revision) -> [u8; 13] {
        let mut key = [RECORD; 13];
        key[1..9].copy_from_slice(&revision.main.to_be_bytes());
        key[9..].copy_from_slice(&revision.sub.to_be_bytes());
        key
    }

    /// Revision of a record's key; `None` for any other key.
    pub fn record_revision(key: &[u8]) -> Option<Revision> {
        if key.len() != 13 || key[0] != RECORD {
            return None;
        }
        Some(Revision {
            main: i64::from_be_bytes(key[1..9].try_into().ok()?),
            sub: u32::from_be_bytes(key[9..].try_into().ok()?),
        })
    }

    /// Key of the lease `id`.
    pub fn lease(id: i64) -> [u8; 9] {
        let mut key = [LEASE; 9];
        key[1..].copy_from_slice(&id.to_be_bytes());
        key
    }

    /// Id of a lease's key; `None` for any other key.
    pub fn lease_id(key: &[u8]) -> Option<i64> {
        let bytes: [u8; 8] = key.strip_prefix(&[LEASE])?.try_into().ok()?;
        Some(i64::from_be_bytes(bytes))
    }

    /// Key of what member `id` published.
    pub fn member(id: u64) -> [u8; 9] {
        let mut key = [MEMBER; 9];
        key[1..].copy_from_slice(&id.to_be_bytes());
        key
    }

    /// Id of a member's key; `None` for any other key.
    pub fn member_id(key: &[u8]) -> Option<u64> {
        let bytes: [u8; 8] = key.strip_prefix(&[MEMBER])?.try_into().ok()?;
        Some(u64::from_be_bytes(bytes))
    }

    /// Key of the last report of member `id`.
    pub fn report(id: u64) -> [u8; 9] {
        let mut key = [REPORT; 9];
        key[1..].copy_from_slice(&id.to_be_bytes());
        key
    }

    /// Id of a report's key; `None` for any other key.
    pub fn report_id(key: &[u8]) -> Option<u64> {
        let bytes: [u8; 8] = key.strip_prefix(&[REPORT])?.try_into().ok()?;
        Some(u64::from_be_bytes(bytes))
    }

    /// Key of an alarm of member `id`.
    pub fn alarm(id: u64, kind: i32) -> [u8; 13] {
        let mut key = [ALARM; 13];
        key[1..9].copy_from_slice(&id.to_be_bytes());
        key[9..].copy_from_slice(&kind.to_be_bytes());
        key
    }

    /// Member id and kind of an alarm's key; `None` for any other key.
    pub fn alarm_parts(key: &[u8]) -> Option<(u64, i32)> {
        let rest: &[u8; 12] = key.strip_prefix(&[ALARM])?.try_into().ok()?;
        let id = u64::from_be_bytes(rest[..8].try_into().ok()?);
        Some((id, i32::from_be_bytes(rest[8..].try_into().ok()?)))
    }

    /// All keys before the records', and all after them: first key, and first that is none.
    pub const BEFORE_RECORDS: (&[u8], &[u8]) = (&[], &[RECORD]);
    /// As above.
    pub const AFTER_RECORDS: (&[u8], &[u8]) = (&[RECORD + 1], &[0xff]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_keys_round_trip_in_order() {
        for index in [0, 1, 255, 256, u64::MAX] {
            assert_eq!(log::entry_index(&log::entry(index)), Some(index));
        }
        assert!(log::entry(255) < log::entry(256));
        assert!(log::entry(u64::MAX).as_slice() < log::ENTRIES_END);
        assert_eq!(log::entry_index(log::VOTE), None);
    }

    #[test]
    fn state_keys_round_trip_in_order() {
        let a = Revision { main: 2, sub: 300 };
        let b = Revision { main: 256, sub: 0 };
        assert_eq!(state::record_revision(&state::record(a)), Some(a));
        assert!(state::record(a) < state::record(b));
        assert_eq!(state::lease_id(&state::lease(7)), Some(7));
        assert_eq!(state::member_id(&state::member(u64::MAX)), Some(u64::MAX));
        assert_eq!(state::report_id(&state::report(9)), Some(9));
        assert_eq!(state::alarm_parts(&state::alarm(3, 1)), Some((3, 1)));
        assert_eq!(state::record_revision(state::PROGRESS), None);
    }
}
