//! Where a change lies in the store's history.

/// A change's place: `main` counts transactions, `sub` the changes within one. The first write of an empty
/// store has main 2, because an empty store is at revision 1 (as etcd's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision {
    /// The store's revision after the transaction.
    pub main: i64,
    /// Position of the change in its transaction, from 0.
    pub sub: u32,
}

impl Revision {
    /// The first place of `main`.
    pub const fn first(main: i64) -> Self {
        Self { main, sub: 0 }
    }
}
