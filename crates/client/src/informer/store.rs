//! What an informer knows: the objects by key, and its indices. No waiting, no network.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// From a stored object to the values under which an index finds it.
pub type IndexFn<V> = fn(&V) -> Vec<String>;

/// One object that came, changed or went. Both sides are given where both exist.
pub struct Change<V> {
    pub key: Arc<str>,
    pub old: Option<Arc<V>>,
    pub new: Option<Arc<V>>,
}

struct Entry<V> {
    object: Arc<V>,
    /// Its resourceVersion: tells a relist which objects have changed.
    revision: i64,
}

pub(super) struct Store<V> {
    objects: BTreeMap<Arc<str>, Entry<V>>,
    indices: Vec<Index<V>>,
}

struct Index<V> {
    name: &'static str,
    of: IndexFn<V>,
    keys: HashMap<String, BTreeSet<Arc<str>>>,
}

impl<V> Store<V> {
    pub(super) fn new(indices: Vec<(&'static str, IndexFn<V>)>) -> Self {
        let indices = indices.into_iter().map(|(name, of)| Index { name, of, keys: HashMap::new() }).collect();
        Store { objects: BTreeMap::new(), indices }
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Arc<V>> {
        self.objects.get(key).map(|entry| &entry.object)
    }

    /// All objects, by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<V>)> {
        self.objects.iter().map(|(key, entry)| (key, &entry.object))
    }

    /// The objects that index `name` has under `value`, by key.
    ///
    /// # Panics
    /// When there is no such index: a mistake of the program, found by its first run.
    pub(super) fn by_index<'a>(&'a self, name: &str, value: &str) -> impl Iterator<Item = &'a Arc<V>> {
        let index = self.indices.iter().find(|index| index.name == name);
        let keys = index.unwrap_or_else(|| panic!("the informer has no index {name:?}")).keys.get(value);
        keys.into_iter().flatten().filter_map(|key| self.objects.get(key).map(|entry| &entry.object))
    }

    /// Adds or replaces.
    pub(super) fn put(&mut self, key: &str, object: V, revision: i64) -> Change<V> {
        let new = Arc::new(object);
        let (key, old) = match self.objects.get_key_value(key) {
            Some((key, entry)) => (key.clone(), Some(entry.object.clone())),
            None => (Arc::from(key), None),
        };
        self.reindex(&key, old.as_deref(), Some(&new));
        self.objects.insert(key.clone(), Entry { object: new.clone(), revision });
        Change { key, old, new: Some(new) }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Change<V>> {
        let (key, entry) = self.objects.remove_entry(key)?;
        self.reindex(&key, Some(&entry.object), None);
        Some(Change { key, old: Some(entry.object), new: None })
    }

    /// Takes a complete list in place of what was known, and says what that changed.
    pub(super) fn replace(&mut self, list: HashMap<String, (V, i64)>) -> Vec<Change<V>> {
        let gone: Vec<Arc<str>> = self.objects.keys().filter(|key| !list.contains_key(&***key)).cloned().collect();
        let mut changes: Vec<Change<V>> = gone.iter().filter_map(|key| self.remove(key)).collect();
        for (key, (object, revision)) in list {
            if self.objects.get(&*key).is_none_or(|entry| entry.revision != revision) {
                changes.push(self.put(&key, object, revision));
            }
        }
        changes
    }

    fn reindex(&mut self, key: &Arc<str>, old: Option<&V>, new: Option<&V>) {
        for index in &mut self.indices {
            let old = old.map(index.of).unwrap_or_default();
            let new = new.map(index.of).unwrap_or_default();
            for value in old.iter().filter(|value| !new.contains(value)) {
                if let Some(keys) = index.keys.get_mut(value) {
                    keys.remove(key);
                    if keys.is_empty() {
                        index.keys.remove(value);
                    }
                }
            }
            for value in new.into_iter().filter(|value| !old.contains(value)) {
                index.keys.entry(value).or_default().insert(key.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store<&'static str> {
        Store::new(vec![("initial", |text| text.chars().take(1).map(String::from).collect())])
    }

    fn initial(store: &Store<&'static str>, value: &str) -> Vec<&'static str> {
        store.by_index("initial", value).map(|object| **object).collect()
    }

    #[test]
    fn indices_follow_changes() {
        let mut store = store();
        store.put("a/1", "apple", 1);
        store.put("a/2", "avocado", 2);
        assert_eq!(initial(&store, "a"), ["apple", "avocado"]);
        let change = store.put("a/1", "banana", 3);
        assert_eq!((change.old.as_deref(), change.new.as_deref()), (Some(&"apple"), Some(&"banana")));
        assert_eq!(initial(&store, "a"), ["avocado"]);
        store.remove("a/2");
        assert_eq!(initial(&store, "a"), [""; 0]);
        assert_eq!(initial(&store, "b"), ["banana"]);
        assert!(store.remove("a/2").is_none());
    }

    #[test]
    fn a_relist_tells_only_differences() {
        let mut store = store();
        store.put("same", "apple", 1);
        store.put("changed", "banana", 2);
        store.put("gone", "cherry", 3);
        let list = [("same", ("apple", 1)), ("changed", ("berry", 5)), ("new", ("date", 6))];
        let list = list.into_iter().map(|(key, entry)| (key.to_owned(), entry)).collect();
        let mut changes: Vec<_> = store.replace(list).into_iter().map(|change| change.key.to_string()).collect();
        changes.sort();
        assert_eq!(changes, ["changed", "gone", "new"]);
        assert_eq!(store.len(), 3);
        assert_eq!(initial(&store, "c"), [""; 0]);
    }
}
