//! What becomes of one object, given its owners and dependents; pure.

use api::kind::KindInfo;
use api::proto::batch_v1::{CronJob, Job};
use api::proto::coordination_v1::Lease;
use api::proto::core_v1::{ConfigMap, Namespace, Node, Pod, PodTemplate, Secret, Service, ServiceAccount};
use api::proto::meta_v1::{ObjectMeta, OwnerReference};
use client::Resource;

use crate::namespace::delete;
use crate::object_view::ObjectView;
use crate::plan::{Plan, Precondition, Write};

/// The finalizer of an owner that goes after its dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an owner that goes once its dependents no longer name it.
pub const ORPHAN: &str = "orphan";

/// The state of the object that an owner reference names.
#[derive(Debug, Clone, PartialEq)]
pub enum Owner {
    /// It is there.
    Solid,
    /// It is there, and goes after its dependents.
    Waiting,
    /// No object has its name, or another one (`successor`) has.
    Absent { info: &'static KindInfo, successor: Option<ObjectView> },
    /// Of a kind that is not served here: never a reason to delete anything.
    Unknown,
}

#[derive(Debug, Clone)]
pub struct Dependent {
    pub object: ObjectView,
    /// Another owner of it is there, so it stays.
    pub owned_otherwise: bool,
    pub has_dependents: bool,
}

#[derive(Debug, Clone)]
pub struct Snapshot {
    pub object: ObjectView,
    pub owners: Vec<(OwnerReference, Owner)>,
    /// Some of its dependents, where it waits for them.
    pub dependents: Vec<Dependent>,
    pub has_dependents: bool,
}

pub fn decide(snapshot: &Snapshot) -> Plan {
    let object = &snapshot.object;
    match object.deletion {
        Some(_) if object.has_finalizer(ORPHAN) => orphan(snapshot),
        Some(_) if object.has_finalizer(FOREGROUND) => foreground(snapshot),
        Some(_) => Plan::nothing("it is being deleted"),
        None => collect(snapshot),
    }
}

/// Takes the owner out of its dependents, then lets it go.
fn orphan(snapshot: &Snapshot) -> Plan {
    let uid = &snapshot.object.uid;
    if snapshot.dependents.is_empty() {
        return release(&snapshot.object, ORPHAN);
    }
    let writes =
        snapshot.dependents.iter().filter_map(|dependent| disown(&dependent.object, vec![uid.clone()])).collect();
    Plan { writes, requeue_after: Some(std::time::Duration::ZERO), ..Plan::nothing("orphans its dependents") }
}

/// Deletes the dependents, and lets the owner go when none that blocks it is left.
fn foreground(snapshot: &Snapshot) -> Plan {
    let uid = &snapshot.object.uid;
    let blocking = snapshot.dependents.iter().any(|dependent| blocks(dependent, uid));
    if !blocking {
        return release(&snapshot.object, FOREGROUND);
    }
    let writes: Vec<Write> = snapshot
        .dependents
        .iter()
        .filter_map(|dependent| match dependent {
            Dependent { object, owned_otherwise: true, .. } => disown(object, vec![uid.clone()]),
            Dependent { object, .. } if object.deletion.is_some() => None,
            Dependent { object, has_dependents: true, .. } => delete(object, "Foreground"),
            Dependent { object, .. } => delete(object, "Background"),
        })
        .collect();
    if writes.is_empty() {
        // Woken when one of them has gone.
        return Plan::nothing("waits for its dependents to go");
    }
    Plan { writes, requeue_after: Some(std::time::Duration::ZERO), ..Plan::nothing("deletes its dependents") }
}

fn blocks(dependent: &Dependent, owner_uid: &str) -> bool {
    let references = &dependent.object.owners;
    references.iter().any(|owner| owner.uid == owner_uid && owner.block_owner_deletion == Some(true))
}

/// Deletes an object all of whose owners are gone; where one is left, takes out the others.
fn collect(snapshot: &Snapshot) -> Plan {
    let Snapshot { object, owners, has_dependents, .. } = snapshot;
    let lost: Vec<&(OwnerReference, Owner)> =
        owners.iter().filter(|(_, owner)| matches!(owner, Owner::Absent { .. } | Owner::Waiting)).collect();
    if lost.is_empty() {
        return Plan::nothing("its owners are there");
    }
    let preconditions = lost.iter().filter_map(|(reference, owner)| proof(object, reference, owner)).collect();
    let kept = lost.len() < owners.len();
    let waited_for = lost.iter().any(|(_, owner)| *owner == Owner::Waiting);
    let (write, why) = if kept {
        let uids = lost.iter().map(|(reference, _)| reference.uid.clone()).collect();
        (disown(object, uids), "some of its owners are gone")
    } else {
        let propagation = match () {
            () if object.has_finalizer(ORPHAN) => "Orphan",
            () if object.has_finalizer(FOREGROUND) || (waited_for && *has_dependents) => "Foreground",
            () => "Background",
        };
        (delete(object, propagation), "its owners are gone")
    };
    Plan { writes: write.into_iter().collect(), preconditions, ..Plan::nothing(why) }
}

/// What makes the store itself check that an owner is gone.
fn proof(dependent: &ObjectView, reference: &OwnerReference, owner: &Owner) -> Option<Precondition> {
    let Owner::Absent { info, successor } = owner else { return None };
    let namespace = if info.namespaced { dependent.namespace.as_str() } else { "" };
    match successor {
        Some(other) => on_kind(info.resource, Seen(&other.seen())),
        None => on_kind(info.resource, Absent(namespace, &reference.name)),
    }
}

fn release(object: &ObjectView, finalizer: &str) -> Plan {
    let write = on_kind(object.resource, Release(&object.seen(), finalizer));
    Plan { writes: write.into_iter().collect(), ..Plan::nothing("its dependents are dealt with") }
}

fn disown(object: &ObjectView, uids: Vec<String>) -> Option<Write> {
    on_kind(object.resource, Disown(&object.seen(), uids))
}

/// Something that is done for a kind known by name only.
trait OnKind {
    type Output;
    fn of<K: Resource>(self) -> Self::Output;
}

struct Seen<'a>(&'a ObjectMeta);
struct Absent<'a>(&'a str, &'a str);
struct Release<'a>(&'a ObjectMeta, &'a str);
struct Disown<'a>(&'a ObjectMeta, Vec<String>);

