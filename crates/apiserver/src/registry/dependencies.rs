//! Dependencies between Jobs (design D12): no cycle gets in, and a Job that others wait for does not go unseen.
//!
//! ```text
//!  create b (dependsOn a)      conditions: guard(ns) == seen      writes: b, guard(ns), a + finalizer raftsman.io/dependents
//!  create a (b waits for it)   conditions: guard(ns) == seen      writes: a, with that finalizer if the cache knows b
//! ```
//!
//! Two API servers that each see half of a cycle both write the guard: one of them loses, looks again, and sees the whole.

use std::collections::HashMap;

use api::{dependency, status};
use bytes::Bytes;
use proto::batch_v1::Job;

use super::prepare::{Prepared, put};
use super::{Registry, StatusError, Target};
use crate::commit::{Change, Condition};
use crate::keys;
use crate::object::{AnyObject, Object};
use crate::strategy::{JOB_DEPENDENTS as DEPENDENTS, job_finished as finished};

impl Registry {
    /// Checks and guards the dependencies of a Job that is created or changed.
    pub(super) fn with_dependencies(
        &self,
        target: Target<'_>,
        old: Option<&dyn Object>,
        prepared: &mut Prepared,
    ) -> Result<(), StatusError> {
        let Some(job) = prepared.object.downcast_ref::<Job>() else { return Ok(()) };
        let names = parents(job);
        let before = old.and_then(|old| old.downcast_ref::<Job>()).map(parents).unwrap_or_default();
        let guard = keys::guard(target.namespace);
        let seen = self.caches.side.revision(&guard);
        if old.is_none() {
            prepared.conditions.push(Condition { key: guard.clone(), revision: seen });
            if seen > 0 && self.is_waited_for(target) {
                api::meta::add_finalizer(prepared.object.metadata_mut(), DEPENDENTS);
            }
        }
        if names == before || names.is_empty() {
            return Ok(());
        }
        prepared.needs_fresh = true;
        self.require_no_cycle(target, &names)?;
        if !prepared.conditions.iter().any(|condition| condition.key == guard) {
            prepared.conditions.push(Condition { key: guard.clone(), revision: seen });
        }
        prepared.changes.push(Change::Put { key: guard, value: Bytes::from(target.name.to_string()), lease: 0 });
        for name in names.iter().filter(|name| !before.contains(name)) {
            self.hold_parent(Target { name, ..target }, prepared);
        }
        Ok(())
    }

    /// Whether an unfinished Job of the namespace depends on this name.
    fn is_waited_for(&self, target: Target<'_>) -> bool {
        self.caches.kind(target.resource).any(target.namespace, |object| {
            let decoded = object.decode();
            let waits = |job: &Job| !finished(job) && parents(job).iter().any(|name| name == target.name);
            decoded.downcast_ref::<Job>().is_some_and(waits)
        })
    }

    fn require_no_cycle(&self, target: Target<'_>, names: &[String]) -> Result<(), StatusError> {
        let jobs = self.caches.kind(target.resource).view(target.namespace, 0).objects;
        let graph: HashMap<String, Vec<String>> = jobs
            .iter()
            .filter_map(|object| {
                let decoded = object.decode();
                let job = decoded.downcast_ref::<Job>().filter(|job| !finished(job))?;
                let names = parents(job);
                (!names.is_empty()).then(|| (object.name().to_string(), names))
            })
            .collect();
        let on: Vec<&str> = names.iter().map(String::as_str).collect();
        let cycle = dependency::cycle(target.name, &on, |name| {
            graph.get(name).map(|names| names.iter().map(String::as_str).collect()).unwrap_or_default()
        });
        match cycle {
            Some(cycle) => Err(status::invalid(target.resource.info, target.name, &[dependency::cycle_error(&cycle)])),
            None => Ok(()),
        }
    }

    /// Puts the finalizer on a parent that exists and has not ended.
    fn hold_parent(&self, parent: Target<'_>, prepared: &mut Prepared) {
        let Ok(current) = self.current(parent) else { return };
        let mut object: AnyObject = current.decode();
        let lives = object.downcast_ref::<Job>().is_some_and(|job| !finished(job));
        let deleting = object.metadata().deletion_timestamp.is_some();
        if !lives || deleting || !api::meta::add_finalizer(object.metadata_mut(), DEPENDENTS) {
            return;
        }
        object.metadata_mut().resource_version.clear();
        let key = keys::object(parent.resource, parent.namespace, parent.name);
        prepared.conditions.push(Condition { key, revision: current.revision() });
        prepared.changes.push(put(parent.resource, parent.namespace, parent.name, &object));
    }
}

/// The names that a Job waits for, each once.
fn parents(job: &Job) -> Vec<String> {
    let mut names: Vec<String> = dependency::of(job).into_iter().map(|dependency| dependency.name).collect();
    names.sort();
    names.dedup();
    names
}
