//! From what is asked to what is stored: the decision of a write, on the state in the cache. No effects here.

use api::status;
use bytes::Bytes;
use proto::core_v1::Node;

use super::ask::{Ask, Effect, Part};
use super::{DeleteOptions, Registry, StatusError, Target, delete, metadata};
use crate::cache::CachedObject;
use crate::commit::{Change, Condition};
use crate::context::{Identity, RequestContext};
use crate::keys;
use crate::object::{AnyObject, Object};
use crate::registry::Resource;

/// A write that is ready to be sent.
pub(super) struct Prepared {
    /// First the object's own, then those of `extra` keys.
    pub conditions: Vec<Condition>,
    pub changes: Vec<Change>,
    /// The object afterwards, without resourceVersion where it is to be stored.
    pub object: AnyObject,
    pub effect: Effect,
    pub warnings: Vec<String>,
    /// On a conflict this may be tried again on the newer state (where a stated resourceVersion then refuses it).
    pub retry: bool,
    /// The decision hangs on other objects: it must be taken on a cache that is as new as the store.
    pub needs_fresh: bool,
}

impl Prepared {
    /// In a group with other writes, what changes nothing is written too: its new resourceVersion is what makes a repeat of
    /// the group conflict (design D2).
    pub(super) fn write_anyway(&mut self, target: Target<'_>) {
        if self.effect == Effect::Unchanged {
            self.object.metadata_mut().resource_version.clear();
            self.changes.insert(0, put(target.resource, target.namespace, target.name, &self.object));
            self.effect = Effect::Stored;
        }
    }
}

impl Registry {
    /// Decides one write.
    ///
    /// # Errors
    /// The user's answer; on a cache that lags it may be premature, so the caller asks again on a fresh one.
    pub(super) fn prepare(
        &self,
        ctx: &RequestContext,
        ask: &Ask<'_>,
        event_lease: i64,
    ) -> Result<Prepared, StatusError> {
        let prepared = match ask {
            Ask::Create { target, object } => self.prepare_create(ctx, *target, object)?,
            Ask::Update { target, part, change } => {
                let current = self.current(*target)?;
                let old = current.decode();
                let new = change.make(&old)?;
                self.prepare_update(ctx, *target, *part, &current, &old, new)?
            }
            Ask::Delete { target, options } => self.prepare_delete(ctx, *target, options)?,
        };
        Ok(leased(prepared, ask.target().resource, event_lease))
    }

    /// The object in the cache.
    pub(crate) fn current(&self, target: Target<'_>) -> Result<std::sync::Arc<CachedObject>, StatusError> {
        let key = cache_key(target);
        self.caches.kind(target.resource).get(&key).ok_or_else(|| status::not_found(target.resource.info, target.name))
    }

    fn prepare_create(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        object: &AnyObject,
    ) -> Result<Prepared, StatusError> {
        let resource = target.resource;
        let mut object = object.clone_box();
        let proposed_uid = object.metadata().uid.clone();
        let generated = metadata::for_create(&mut *object, target, ctx.now)?;
        // A controller may name the object by its uid elsewhere in the same group.
        if ctx.identity.in_group(crate::auth::CONTROL_PLANE) && uuid::Uuid::parse_str(&proposed_uid).is_ok() {
            object.metadata_mut().uid = proposed_uid;
        }
        let name = object.metadata().name.clone();
        let named = Target { name: &name, ..target };
        self.authorizer.authorize(&self.caches, &ctx.identity, "create", named, "", Some(&*object))?;
        let namespace = self.require_namespace(named)?;
        let strategy = resource.strategy;
        strategy.prepare_create(&mut *object, ctx.now)?;
        let errors = strategy.validate_create(&*object);
        if !errors.is_empty() {
            return Err(status::invalid(resource.info, &name, &errors));
        }
        strategy.complete_create(&mut *object);
        let mut prepared = Prepared {
            conditions: vec![Condition { key: keys::object(resource, target.namespace, &name), revision: 0 }],
            changes: Vec::new(),
            warnings: strategy.warnings(&*object, None),
            effect: Effect::Stored,
            retry: generated,
            needs_fresh: false,
            object,
        };
        prepared.conditions.extend(namespace);
        self.with_dependencies(named, None, &mut prepared)?;
        prepared.changes.insert(0, put(resource, target.namespace, &name, &prepared.object));
        self.with_companions(ctx, named, &mut prepared)?;
        Ok(prepared)
    }

