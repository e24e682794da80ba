//! Leases and the keys attached to them. No clock here: when a lease ends is the leader's to propose
//! (`lease_clock.rs`); the machine only knows which exist, for how long they were granted, and what they hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use proto::raftsman_store_v1 as pb;

/// One lease.
#[derive(Debug, Default)]
struct Entry {
    terms: pb::Lease,
    keys: BTreeSet<Bytes>,
}

/// All leases, and which key is attached to which.
#[derive(Debug, Default)]
pub struct Leases {
    leases: BTreeMap<i64, Entry>,
    attached: HashMap<Bytes, i64>,
}

impl Leases {
    /// Whether the lease exists.
    pub fn exists(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// TTL and checkpoint of a lease.
    pub fn terms(&self, id: i64) -> Option<&pb::Lease> {
        self.leases.get(&id).map(|entry| &entry.terms)
    }

    /// All ids, ascending, with their terms.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &pb::Lease)> {
        self.leases.iter().map(|(id, entry)| (*id, &entry.terms))
    }

    /// Adds a lease, or changes its terms.
    pub fn set(&mut self, id: i64, terms: pb::Lease) {
        self.leases.entry(id).or_default().terms = terms;
    }

    /// Removes a lease and answers the keys that it held, in order; they are not attached any more.
    pub fn remove(&mut self, id: i64) -> Option<BTreeSet<Bytes>> {
        let entry = self.leases.remove(&id)?;
        for key in &entry.keys {
            self.attached.remove(key);
        }
        Some(entry.keys)
    }

    /// Attaches a key to a lease, or to none (0); the lease that it had before loses it.
    pub fn attach(&mut self, key: &Bytes, id: i64) {
        if self.attached.get(key).copied().unwrap_or(0) == id {
            return;
        }
        self.detach(key);
        if let Some(entry) = self.leases.get_mut(&id) {
            entry.keys.insert(key.clone());
            self.attached.insert(key.clone(), id);
        }
    }

    /// Takes a key from its lease.
    pub fn detach(&mut self, key: &[u8]) {
        if let Some(id) = self.attached.remove(key)
            && let Some(entry) = self.leases.get_mut(&id)
        {
            entry.keys.remove(key);
        }
    }

    /// Lease of a key; 0 is none.
    pub fn of(&self, key: &[u8]) -> i64 {
        self.attached.get(key).copied().unwrap_or(0)
    }

    /// Keys of a lease, in order.
    pub fn keys(&self, id: i64) -> Vec<Bytes> {
        self.leases.get(&id).map(|entry| entry.keys.iter().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_lease() {
        let mut leases = Leases::default();
        let key = Bytes::from_static(b"a");
        leases.set(1, pb::Lease::default());
        leases.set(2, pb::Lease::default());
        leases.attach(&key, 1);
        leases.attach(&key, 2);
        assert_eq!((leases.keys(1).len(), leases.keys(2).len(), leases.of(b"a")), (0, 1, 2));
        leases.attach(&key, 0);
        assert_eq!((leases.keys(2).len(), leases.of(b"a")), (0, 0));
        leases.attach(&key, 1);
        assert_eq!(leases.remove(1).map(|keys| keys.len()), Some(1));
        assert_eq!(leases.of(b"a"), 0);
    }
}
