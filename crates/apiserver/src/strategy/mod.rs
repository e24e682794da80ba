//! What differs by kind: one small file per kind, a [`Form`] to fill in. Everything else is the registry's.
//!
//! A new kind is a file here with its `Form`, and a line in [`resources`].

mod config_map;
mod cron_job;
mod event;
mod job;
mod lease;
mod namespace;
mod node;
mod pod;
mod pod_template;
mod secret;
mod service;
mod service_account;

pub(crate) use job::{DEPENDENTS as JOB_DEPENDENTS, finished as job_finished};

use std::marker::PhantomData;
use std::sync::LazyLock;

use api::field::Errors;
use api::fields::Selectable;
use api::kind::{Kind, KindInfo};
use api::status::StatusError;
use api::time::Instant;

use crate::cache::Fields;
use crate::object::{AnyObject, Object};
use crate::registry::{Decoded, Propagation, Resource};

/// What a kind decides by itself. All functions are pure; `now` is when the request arrived.
pub(crate) trait Form: Send + Sync + 'static {
    /// The message.
    type K: Selectable + std::fmt::Debug;

    /// Fills in defaults and what the server sets, and clears the status. uid and creationTimestamp are set already.
    ///
    /// # Errors
    /// What admission refuses.
    fn prepare_create(object: &mut Self::K, now: Instant) -> Result<(), StatusError>;
    /// What is wrong with a new object.
    fn validate_create(object: &Self::K) -> Errors;
    /// What a valid new object is given before it is stored.
    fn complete_create(_object: &mut Self::K) {}
    /// Keeps what a writer of the main part cannot change (the status), fills in defaults.
    fn prepare_update(new: &mut Self::K, old: &Self::K);
    /// What is wrong with a changed object.
    fn validate_update(new: &Self::K, old: &Self::K) -> Errors;
    /// Keeps what a writer of the status cannot change (the spec).
    fn prepare_status(new: &mut Self::K, old: &Self::K) {
        Self::prepare_update(new, old);
    }
    /// What is wrong with a changed status.
    fn validate_status(new: &Self::K, old: &Self::K) -> Errors {
        Self::validate_update(new, old)
    }
    /// `namespaces/finalize`.
    fn prepare_finalize(new: &mut Self::K, old: &Self::K) {
        Self::prepare_update(new, old);
    }
    /// Whether the desired state differs: then the generation grows. `false` for kinds that have none.
    fn respecified(_new: &Self::K, _old: &Self::K) -> bool {
        false
    }
    /// Whether this kind has a generation.
    const GENERATION: bool = false;
    /// What the user should hear.
    fn warnings(_object: &Self::K, _old: Option<&Self::K>) -> Vec<String> {
        Vec::new()
    }
    /// What becomes of dependents when the delete doesn't say.
    const PROPAGATION: Option<Propagation> = None;
    /// Seconds that a delete gives the object to end; 0 ends it at once.
    fn grace(_object: &Self::K, _asked: Option<i64>) -> i64 {
        0
    }
    /// What a beginning deletion changes in the object.
    fn on_delete(_object: &mut Self::K, _now: Instant) {}
    /// Whether an object that is being deleted, with no finalizer left, may go.
    fn may_go(_object: &Self::K) -> bool {
        true
    }
}

/// A [`Form`] for callers that don't know the kind.
pub(crate) trait Strategy: Send + Sync {
    fn decode(&self, raw: &[u8]) -> Result<AnyObject, prost::DecodeError>;
    fn decode_json(&self, body: &[u8]) -> Result<Decoded, proto::json::Error>;
    fn fields(&self, object: &dyn Object) -> Fields;
    fn prepare_create(&self, object: &mut dyn Object, now: Instant) -> Result<(), StatusError>;
    fn validate_create(&self, object: &dyn Object) -> Errors;
    fn complete_create(&self, object: &mut dyn Object);
    fn prepare_update(&self, new: &mut dyn Object, old: &dyn Object);
    fn validate_update(&self, new: &dyn Object, old: &dyn Object) -> Errors;
    fn prepare_status(&self, new: &mut dyn Object, old: &dyn Object);
    fn validate_status(&self, new: &dyn Object, old: &dyn Object) -> Errors;
    fn prepare_finalize(&self, new: &mut dyn Object, old: &dyn Object);
    fn warnings(&self, object: &dyn Object, old: Option<&dyn Object>) -> Vec<String>;
    fn default_propagation(&self) -> Option<Propagation>;
    fn grace(&self, object: &dyn Object, asked: Option<i64>) -> i64;
    fn on_delete(&self, object: &mut dyn Object, now: Instant);
    fn may_go(&self, object: &dyn Object) -> bool;
}

struct Erased<F>(PhantomData<F>);

impl<F: Form> Erased<F> {
    /// The registry keeps kinds apart by their resource; another type here is a fault of ours.
    fn of(object: &dyn Object) -> &F::K {
        object.downcast_ref().expect("the object is of the resource's kind")
    }

    /// What is wrong with any changed object, and then with one of this kind.
    fn of_any(new: &dyn Object, old: &dyn Object, own: fn(&F::K, &F::K) -> Errors) -> Errors {
        let mut errors = api::validate::any_update(new.metadata(), old.metadata(), F::K::INFO.namespaced);
        errors.extend(own(Self::of(new), Self::of(old)));
        errors
    }