    /// A namespaced object needs a namespace that is not being deleted. That it is still so is compared in the store, for
    /// another API server, or this one a moment ago, may have begun its end.
    fn require_namespace(&self, target: Target<'_>) -> Result<Option<Condition>, StatusError> {
        if !target.resource.info.namespaced {
            return Ok(None);
        }
        let namespaces = crate::strategy::namespaces();
        let namespace = self.caches.kind(namespaces).get(target.namespace);
        match namespace {
            None => Err(status::not_found(namespaces.info, target.namespace)),
            Some(namespace) if namespace.field("status.phase") == "Terminating" => {
                Err(status::namespace_terminating(target.resource.info, target.name, target.namespace))
            }
            Some(namespace) => Ok(Some(Condition {
                key: keys::object(namespaces, "", target.namespace),
                revision: namespace.revision(),
            })),
        }
    }

    fn prepare_update(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        part: Part,
        current: &CachedObject,
        old: &AnyObject,
        mut new: AnyObject,
    ) -> Result<Prepared, StatusError> {
        let resource = target.resource;
        let seen = std::mem::take(&mut new.metadata_mut().resource_version);
        let verb = if part == Part::Binding { "create" } else { "update" };
        self.authorizer.authorize(&self.caches, &ctx.identity, verb, target, part.subresource(), Some(&**old))?;
        require_revision(target, current, &seen)?;
        metadata::for_update(&mut *new, &**old, target)?;
        let strategy = resource.strategy;
        let agent = is_agent(&ctx.identity);
        if part == Part::Status && (seen.is_empty() || agent) {
            // An agent reports; labels, finalizers and owners are not its to change.
            metadata::keep(&mut *new, &**old);
        }
        if agent && part == Part::Main {
            keep_node_spec(&mut *new, &**old);
        }
        let errors = match finalizing(&ctx.identity, resource, part) {
            Part::Main => {
                strategy.prepare_update(&mut *new, &**old);
                strategy.validate_update(&*new, &**old)
            }
            Part::Status => {
                strategy.prepare_status(&mut *new, &**old);
                strategy.validate_status(&*new, &**old)
            }
            Part::Finalize => {
                strategy.prepare_finalize(&mut *new, &**old);
                Vec::new()
            }
            Part::Binding | Part::Metadata => Vec::new(),
        };
        if !errors.is_empty() {
            return Err(status::invalid(resource.info, target.name, &errors));
        }
        let warnings = if part == Part::Main { strategy.warnings(&*new, Some(&**old)) } else { Vec::new() };
        let key = keys::object(resource, target.namespace, target.name);
        let mut prepared = Prepared {
            conditions: vec![Condition { key: key.clone(), revision: current.revision() }],
            changes: Vec::new(),
            effect: Effect::Stored,
            warnings,
            retry: true,
            needs_fresh: false,
            object: new,
        };
        if part == Part::Main {
            self.with_dependencies(target, Some(&**old), &mut prepared)?;
        }
        if delete::is_due(&*prepared.object) {
            prepared.effect = Effect::Removed;
            prepared.changes.insert(0, Change::Delete { key });
            prepared.changes.extend(events_of(target));
        } else if prepared.object.encode() == *current.raw() {
            prepared.effect = Effect::Unchanged;
            prepared.object.metadata_mut().resource_version = current.revision().to_string();
        } else {
            prepared.changes.insert(0, put(resource, target.namespace, target.name, &prepared.object));
        }
        Ok(prepared)
    }

