//! All keys with their history, in memory: which revision wrote which version of a key.
//!
//! Values stay on disk under their revision; the index answers by itself whatever needs no value: compares of
//! revisions and versions, counts, and where to find a value at a revision. It is rebuilt from the records when
//! the store opens, so it is never a second truth.
//!
//! A worked example. `put a` at 2, `put a` at 4, `delete a` at 6, `put a` at 9 give
//!
//! ```text
//! a: [ (2, created 2, version 1) (4, created 2, version 2) (6, gone) (9, created 9, version 1) ]
//! ```
//!
//! A read at 5 finds the last version not after 5, (4, ...); a read at 7 finds (6, gone): no such key.
//! Compacting to 5 drops (2), since (4) answers every read at 5; compacting to 7 drops (4) and (6) too, since a
//! key that is gone answers like a key that never was; (9) stays. A deletion at the compacted revision itself stays
//! too, for a watch may begin there and must see it.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::Revision;

/// One version of a key. `version` 0 says that the key was deleted by this revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The change that wrote it.
    pub at: Revision,
    /// Main revision that created the key's current lifetime.
    pub created: i64,
    /// Writes in this lifetime, from 1; 0 is a deletion.
    pub version: i64,
}

impl Version {
    /// Whether this change deleted the key.
    pub fn gone(&self) -> bool {
        self.version == 0
    }
}

/// The half-open range of keys that `key` and `range_end` of a request mean:
/// end empty is the one key, end `\0` is everything from the key on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRange<'a> {
    /// First key.
    pub key: &'a [u8],
    /// End as the request says it.
    pub end: &'a [u8],
}

impl<'a> KeyRange<'a> {
    /// The range of a request's two fields.
    pub fn new(key: &'a [u8], end: &'a [u8]) -> Self {
        Self { key, end }
    }

    /// Whether the range is the one key.
    pub fn single(&self) -> bool {
        self.end.is_empty()
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self.end {
            [] => key == self.key,
            [0] => key >= self.key,
            end => key >= self.key && key < end,
        }
    }

    /// Bounds for an ordered map, or `None` where the range is empty (end not after start).
    fn bounds(&self) -> Option<Bounds<'a>> {
        match self.end {
            [] => Some((Bound::Included(self.key), Bound::Included(self.key))),
            [0] => Some((Bound::Included(self.key), Bound::Unbounded)),
            end if end > self.key => Some((Bound::Included(self.key), Bound::Excluded(end))),
            _ => None,
        }
    }
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// A key at some revision, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The key.
    pub key: Bytes,
    /// Its version at the revision asked for; never a deletion.
    pub version: Version,
}

/// The index. Its versions lie in order of revision in each key.
#[derive(Debug, Default)]
pub struct Index {
    keys: BTreeMap<Bytes, Vec<Version>>,
    /// Keys whose newest version is no deletion.
    alive: usize,
}

impl Index {
    /// Notes a version; its revision is after all that the key has.
    pub fn push(&mut self, key: &Bytes, version: Version) {
        self.alive += usize::from(!version.gone());
        match self.keys.get_mut(key) {
            Some(versions) => {
                self.alive -= usize::from(versions.last().is_some_and(|last| !last.gone()));
                versions.push(version);
            }
            None => {
                // A key is mostly written once or twice; the standard growth to 4 would waste memory.
                self.keys.insert(key.clone(), vec![version]);
            }
        }
    }

    /// The key at main revision `at`, unless it does not exist there.
    pub fn get(&self, key: &[u8], at: i64) -> Option<Version> {
        let versions = self.keys.get(key)?;
        last_until(versions, at).filter(|version| !version.gone())
    }

    /// The version that the key had before `at`, unless there was none (or it is compacted away).
    pub fn before(&self, key: &[u8], at: Revision) -> Option<Version> {
        let versions = self.keys.get(key)?;
        let after = versions.partition_point(|version| version.at < at);
        let version = versions[..after].last()?;
        (!version.gone()).then_some(*version)
    }

    /// Visits the keys of `range` that exist at `at`, in order; `visit` says whether to go on.
    pub fn visit(&self, range: KeyRange<'_>, at: i64, mut visit: impl FnMut(&Bytes, Version) -> bool) {
        let Some(bounds) = range.bounds() else { return };
        for (key, versions) in self.keys.range::<[u8], _>(bounds) {
            let Some(version) = last_until(versions, at).filter(|version| !version.gone()) else {
                continue;
            };
            if !visit(key, version) {
                return;
            }
        }
    }

    /// The keys of `range` at `at`: at most `limit` of them (0 is all), and how many there are altogether.
    pub fn range(&self, range: KeyRange<'_>, at: i64, limit: usize) -> (Vec<Found>, i64) {
        let mut found = Vec::new();
        let mut count = 0;
        self.visit(range, at, |key, version| {
            if limit == 0 || found.len() < limit {
                found.push(Found { key: key.clone(), version });
            }
            count += 1;
            true
        });
        (found, count)
    }

