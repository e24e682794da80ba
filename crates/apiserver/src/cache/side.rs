//! Keys beside the kinds: claims and guards, as the feed has seen them.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::watch;

/// One such key's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The revision that wrote it: a claim's epoch.
    pub revision: i64,
    /// Its value.
    pub value: Bytes,
    /// The store lease that it hangs on; 0 for none.
    pub lease: i64,
}

/// All keys under `/registry/raftsman.io/`.
#[derive(Debug)]
pub struct SideKeys {
    keys: RwLock<BTreeMap<String, Side>>,
    changed: watch::Sender<u64>,
}

impl Default for SideKeys {
    fn default() -> Self {
        SideKeys { keys: RwLock::default(), changed: watch::Sender::new(0) }
    }
}

impl SideKeys {
    /// The key's state, if it exists.
    pub fn get(&self, key: &str) -> Option<Side> {
        self.keys.read().get(key).cloned()
    }

    /// The revision that wrote the key; 0 when it does not exist.
    pub fn revision(&self, key: &str) -> i64 {
        self.keys.read().get(key).map_or(0, |side| side.revision)
    }

    /// Wakes at each change of any of the keys.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn fill(&self, keys: BTreeMap<String, Side>) {
        *self.keys.write() = keys;
        self.changed.send_modify(|count| *count += 1);
    }

    pub(super) fn apply(&self, key: String, state: Option<Side>) {
        let mut keys = self.keys.write();
        match state {
            Some(state) => keys.insert(key, state),
            None => keys.remove(&key),
        };
        drop(keys);
        self.changed.send_modify(|count| *count += 1);
    }
}