    fn prepare_delete(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        options: &DeleteOptions,
    ) -> Result<Prepared, StatusError> {
        let resource = target.resource;
        let current = self.current(target)?;
        let old = current.decode();
        self.authorizer.authorize(&self.caches, &ctx.identity, "delete", target, "", Some(&*old))?;
        delete::require_mortal(target)?;
        delete::require(target, &*old, options)?;
        self.require_empty(target, &*old)?;
        let mut object = old.clone_box();
        let gone = delete::begin(&mut *object, resource, options, ctx.now);
        object.metadata_mut().resource_version.clear();
        let key = keys::object(resource, target.namespace, target.name);
        let mut prepared = Prepared {
            conditions: vec![Condition { key: key.clone(), revision: current.revision() }],
            changes: Vec::new(),
            object,
            effect: Effect::Stored,
            warnings: Vec::new(),
            retry: true,
            needs_fresh: false,
        };
        if gone {
            prepared.effect = Effect::Removed;
            prepared.changes.push(Change::Delete { key });
            prepared.changes.extend(events_of(target));
        } else if prepared.object.encode() == *current.raw() {
            prepared.effect = Effect::Unchanged;
            prepared.object.metadata_mut().resource_version = current.revision().to_string();
        } else {
            prepared.changes.push(put(resource, target.namespace, target.name, &prepared.object));
        }
        Ok(prepared)
    }
}

/// The namespace controller ends a namespace by an ordinary update of its `spec.finalizers`; from it, that is `finalize`.
fn finalizing(identity: &Identity, resource: &Resource, part: Part) -> Part {
    let namespaces = resource.index == crate::strategy::namespaces().index;
    let controller = identity.in_group(crate::auth::CONTROL_PLANE);
    if part == Part::Main && namespaces && controller { Part::Finalize } else { part }
}

fn is_agent(identity: &Identity) -> bool {
    let agent = identity.in_group(crate::auth::NODES) || identity.in_group(crate::auth::SIMULATED_NODES);
    agent && !crate::auth::everything(identity)
}

/// Taints and cordons are the control plane's: an agent can't lift them from its own Node.
fn keep_node_spec(new: &mut dyn Object, old: &dyn Object) {
    if let (Some(new), Some(old)) = (new.downcast_mut::<Node>(), old.downcast_ref::<Node>()) {
        new.spec = old.spec.clone();
    }
}

/// The events of a namespace that goes: nobody deletes them one by one, and its successor shall not show them.
fn events_of(target: Target<'_>) -> Option<Change> {
    use api::kind::Kind;
    let gone = target.resource.index == crate::strategy::namespaces().index;
    gone.then(|| Change::DeleteUnder {
        prefix: api::storage::range_prefix(api::storage::DEFAULT_PREFIX, proto::core_v1::Event::INFO, target.name),
    })
}

/// The resourceVersion that the writer saw must be the current one; empty means any.
fn require_revision(target: Target<'_>, current: &CachedObject, seen: &str) -> Result<(), StatusError> {
    if seen.is_empty() || seen == "0" || seen.parse() == Ok(current.revision()) {
        return Ok(());
    }
    if seen.parse::<i64>().is_err() {
        return Err(status::bad_request(format!("resourceVersion: Invalid value: {seen:?}")));
    }
    Err(status::conflict(target.resource.info, target.name, status::MODIFIED))
}

pub(super) fn put(resource: &Resource, namespace: &str, name: &str, object: &AnyObject) -> Change {
    let info = resource.info;
    Change::Put {
        key: keys::object(resource, namespace, name),
        value: Bytes::from(api::storage::wrap(&info.api_version(), info.kind, &object.encode())),
        lease: 0,
    }
}

/// Events go by themselves: they hang on a store lease.
fn leased(mut prepared: Prepared, resource: &Resource, lease: i64) -> Prepared {
    if resource.expires {
        for change in &mut prepared.changes {
            if let Change::Put { lease: slot, .. } = change {
                *slot = lease;
            }
        }
    }
    prepared
}

/// The key in the cache: `namespace/name`, or `name`.
pub(super) fn cache_key(target: Target<'_>) -> String {
    if target.resource.info.namespaced {
        format!("{}/{}", target.namespace, target.name)
    } else {
        target.name.to_string()
    }
}
