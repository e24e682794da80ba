//! Why the machine refuses a request. The texts that etcd's clients know are in `services/status.rs`.

/// A request that was not applied, or not answered; the store is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A request names no key.
    #[error("key is not provided")]
    EmptyKey,
    /// ignore_value together with a value.
    #[error("value is provided")]
    ValueProvided,
    /// ignore_lease together with a lease.
    #[error("lease is provided")]
    LeaseProvided,
    /// ignore_value or ignore_lease of a key that does not exist.
    #[error("key not found")]
    KeyNotFound,
    /// A transaction with more operations than allowed.
    #[error("too many operations in txn request")]
    TooManyOps,
    /// A transaction that writes a key twice.
    #[error("duplicate key given in txn request")]
    DuplicateKey,
    /// A sort order or target that does not exist.
    #[error("invalid sort option")]
    InvalidSort,
    /// A revision that has been compacted.
    #[error("required revision has been compacted")]
    Compacted,
    /// A revision after the newest.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// A lease that does not exist.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// A lease id that exists.
    #[error("lease already exists")]
    LeaseExists,
    /// A TTL over the limit.
    #[error("too large lease TTL")]
    LeaseTtlTooLarge,
    /// The space quota is used up: only deletions and compactions are taken.
    #[error("database space exceeded")]
    NoSpace,
    /// Members disagree about their content.
    #[error("corrupt cluster")]
    Corrupt,
    /// A member's id is used from another data directory than the one that it was given to.
    #[error("the id was given to another data directory")]
    OtherDirectory,
    /// A member's data directory has been started more often than it knows.
    #[error("the data directory is an older copy")]
    OlderDirectory,
    /// A record that the index names is not on disk: the database is damaged.
    #[error("a record is missing in the database")]
    RecordMissing,
}