    /// How many keys of `range` exist at `at`.
    pub fn count(&self, range: KeyRange<'_>, at: i64) -> i64 {
        let mut count = 0;
        self.visit(range, at, |_, _| {
            count += 1;
            true
        });
        count
    }

    /// Drops the versions of `key` that no read at or after `compacted` can see, and names their places.
    pub fn prune(&mut self, key: &[u8], compacted: i64) -> Vec<Revision> {
        let Some(versions) = self.keys.get_mut(key) else {
            return Vec::new();
        };
        let mut drop = versions.partition_point(|version| version.at.main <= compacted);
        // The last of them is what a read at `compacted` sees, unless the key was gone before.
        if drop > 0 && keeps(&versions[drop - 1], compacted) {
            drop -= 1;
        }
        let dropped = versions.drain(..drop).map(|version| version.at).collect();
        if versions.is_empty() {
            self.keys.remove(key);
        } else if versions.capacity() > 2 * versions.len() {
            versions.shrink_to_fit();
        }
        dropped
    }

    /// Versions of `key` that a read at or after `compacted` can see (and those after), for hashing.
    pub fn visible_from(&self, key: &[u8], at: Revision, compacted: i64) -> bool {
        let Some(versions) = self.keys.get(key) else {
            return false;
        };
        if at.main > compacted {
            return true;
        }
        last_until(versions, compacted).is_some_and(|version| version.at == at && keeps(&version, compacted))
    }

    /// Number of keys that exist now.
    pub fn alive(&self) -> usize {
        self.alive
    }
}

/// Whether the last version not after `compacted` survives compaction.
fn keeps(version: &Version, compacted: i64) -> bool {
    !version.gone() || version.at.main == compacted
}

/// The last version whose main revision is not after `at`.
fn last_until(versions: &[Version], at: i64) -> Option<Version> {
    // Nearly all reads are of the newest version.
    match versions.last() {
        Some(last) if last.at.main <= at => Some(*last),
        _ => {
            let after = versions.partition_point(|version| version.at.main <= at);
            versions[..after].last().copied()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(main: i64, created: i64, version: i64) -> Version {
        Version { at: Revision::first(main), created, version }
    }

    /// The example at the top of this file.
    fn example() -> Index {
        let mut index = Index::default();
        let key = Bytes::from_static(b"a");
        for version in [put(2, 2, 1), put(4, 2, 2), put(6, 0, 0), put(9, 9, 1)] {
            index.push(&key, version);
        }
        index
    }

    #[test]
    fn reads_see_the_last_version_not_after_them() {
        let index = example();
        assert_eq!(index.get(b"a", 1), None);
        assert_eq!(index.get(b"a", 3), Some(put(2, 2, 1)));
        assert_eq!(index.get(b"a", 5), Some(put(4, 2, 2)));
        assert_eq!(index.get(b"a", 7), None);
        assert_eq!(index.get(b"a", 100), Some(put(9, 9, 1)));
        assert_eq!(index.before(b"a", Revision::first(6)), Some(put(4, 2, 2)));
        assert_eq!(index.before(b"a", Revision::first(9)), None);
    }

    #[test]
    fn what_exists_is_counted() {
        let mut index = example();
        assert_eq!(index.alive(), 1);
        let key = Bytes::from_static(b"a");
        index.push(&key, put(10, 9, 2));
        assert_eq!(index.alive(), 1);
        index.push(&key, put(11, 0, 0));
        assert_eq!(index.alive(), 0);
        index.push(&Bytes::from_static(b"b"), put(12, 12, 1));
        index.prune(b"a", 12);
        assert_eq!(index.alive(), 1);
    }

    #[test]
    fn pruning_keeps_what_reads_can_see() {
        let mut index = example();
        assert_eq!(index.prune(b"a", 5), [Revision::first(2)]);
        assert_eq!(index.get(b"a", 5), Some(put(4, 2, 2)));
        assert_eq!(index.prune(b"a", 6), [Revision::first(4)]);
        assert_eq!(index.before(b"a", Revision::first(9)), None);
        assert_eq!(index.prune(b"a", 7), [Revision::first(6)]);
        assert_eq!(index.get(b"a", 9), Some(put(9, 9, 1)));
        assert_eq!(index.prune(b"a", 9), []);
    }

    #[test]
    fn ranges_follow_the_request_conventions() {
        let mut index = Index::default();
        for (n, key) in ["a", "b", "c"].into_iter().enumerate() {
            index.push(&Bytes::from_static(key.as_bytes()), put(n as i64 + 2, n as i64 + 2, 1));
        }
        let count = |key: &[u8], end: &[u8]| index.count(KeyRange::new(key, end), 10);
        assert_eq!(count(b"a", b""), 1);
        assert_eq!(count(b"a", b"c"), 2);
        assert_eq!(count(b"b", b"\0"), 2);
        assert_eq!(count(b"\0", b"\0"), 3);
        assert_eq!(count(b"c", b"a"), 0);
        assert_eq!(count(b"a", b"a"), 0);
        let (found, all) = index.range(KeyRange::new(b"a", b"\0"), 10, 2);
        assert_eq!((found.len(), all), (2, 3));
    }
}
