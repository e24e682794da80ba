//! Jobs: their spec, and what may change in it.

use proto::batch_v1::{Job, JobSpec};
use proto::core_v1::{Affinity, PodTemplateSpec};

use super::meta::{Name, label_selector, object_meta, object_meta_update};
use super::pod_spec::{self, Owner};
use super::{IMMUTABLE, immutable, job_policy, non_negative};
use crate::field::{Error, Errors, Json, Path};
use crate::meta::{Object, same_content};
use crate::prepare::{CONTROLLER_UID, JOB_NAME, LEGACY_CONTROLLER_UID, LEGACY_JOB_NAME};
use crate::selector::LabelSelector;
use crate::{condition, dependency, names};

pub(super) const INDEXED: &str = "Indexed";
const INDEXED_PARALLELISM_MAX: i32 = 100_000;
const FAILED_INDEXES_MAX: i32 = 100_000;
/// Above so many completions, with a limit by index, the two limits below hold.
const MANY_COMPLETIONS: i32 = 100_000;
const PARALLELISM_OF_MANY: i32 = 10_000;
const FAILED_INDEXES_OF_MANY: i32 = 10_000;
const MANAGED_BY_MAX: usize = 63;

/// A new Job, defaults and generated selector included.
pub fn job_create(job: &Job) -> Errors {
    let mut errors = Vec::new();
    whole(job, true, &mut errors);
    errors.extend(dependency::validate(job));
    errors
}

/// A Job's new version.
pub fn job_update(new: &Job, old: &Job) -> Errors {
    let mut errors = Vec::new();
    let before = old.spec.clone().unwrap_or_default();
    let after = new.spec.clone().unwrap_or_default();
    let labels = before.template.as_ref().and_then(|template| template.metadata.as_ref()).map(|meta| &meta.labels);
    let prefixed = labels.is_some_and(|labels| labels.contains_key(JOB_NAME) && labels.contains_key(CONTROLLER_UID));
    whole(new, prefixed, &mut errors);
    object_meta_update(new.meta(), old.meta(), &mut errors);
    // Kubernetes finds the errors of the spec a second time here; the answer shows each line once, its causes twice.
    spec_with_selector(&after, &Path::new("spec"), &mut errors);
    unchanged(&after, &before, old, &mut errors);
    if dependencies_of(new) != dependencies_of(old) {
        errors.extend(dependency::validate(new));
    }
    errors
}

/// What a Job depends on; only a change of it is validated, so that old Jobs stay writable.
fn dependencies_of(job: &Job) -> (&[proto::batch_v1::JobDependency], Option<&str>) {
    (job.spec.as_ref().map_or(&[], |spec| &spec.depends_on), job.annotation(dependency::ANNOTATION))
}

fn whole(job: &Job, prefixed_labels: bool, errors: &mut Errors) {
    object_meta(job.meta(), true, Name::Subdomain, errors);
    let spec = job.spec.clone().unwrap_or_default();
    generated_selector(job, &spec, prefixed_labels, errors);
    spec_with_selector(&spec, &Path::new("spec"), errors);
    if let (true, Some(completions @ 1..)) = (is_indexed(&spec), spec.completions) {
        let hostname = format!("{}-{}", job.name(), completions - 1);
        if !names::dns_label(&hostname).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {hostname}");
            errors.push(Error::invalid(&Path::new("metadata.name"), job.name(), &detail));
        }
    }
}

pub(super) fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some(INDEXED)
}

/// The labels and the selector that the server generates must be the right ones where the user sent some.
fn generated_selector(job: &Job, spec: &JobSpec, prefixed: bool, errors: &mut Errors) {
    if spec.manual_selector == Some(true) {
        return;
    }
    let Some(selector) = &spec.selector else { return };
    let (name, uid) = (job.name(), job.uid());
    if uid.is_empty() {
        errors.push(Error::required(&Path::new("metadata.uid"), ""));
    }
    let none = Default::default();
    let labels = spec.template.as_ref().and_then(|t| t.metadata.as_ref()).map_or(&none, |meta| &meta.labels);
    let mut expected = vec![(LEGACY_CONTROLLER_UID, uid), (LEGACY_JOB_NAME, name)];
    if prefixed {
        expected.extend([(CONTROLLER_UID, uid), (JOB_NAME, name)]);
    }
    let at = Path::new("spec.template.metadata");
    let at = at.child("labels");
    for (key, value) in &expected {
        match labels.get(*key) {
            None => errors.push(Error::required(&at.key(key), &format!("must be '{value}'"))),
            Some(have) if have != value => {
                errors.push(Error::invalid(&at.key(key), Json::of_map(labels), &format!("must be '{value}'")));
            }
            Some(_) => {}
        }
    }
    let expected = expected.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    if LabelSelector::from_meta(Some(selector)).is_ok_and(|parsed| !parsed.matches(&expected)) {
        errors.push(Error::invalid(&Path::new("spec.selector"), Json::of(selector), "`selector` not auto-generated"));
    }
}

