//! Garbage collection: what becomes of objects whose owners go.
//!
//! ```text
//!  Background   the owner is gone at once -> its dependents find no owner and are deleted
//!  Foreground   the owner waits with the finalizer `foregroundDeletion` -> its dependents are deleted -> when none that
//!               blocks is left, the finalizer comes off and the owner goes
//!  Orphan       the owner waits with the finalizer `orphan` -> the reference to it is taken out of each dependent -> the
//!               finalizer comes off
//! ```
//!
//! The informers' index by owner uid is the graph. What it doesn't know yet can't do harm: a dependent is deleted in a
//! group that is conditional on its owner's absence (or on the other object that now has the owner's name), so the store
//! itself answers the question whether the owner is really gone; and an owner that waits is not let go before all informers
//! have reached its deletion.

mod decide;

use std::sync::Arc;

use api::meta::Object;
use chrono::{DateTime, Utc};
use client::WorkQueue;
use client::informer::{Change, Informer};

use crate::driver::Controller;
use crate::footing::Footing;
use crate::informers::{self, INDEXED, Informers, OWNER};
use crate::object_view::ObjectView;
use crate::plan::Plan;

pub use decide::{Dependent, Owner, Snapshot, decide};

/// Dependents that are dealt with in one group.
const DEPENDENTS_MAX: usize = 80;

pub struct Garbage {
    informers: Arc<Informers>,
}

impl Garbage {
    /// An object is looked at when it comes with an owner, when its owners or its end change, and when an owner or a
    /// dependent of it goes.
    pub fn start(informers: &Arc<Informers>, queue: WorkQueue<String>) -> Self {
        follow(&informers.pods, informers, &queue, ObjectView::of_pod);
        follow(&informers.jobs, informers, &queue, |job| ObjectView::of_meta("jobs", job.meta()));
        follow(&informers.cron_jobs, informers, &queue, |cron_job| ObjectView::of_meta("cronjobs", cron_job.meta()));
        follow(&informers.nodes, informers, &queue, |node| ObjectView::of_meta("nodes", node.meta()));
        for informer in [
            &informers.config_maps,
            &informers.secrets,
            &informers.services,
            &informers.service_accounts,
            &informers.pod_templates,
        ] {
            follow(informer, informers, &queue, ObjectView::clone);
        }
        Self { informers: Arc::clone(informers) }
    }

    /// By a key as [`key`] makes it.
    fn object(&self, key: &str) -> Option<ObjectView> {
        let mut parts = key.splitn(3, '/');
        self.informers.view(parts.next()?, parts.next()?, parts.next()?)
    }

    fn owner(&self, dependent: &ObjectView, reference: &api::proto::meta_v1::OwnerReference) -> Owner {
        let Some(info) = informers::followed(&reference.api_version, &reference.kind) else { return Owner::Unknown };
        let namespace = if info.namespaced { dependent.namespace.as_str() } else { "" };
        match self.informers.view(info.resource, namespace, &reference.name) {
            Some(owner) if owner.uid != reference.uid => Owner::Absent { info, successor: Some(owner) },
            Some(owner) if owner.deletion.is_some() && owner.has_finalizer(decide::FOREGROUND) => Owner::Waiting,
            Some(_) => Owner::Solid,
            None => Owner::Absent { info, successor: None },
        }
    }

    fn dependent(&self, object: ObjectView, of: &str) -> Dependent {
        let others = object.owners.iter().filter(|owner| owner.uid != of);
        let owned_otherwise = others.into_iter().any(|owner| matches!(self.owner(&object, owner), Owner::Solid));
        let has_dependents = !self.informers.views_by(OWNER, &object.uid, 1).is_empty();
        Dependent { object, owned_otherwise, has_dependents }
    }
}

impl Controller for Garbage {
    fn name(&self) -> &'static str {
        "garbage"
    }

    fn plan(&self, key: &str, _now: DateTime<Utc>) -> Plan {
        let Some(object) = self.object(key) else { return Plan::nothing("it is gone") };
        let dependents = if waits_for_dependents(&object) {
            let found = self.informers.views_by(OWNER, &object.uid, DEPENDENTS_MAX);
            found.into_iter().map(|dependent| self.dependent(dependent, &object.uid)).collect()
        } else {
            Vec::new()
        };
        let owners = object.owners.iter().map(|owner| (owner.clone(), self.owner(&object, owner))).collect();
        let has_dependents = !self.informers.views_by(OWNER, &object.uid, 1).is_empty();
        decide(&Snapshot { object, owners, dependents, has_dependents })
    }

    /// It goes when it has no dependents any more: none from before its deletion may be missing here.
    fn footing(&self, key: &str) -> Option<Footing> {
        let object = self.object(key).filter(waits_for_dependents)?;
        Some(Footing::always(&object.resource_version, INDEXED))
    }
}

fn waits_for_dependents(object: &ObjectView) -> bool {
    object.deletion.is_some() && (object.has_finalizer(decide::FOREGROUND) || object.has_finalizer(decide::ORPHAN))
}

/// `resource/namespace/name`; no namespace leaves the middle empty.
fn key(object: &ObjectView) -> String {
    format!("{}/{}/{}", object.resource, object.namespace, object.name)
}

fn follow<V: Send + Sync + 'static>(
    informer: &Informer<V>,
    informers: &Arc<Informers>,
    queue: &WorkQueue<String>,
    view: fn(&V) -> ObjectView,
) {
    let (informers, queue) = (Arc::downgrade(informers), queue.clone());
    informer.on_change(move |change: &Change<V>| {
        let old = change.old.as_deref().map(view);
        let new = change.new.as_deref().map(view);
        let Some(informers) = informers.upgrade() else { return };
        if let Some(new) = &new
            && concerns(old.as_ref(), new)
        {
            queue.add(key(new));
        }
        if let Some(gone) = old.filter(|old| new.as_ref().is_none_or(|new| new.uid != old.uid)) {
            // Its dependents have lost an owner; an owner that waits for it may go now.
            let dependents = informers.views_by(OWNER, &gone.uid, usize::MAX);
            dependents.iter().for_each(|dependent| queue.add(key(dependent)));
            wake_owners(&gone, &queue);
        }
    });
}

fn wake_owners(gone: &ObjectView, queue: &WorkQueue<String>) {
    for owner in &gone.owners {
        if let Some(info) = informers::followed(&owner.api_version, &owner.kind) {
            let namespace = if info.namespaced { gone.namespace.as_str() } else { "" };
            queue.add(format!("{}/{namespace}/{}", info.resource, owner.name));
        }
    }
}

/// Whether a change may call for a decision; the many status updates of a Pod don't.
fn concerns(old: Option<&ObjectView>, new: &ObjectView) -> bool {
    match old {
        None => !new.owners.is_empty() || new.deletion.is_some(),
        Some(old) => {
            old.uid != new.uid
                || old.owners != new.owners
                || old.deletion.is_some() != new.deletion.is_some()
                || (new.deletion.is_some() && old.finalizers != new.finalizers)
        }
    }
}