    fn of_mut(object: &mut dyn Object) -> &mut F::K {
        object.downcast_mut().expect("the object is of the resource's kind")
    }
}

impl<F: Form> Strategy for Erased<F> {
    fn decode(&self, raw: &[u8]) -> Result<AnyObject, prost::DecodeError> {
        Ok(Box::new(<F::K as prost::Message>::decode(raw)?))
    }

    fn decode_json(&self, body: &[u8]) -> Result<Decoded, proto::json::Error> {
        let decoded = proto::json::decode::<F::K>(body)?;
        Ok(Decoded {
            object: Box::new(decoded.value),
            api_version: decoded.api_version,
            kind: decoded.kind,
            problems: decoded.problems,
        })
    }

    fn fields(&self, object: &dyn Object) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in Self::of(object).selectable() {
            // The cache's key has these two already.
            if name != "metadata.name" && name != "metadata.namespace" {
                fields.push((name, value.into()));
            }
        }
        fields
    }

    fn prepare_create(&self, object: &mut dyn Object, now: Instant) -> Result<(), StatusError> {
        if F::GENERATION {
            object.metadata_mut().generation = 1;
        }
        F::prepare_create(Self::of_mut(object), now)
    }

    fn validate_create(&self, object: &dyn Object) -> Errors {
        F::validate_create(Self::of(object))
    }

    fn complete_create(&self, object: &mut dyn Object) {
        F::complete_create(Self::of_mut(object));
    }

    fn prepare_update(&self, new: &mut dyn Object, old: &dyn Object) {
        let (object, before) = (Self::of_mut(new), Self::of(old));
        F::prepare_update(object, before);
        if F::GENERATION && F::respecified(object, before) {
            new.metadata_mut().generation += 1;
        }
    }

    fn validate_update(&self, new: &dyn Object, old: &dyn Object) -> Errors {
        Self::of_any(new, old, F::validate_update)
    }

    fn prepare_status(&self, new: &mut dyn Object, old: &dyn Object) {
        F::prepare_status(Self::of_mut(new), Self::of(old));
    }

    fn validate_status(&self, new: &dyn Object, old: &dyn Object) -> Errors {
        Self::of_any(new, old, F::validate_status)
    }

    fn prepare_finalize(&self, new: &mut dyn Object, old: &dyn Object) {
        F::prepare_finalize(Self::of_mut(new), Self::of(old));
    }

    fn warnings(&self, object: &dyn Object, old: Option<&dyn Object>) -> Vec<String> {
        F::warnings(Self::of(object), old.map(Self::of))
    }

    fn default_propagation(&self) -> Option<Propagation> {
        F::PROPAGATION
    }

    fn grace(&self, object: &dyn Object, asked: Option<i64>) -> i64 {
        F::grace(Self::of(object), asked)
    }

    fn on_delete(&self, object: &mut dyn Object, now: Instant) {
        F::on_delete(Self::of_mut(object), now);
    }

    fn may_go(&self, object: &dyn Object) -> bool {
        F::may_go(Self::of(object))
    }
}

/// Every kind, in the order of discovery.
pub(crate) fn resources() -> &'static [Resource] {
    static RESOURCES: LazyLock<Vec<Resource>> = LazyLock::new(|| {
        let mut resources = vec![
            resource::<config_map::ConfigMaps>(),
            resource::<event::Events>(),
            resource::<namespace::Namespaces>(),
            resource::<node::Nodes>(),
            resource::<pod::Pods>(),
            resource::<pod_template::PodTemplates>(),
            resource::<secret::Secrets>(),
            resource::<service_account::ServiceAccounts>(),
            resource::<service::Services>(),
            resource::<cron_job::CronJobs>(),
            resource::<job::Jobs>(),
            resource::<lease::Leases>(),
        ];
        resources.iter_mut().enumerate().for_each(|(index, resource)| resource.index = index);
        resources
    });
    &RESOURCES
}

fn resource<F: Form>() -> Resource {
    let info: &'static KindInfo = F::K::INFO;
    let expires = info.kind == "Event";
    Resource { info, strategy: Box::leak(Box::new(Erased::<F>(PhantomData))), expires, index: 0 }
}

/// The namespaces' resource.
pub(crate) fn namespaces() -> &'static Resource {
    static FOUND: LazyLock<&'static Resource> = LazyLock::new(|| {
        resources().iter().find(|resource| resource.info.kind == "Namespace").expect("Namespaces are served")
    });
    *FOUND
}

/// The kind and the cache's key (`namespace/name`, or `name`) that a stored key names.
pub(crate) fn of_key(key: &str) -> Option<(&'static Resource, &str)> {
    let rest = key.strip_prefix(crate::keys::ROOT)?;
    let (plural, key) = rest.split_once('/')?;
    let resource = resources().iter().find(|resource| resource.info.resource == plural)?;
    let slashes = key.bytes().filter(|byte| *byte == b'/').count();
    (slashes == usize::from(resource.info.namespaced) && !key.ends_with('/')).then_some((resource, key))
}

/// Whether an object that is being deleted, with no finalizer left, may go.
pub(crate) fn may_go(object: &dyn Object) -> bool {
    let found = resources().iter().find(|resource| std::ptr::eq(resource.info, object.kind()));
    found.is_none_or(|resource| resource.strategy.may_go(object))
}