fn spec_with_selector(spec: &JobSpec, at: &Path<'_>, errors: &mut Errors) {
    job_spec(spec, at, errors);
    match &spec.selector {
        None => errors.push(Error::required(&at.child("selector"), "")),
        Some(selector) => label_selector(selector, &at.child("selector"), errors),
    }
    let none = Default::default();
    let labels = spec.template.as_ref().and_then(|t| t.metadata.as_ref()).map_or(&none, |meta| &meta.labels);
    if LabelSelector::from_meta(spec.selector.as_ref()).is_ok_and(|selector| !selector.matches(labels)) {
        let detail = "`selector` does not match template `labels`";
        errors.push(Error::invalid(&at.child("template.metadata.labels"), Json::of_map(labels), detail));
    }
}

/// A Job's spec but for its selector; also that of a CronJob's template.
pub(super) fn job_spec(spec: &JobSpec, at: &Path<'_>, errors: &mut Errors) {
    non_negative(spec.parallelism.map(i64::from), &at.child("parallelism"), errors);
    non_negative(spec.completions.map(i64::from), &at.child("completions"), errors);
    non_negative(spec.active_deadline_seconds, &at.child("activeDeadlineSeconds"), errors);
    non_negative(spec.backoff_limit.map(i64::from), &at.child("backoffLimit"), errors);
    non_negative(spec.ttl_seconds_after_finished.map(i64::from), &at.child("ttlSecondsAfterFinished"), errors);
    non_negative(spec.backoff_limit_per_index.map(i64::from), &at.child("backoffLimitPerIndex"), errors);
    if spec.max_failed_indexes.is_some() {
        non_negative(spec.max_failed_indexes.map(i64::from), &at.child("maxFailedIndexes"), errors);
        if spec.backoff_limit_per_index.is_none() {
            errors.push(Error::required(&at.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
        }
    }
    managed_by(spec.managed_by.as_deref(), &at.child("managedBy"), errors);
    completion_mode(spec, at, errors);
    job_policy::failure(spec, &at.child("podFailurePolicy"), errors);
    job_policy::success(spec, &at.child("successPolicy"), errors);
    job_policy::replacement(spec, &at.child("podReplacementPolicy"), errors);
    template(spec, at, errors);
}

fn template(spec: &JobSpec, at: &Path<'_>, errors: &mut Errors) {
    let template = spec.template.clone().unwrap_or_default();
    pod_spec::template(&template, &at.child("template"), Owner::Job, errors);
    let policy = template.spec.as_ref().map_or("", |spec| &spec.restart_policy);
    let at = at.child("template.spec.restartPolicy");
    match policy {
        "" => errors.push(Error::required(&at, "valid values: \"OnFailure\", \"Never\"")),
        // Raftsman accepts it where it is written out (a warning says how such a Job ends).
        "Always" => {}
        "OnFailure" | "Never" => {}
        other => errors.push(Error::not_supported(&at, other, &["OnFailure", "Never"])),
    }
    if spec.pod_failure_policy.is_some() && matches!(policy, "Always" | "OnFailure") {
        let detail = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.push(Error::invalid(&at, policy, detail));
    }
}

fn managed_by(value: Option<&str>, at: &Path<'_>, errors: &mut Errors) {
    let Some(value) = value else { return };
    match value.split_once('/') {
        _ if value.is_empty() => errors.push(Error::required(at, "")),
        Some((host, path)) if !host.is_empty() && !path.is_empty() => {
            super::complain(names::dns_subdomain(host), host, at, errors);
            let allowed = |c: u8| c.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&c);
            if !path.bytes().all(allowed) {
                let detail = r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')";
                errors.push(Error::invalid(at, path, detail));
            }
        }
        _ => {
            errors.push(Error::invalid(at, value, "must be a domain-prefixed path (such as \"acme.io/foo\")"));
        }
    }
    if value.len() > MANAGED_BY_MAX {
        errors.push(Error::too_long(at, MANAGED_BY_MAX));
    }
}

fn completion_mode(spec: &JobSpec, at: &Path<'_>, errors: &mut Errors) {
    match spec.completion_mode.as_deref() {
        Some(INDEXED) => indexed(spec, at, errors),
        None | Some("NonIndexed") => {
            let by_index =
                [(spec.backoff_limit_per_index, "backoffLimitPerIndex"), (spec.max_failed_indexes, "maxFailedIndexes")];
            for (value, name) in by_index {
                if let Some(value) = value {
                    errors.push(Error::invalid(&at.child(name), value, "requires indexed completion mode"));
                }
            }
        }
        Some(other) => {
            errors.push(Error::not_supported(&at.child("completionMode"), other, &["NonIndexed", INDEXED]));
        }
    }
}

fn indexed(spec: &JobSpec, at: &Path<'_>, errors: &mut Errors) {
    let (parallelism, max_failed) = (at.child("parallelism"), at.child("maxFailedIndexes"));
    if spec.completions.is_none() {
        errors.push(Error::required(&at.child("completions"), "when completion mode is Indexed"));
    }
    if let Some(value) = spec.parallelism.filter(|value| *value > INDEXED_PARALLELISM_MAX) {
        let detail = format!("must be less than or equal to {INDEXED_PARALLELISM_MAX} when completion mode is Indexed");
        errors.push(Error::invalid(&parallelism, value, &detail));
    }
    if let (Some(completions), Some(value)) = (spec.completions, spec.max_failed_indexes)
        && value > completions
    {
        errors.push(Error::invalid(&max_failed, value, "must be less than or equal to completions"));
    }
    if let Some(value) = spec.max_failed_indexes.filter(|value| *value > FAILED_INDEXES_MAX) {
        let detail = format!("must be less than or equal to {FAILED_INDEXES_MAX}");
        errors.push(Error::invalid(&max_failed, value, &detail));
    }
    let many = spec.completions.is_some_and(|completions| completions > MANY_COMPLETIONS);
    if !many || spec.backoff_limit_per_index.is_none() {
        return;
    }
    let limited = |limit: i32| {
        format!(
            "must be less than or equal to {limit} when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
        )
    };
    if spec.max_failed_indexes.is_none() {
        let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        errors.push(Error::required(&max_failed, &detail));
    }
    if let Some(value) = spec.parallelism.filter(|value| *value > PARALLELISM_OF_MANY) {
        errors.push(Error::invalid(&parallelism, value, &limited(PARALLELISM_OF_MANY)));
    }
    if let Some(value) = spec.max_failed_indexes.filter(|value| *value > FAILED_INDEXES_OF_MANY) {
        errors.push(Error::invalid(&max_failed, value, &limited(FAILED_INDEXES_OF_MANY)));
    }
}

fn unchanged(new: &JobSpec, old: &JobSpec, old_job: &Job, errors: &mut Errors) {
    let spec = Path::new("spec");
    let completions = spec.child("completions");
    if !is_indexed(new) {
        immutable(&new.completions, &old.completions, &completions, |value| *value, errors);
    } else if new.completions != old.completions && new.completions.is_some() && new.completions != new.parallelism {
        let detail = "can only be modified in tandem with spec.parallelism";
        errors.push(Error::invalid(&completions, new.completions, detail));
    }
    macro_rules! same {
        ($field:ident, $name:literal, $shown:expr) => {
            immutable(&new.$field, &old.$field, &spec.child($name), $shown, errors);
        };
    }
    same!(selector, "selector", shown);
    template_unchanged(new, old, old_job, errors);
    same!(completion_mode, "completionMode", Option::clone);
    same!(pod_failure_policy, "podFailurePolicy", shown);
    same!(backoff_limit_per_index, "backoffLimitPerIndex", |value| *value);
    same!(managed_by, "managedBy", Option::clone);
    same!(success_policy, "successPolicy", shown);
}

fn shown<T: proto::json::Json>(message: &Option<T>) -> Json {
    message.as_ref().map_or_else(|| Json("null".to_string()), Json::of)
}

/// The template may change only while the Job is suspended and has no Pods, and then only where Pods are placed and what
/// they ask for.
fn template_unchanged(new: &JobSpec, old: &JobSpec, old_job: &Job, errors: &mut Errors) {
    let suspended = old.suspend == Some(true);
    let status = old_job.status.clone().unwrap_or_default();
    let idle = status.active == 0
        && (crate::time::opt(&status.start_time).is_none() || condition::is_true(&status.conditions, "Suspended"));
    let mut allowed = old.template.clone().unwrap_or_default();
    let template = new.template.clone().unwrap_or_default();
    let spec = Path::new("spec");
    if !(suspended && idle) {
        if !same_content(Some(&template), Some(&allowed)) {
            errors.push(Error::invalid(&spec.child("template"), Json::of(&template), IMMUTABLE));
        }
        return;
    }
    adopt_placement(&mut allowed, &template);
    let (before, after) = (allowed.spec.get_or_insert_default(), template.spec.clone().unwrap_or_default());
    for (old, new) in
        [(&mut before.containers, &after.containers), (&mut before.init_containers, &after.init_containers)]
    {
        if old.len() == new.len() {
            for (old, new) in old.iter_mut().zip(new).filter(|(old, new)| old.name == new.name) {
                old.resources = new.resources.clone();
            }
        }
    }
    if !same_content(Some(&after), Some(before)) {
        errors.push(Error::invalid(&spec.child("template.spec"), Json::of(&after), IMMUTABLE));
    }
}

fn adopt_placement(to: &mut PodTemplateSpec, from: &PodTemplateSpec) {
    let meta = from.metadata.clone().unwrap_or_default();
    let old_meta = to.metadata.get_or_insert_default();
    old_meta.labels = meta.labels;
    old_meta.annotations = meta.annotations;
    let new = from.spec.clone().unwrap_or_default();
    let old = to.spec.get_or_insert_default();
    let node_affinity = new.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
    let mut affinity = old.affinity.take().unwrap_or_default();
    affinity.node_affinity = node_affinity;
    // An affinity without content and none at all are one.
    old.affinity = Some(affinity).filter(|affinity| new.affinity.is_some() || *affinity != Affinity::default());
    old.node_selector = new.node_selector;
    old.tolerations = new.tolerations;
    old.scheduling_gates = new.scheduling_gates;
}