impl OnKind for Seen<'_> {
    type Output = Precondition;
    fn of<K: Resource>(self) -> Precondition {
        Precondition::seen::<K>(self.0)
    }
}

impl OnKind for Absent<'_> {
    type Output = Precondition;
    fn of<K: Resource>(self) -> Precondition {
        Precondition::absent::<K>(self.0, self.1)
    }
}

impl OnKind for Release<'_> {
    type Output = Write;
    fn of<K: Resource>(self) -> Write {
        Write::release::<K>(self.0, &[self.1])
    }
}

impl OnKind for Disown<'_> {
    type Output = Write;
    fn of<K: Resource>(self) -> Write {
        Write::disown::<K>(self.0, self.1)
    }
}

fn on_kind<A: OnKind>(resource: &str, action: A) -> Option<A::Output> {
    Some(match resource {
        "pods" => action.of::<Pod>(),
        "jobs" => action.of::<Job>(),
        "cronjobs" => action.of::<CronJob>(),
        "nodes" => action.of::<Node>(),
        "namespaces" => action.of::<Namespace>(),
        "leases" => action.of::<Lease>(),
        "configmaps" => action.of::<ConfigMap>(),
        "secrets" => action.of::<Secret>(),
        "services" => action.of::<Service>(),
        "serviceaccounts" => action.of::<ServiceAccount>(),
        "podtemplates" => action.of::<PodTemplate>(),
        _ => return None,
    })
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "decide_property_tests.rs"]
mod property_tests;
