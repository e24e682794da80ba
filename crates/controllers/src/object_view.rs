//! What garbage collection and namespaces need of an object of any kind: who it is, whose it is, whether it goes.

use api::kind::Kind;
use api::proto::meta_v1::{ObjectMeta, OwnerReference};
use api::time::{self, Instant};

use crate::pod_view::PodView;

/// Identity, owners and end of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectView {
    /// Plural name of the kind with its group: `jobs.batch`.
    pub resource: &'static str,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    pub owners: Vec<OwnerReference>,
    pub finalizers: Vec<String>,
    /// It is being deleted since, or until, then.
    pub deletion: Option<Instant>,
}

impl ObjectView {
    /// Keeps the metadata's part of an object; `K` says the kind.
    pub fn of<K: Kind>(object: K) -> Self {
        object.metadata().map(|meta| Self::of_meta(K::INFO.resource, meta)).unwrap_or_default()
    }

    pub fn of_meta(resource: &'static str, meta: &ObjectMeta) -> Self {
        Self {
            resource,
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            owners: meta.owner_references.clone(),
            finalizers: meta.finalizers.clone(),
            deletion: time::opt(&meta.deletion_timestamp),
        }
    }

    pub fn of_pod(pod: &PodView) -> Self {
        Self {
            resource: "pods",
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            resource_version: pod.resource_version.clone(),
            owners: pod.owners.clone(),
            finalizers: pod.finalizers.clone(),
            deletion: pod.deletion,
        }
    }

    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|held| held == finalizer)
    }

    /// What a write refers to it by.
    pub fn seen(&self) -> ObjectMeta {
        ObjectMeta {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
            ..Default::default()
        }
    }
}

/// The uids of all owners: the index by which dependents are found.
pub fn owner_uids(view: &ObjectView) -> Vec<String> {
    view.owners.iter().map(|owner| owner.uid.clone()).collect()
}
