//! What every object has: names, owners, finalizers, deletion.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proto::Root;
use proto::meta_v1::{ObjectMeta, OwnerReference};

use crate::kind::Kind;
use crate::time::{self, Instant};

/// Deletion waits until all dependents with `blockOwnerDeletion` are gone.
pub const FINALIZER_FOREGROUND: &str = "foregroundDeletion";
/// Deletion takes the owner references from all dependents first.
pub const FINALIZER_ORPHAN: &str = "orphan";

static EMPTY: LazyLock<ObjectMeta> = LazyLock::new(ObjectMeta::default);

/// Metadata of any object, without the `Option` that protobuf puts around it.
pub trait Object: Root {
    /// The metadata; empty when absent.
    fn meta(&self) -> &ObjectMeta {
        self.metadata().unwrap_or(&EMPTY)
    }

    /// The name.
    fn name(&self) -> &str {
        &self.meta().name
    }

    /// The namespace; empty for kinds that have none.
    fn namespace(&self) -> &str {
        &self.meta().namespace
    }

    /// The unique id.
    fn uid(&self) -> &str {
        &self.meta().uid
    }

    /// The version, as clients see it.
    fn resource_version(&self) -> &str {
        &self.meta().resource_version
    }

    /// `namespace/name`; the name alone for kinds without a namespace.
    fn key(&self) -> String {
        key(self.meta())
    }

    /// The value of one label.
    fn label(&self, key: &str) -> Option<&str> {
        self.meta().labels.get(key).map(String::as_str)
    }

    /// The value of one annotation.
    fn annotation(&self, key: &str) -> Option<&str> {
        self.meta().annotations.get(key).map(String::as_str)
    }

    /// Whether a deletion has begun.
    fn is_deleting(&self) -> bool {
        is_deleting(self.meta())
    }

    /// When it was created.
    fn created_at(&self) -> Option<Instant> {
        time::opt(&self.meta().creation_timestamp)
    }

    /// The owner that manages it.
    fn controller(&self) -> Option<&OwnerReference> {
        controller_of(self.meta())
    }
}

impl<T: Root> Object for T {}

/// `namespace/name`; the name alone for kinds without a namespace.
pub fn key(meta: &ObjectMeta) -> String {
    key_of(&meta.namespace, &meta.name)
}

/// `namespace/name`; the name alone where the namespace is empty.
pub fn key_of(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_string() } else { format!("{namespace}/{name}") }
}

/// Namespace (may be empty) and name of a key.
pub fn split_key(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}

/// Whether a deletion has begun.
pub fn is_deleting(meta: &ObjectMeta) -> bool {
    time::opt(&meta.deletion_timestamp).is_some()
}

/// The owner reference with `controller: true`.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().find(|owner| owner.controller == Some(true))
}

/// Whether the object with that uid manages this one.
pub fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    controller_of(meta).is_some_and(|owner| owner.uid == uid)
}

/// The reference by which a dependent names `owner` as what manages it, and as what must not go before it.
pub fn controller_reference<K: Kind>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::INFO.api_version(),
        kind: K::INFO.kind.to_string(),
        name: owner.name().to_string(),
        uid: owner.uid().to_string(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The reference by which events and statuses name `object`.
pub fn object_reference<K: Kind>(object: &K) -> proto::core_v1::ObjectReference {
    proto::core_v1::ObjectReference {
        kind: K::INFO.kind.to_string(),
        namespace: object.namespace().to_string(),
        name: object.name().to_string(),
        uid: object.uid().to_string(),
        api_version: K::INFO.api_version(),
        resource_version: object.resource_version().to_string(),
        field_path: String::new(),
    }
}

/// Whether the finalizer is there.
pub fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().any(|have| have == finalizer)
}

/// Adds the finalizer; false when it was there.
pub fn add_finalizer(meta: &mut ObjectMeta, finalizer: &str) -> bool {
    let missing = !has_finalizer(meta, finalizer);
    if missing {
        meta.finalizers.push(finalizer.to_string());
    }
    missing
}

/// Removes the finalizer; false when it was not there.
pub fn remove_finalizer(meta: &mut ObjectMeta, finalizer: &str) -> bool {
    let before = meta.finalizers.len();
    meta.finalizers.retain(|have| have != finalizer);
    meta.finalizers.len() != before
}

/// The longest part of a `generateName` that is kept.
pub const MAX_GENERATED_BASE: usize = 58;

/// `base` (cut to 58 bytes) and five characters drawn from `random`, of an alphabet without vowels and look-alikes.
pub fn generate_name(base: &str, mut random: u64) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut name = cut(base, MAX_GENERATED_BASE).to_string();
    for _ in 0..5 {
        name.push(char::from(ALPHABET[(random % 27) as usize]));
        random /= 27;
    }
    name
}

/// At most `max` bytes of `text`, cut between characters.
pub fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Adds all entries of `from` that `to` does not have.
pub fn add_missing(to: &mut BTreeMap<String, String>, from: &BTreeMap<String, String>) {
    for (key, value) in from {
        to.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

/// Whether two messages say the same: equal, or of equal JSON. An unset message and an empty one differ as values but
/// not in what they say (`"resources": {}`), and a client that reads JSON and writes it back turns one into the other.
pub fn same_content<T: proto::json::Json + PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || proto::json::to_vec(a) == proto::json::to_vec(b),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proto::batch_v1::Job;

    use super::*;

    #[test]
    fn a_generated_name_is_base_and_five_characters() {
        assert_eq!(generate_name("pi-", 0), "pi-bbbbb");
        assert_eq!(generate_name("pi-", 1), "pi-cbbbb");
        assert_eq!(generate_name(&"x".repeat(80), u64::MAX).len(), 63);
        assert!(generate_name(&"ä".repeat(80), 7).len() <= 63);
    }

    #[test]
    fn an_owner_is_found_by_its_reference() {
        let job = Job {
            metadata: Some(ObjectMeta {
                name: "pi".into(),
                namespace: "default".into(),
                uid: "u1".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let reference = controller_reference(&job);
        assert_eq!((reference.api_version.as_str(), reference.kind.as_str()), ("batch/v1", "Job"));
        let pod = ObjectMeta { owner_references: vec![reference], ..Default::default() };
        assert!(is_controlled_by(&pod, "u1") && !is_controlled_by(&pod, "u2"));
        assert_eq!(job.key(), "default/pi");
        assert_eq!(split_key("default/pi"), ("default", "pi"));
        assert_eq!(split_key("n1"), ("", "n1"));
    }

    #[test]
    fn finalizers_are_a_set() {
        let mut meta = ObjectMeta::default();
        assert!(add_finalizer(&mut meta, "a/b") && !add_finalizer(&mut meta, "a/b"));
        assert!(remove_finalizer(&mut meta, "a/b") && !remove_finalizer(&mut meta, "a/b"));
    }
}
