//! What is wrong with an object, field by field, in Kubernetes' words.
//!
//! One `<kind>_create` and one `<kind>_update` for each kind, on objects with their defaults; where a status has rules,
//! `<kind>_status_update`. They return all errors that they find, in Kubernetes' order; none is good.

mod claim;
mod container;
mod cron_job;
mod disk;
mod environment;
mod identity;
mod job;
mod job_policy;
mod job_status;
mod meta;
mod mount;
mod operating_system;
mod options;
mod path;
mod pod;
mod pod_spec;
mod probe;
mod projection;
mod reference;
mod resources;
mod scheduling;
mod security;
mod service;
mod stored;
mod volume;
mod volume_source;

pub use cron_job::{cron_job_create, cron_job_update};
pub use job::{job_create, job_update};
pub use job_policy::parse_indexes;
pub use job_status::job_status_update;
pub use meta::{Name, any_update, field_manager, object_meta, object_meta_update};
pub use options::{delete_options, dry_run};
pub use pod::{pod_create, pod_status_update, pod_update};
pub use service::{service_create, service_update};
pub use stored::{
    config_map_create, config_map_update, event_create, event_update, lease_create, lease_update, namespace_create,
    namespace_update, node_create, node_update, pod_template_create, pod_template_update, secret_create, secret_update,
    service_account_create, service_account_update,
};

use crate::field::{Error, Errors, Path, Typed, Value};

/// What a change of a field that must stay is answered with.
const IMMUTABLE: &str = "field is immutable";

fn non_negative(value: Option<i64>, at: &Path<'_>, errors: &mut Errors) {
    if let Some(value) = value.filter(|value| *value < 0) {
        errors.push(Error::invalid(at, value, "must be greater than or equal to 0"));
    }
}

/// Refuses a change; `shown` makes the new value's text.
fn immutable<T: PartialEq, V: Value>(
    new: &T,
    old: &T,
    at: &Path<'_>,
    shown: impl FnOnce(&T) -> V,
    errors: &mut Errors,
) {
    if new != old {
        errors.push(Error::invalid(at, shown(new), IMMUTABLE));
    }
}

/// One error for each complaint about `value`.
fn complain(problems: Vec<String>, value: &str, at: &Path<'_>, errors: &mut Errors) {
    errors.extend(problems.iter().map(|problem| Error::invalid(at, value, problem)));
}

/// An enumeration: empty is Required, anything else must be one of `supported`.
fn one_of(value: &str, supported: &[&str], at: &Path<'_>, errors: &mut Errors) {
    if value.is_empty() {
        errors.push(Error::required(at, ""));
    } else if !supported.contains(&value) {
        errors.push(Error::not_supported(at, Typed(value), supported));
    }
}

#[cfg(test)]
mod job_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod volume_tests;
