//! What must be known before a decision about a key may stand.
//!
//! Each kind is followed by a watch of its own, so what the informers hold together is a state that never was: a Job as of
//! revision 90 beside the Pods as of 80. Mostly that does no harm. What this process wrote itself it awaits, and writes that rest
//! on something stale conflict. Two cases are left, in which a decision stands only on informers that have all reached the
//! revision of the key's own object:
//!
//! ```text
//!  unknown outcome   the group {Job's status, Pods a b c} may have been committed, as revision N, or may still be. Every such
//!                    group writes the root: when the Job is seen as of N, the Pods must be, or they would be made again.
//!                    While the Job is seen as before, of that group and of a new one only one can be committed.
//!  absence           "no dependents are left" of an object that is being deleted, as of revision N: those from before N
//!                    must be known, and after it none that counts may come
//! ```

use std::collections::{BTreeMap, HashSet};

use api::proto::meta_v1::ObjectMeta;
use parking_lot::Mutex;

/// How far which informers must be for a decision about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footing {
    /// The resourceVersion of the root object.
    pub revision: i64,
    /// What is looked at beside the root.
    pub kinds: &'static [&'static str],
    /// Always, not only when what became of an earlier Plan is unknown.
    pub always: bool,
}

impl Footing {
    /// For Plans that write the root, and rest on these kinds as well.
    pub fn in_doubt(root: &ObjectMeta, kinds: &'static [&'static str]) -> Self {
        let revision = root.resource_version.parse().unwrap_or_default();
        Footing { revision, kinds, always: false }
    }

    /// For Plans that rest on what these kinds do not hold.
    pub fn always(root_version: &str, kinds: &'static [&'static str]) -> Self {
        Footing { revision: root_version.parse().unwrap_or_default(), kinds, always: true }
    }

    /// Whether a decision stands that was made when all of each kind was known up to `known`.
    pub fn holds(&self, doubtful: bool, known: impl Fn(&str) -> i64) -> bool {
        !(self.always || doubtful) || self.kinds.iter().all(|kind| known(kind) >= self.revision)
    }
}

/// The keys of which a Plan may have been committed without our knowing.
#[derive(Debug, Default)]
pub(crate) struct Doubts(Mutex<HashSet<String>>);

impl Doubts {
    pub fn add(&self, key: &str) {
        self.0.lock().insert(key.to_owned());
    }

    /// A later Plan of the key was committed, and so nothing of an earlier one can be any more; or its object is gone.
    pub fn settle(&self, key: &str) {
        self.0.lock().remove(key);
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.lock().contains(key)
    }
}

/// The highest revision that is awaited of each kind.
pub(crate) fn awaited<'k>(each: impl Iterator<Item = (&'k [&'static str], i64)>) -> BTreeMap<&'static str, i64> {
    let mut awaited: BTreeMap<&'static str, i64> = BTreeMap::new();
    for (kinds, revision) in each {
        for kind in kinds {
            let highest = awaited.entry(kind).or_default();
            *highest = (*highest).max(revision);
        }
    }
    awaited
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(version: &str) -> ObjectMeta {
        ObjectMeta { resource_version: version.into(), ..Default::default() }
    }

    #[test]
    fn only_doubt_and_absence_ask_for_all_informers() {
        let known = |kind: &str| if kind == "pods" { 80 } else { 95 };
        let job = Footing::in_doubt(&root("90"), &["pods"]);
        assert!(job.holds(false, known));
        assert!(!job.holds(true, known));
        assert!(Footing::in_doubt(&root("80"), &["pods"]).holds(true, known), "the Job is as it was");
        assert!(!Footing::always("90", &["jobs", "pods"]).holds(false, known));
        assert!(Footing::always("90", &["jobs"]).holds(false, known));
    }

    #[test]
    fn the_latest_of_each_kind_is_awaited() {
        let (pods, both) = (["pods"], ["pods", "jobs"]);
        let awaited = awaited([(&both[..], 7), (&pods[..], 9), (&pods[..], 8)].into_iter());
        assert_eq!(awaited, BTreeMap::from([("jobs", 7), ("pods", 9)]));
    }
}
