//! CronJobs.

use proto::batch_v1::{CronJob, CronJobSpec};

use super::job::job_spec;
use super::meta::{Name, object_meta, object_meta_update};
use super::{non_negative, one_of};
use crate::dependency;
use crate::field::{Error, Errors, Json, Path, quote};
use crate::meta::Object;
use crate::schedule::{self, Schedule};

/// A Job's name may have 63 bytes; `-` and the minute of its run take eleven.
const NAME_MAX: usize = 52;

/// A new CronJob.
pub fn cron_job_create(cron_job: &CronJob) -> Errors {
    let mut errors = Vec::new();
    object_meta(cron_job.meta(), true, Name::Subdomain, &mut errors);
    spec(&cron_job.spec.clone().unwrap_or_default(), None, &mut errors);
    if cron_job.name().len() > NAME_MAX {
        let detail = format!("must be no more than {NAME_MAX} characters");
        errors.push(Error::invalid(&Path::new("metadata.name"), cron_job.name(), &detail));
    }
    errors
}

/// A CronJob's new version; all of its spec may change.
pub fn cron_job_update(new: &CronJob, old: &CronJob) -> Errors {
    let mut errors = Vec::new();
    object_meta_update(new.meta(), old.meta(), &mut errors);
    let before = old.spec.clone().unwrap_or_default();
    spec(&new.spec.clone().unwrap_or_default(), Some(&before), &mut errors);
    errors
}

fn spec(spec: &CronJobSpec, old: Option<&CronJobSpec>, errors: &mut Errors) {
    let at = Path::new("spec");
    if spec.schedule.is_empty() {
        errors.push(Error::required(&at.child("schedule"), ""));
    } else {
        schedule(spec, old, &at.child("schedule"), errors);
    }
    non_negative(spec.starting_deadline_seconds, &at.child("startingDeadlineSeconds"), errors);
    if old.is_none_or(|old| old.time_zone != spec.time_zone) {
        time_zone(spec.time_zone.as_deref(), &at.child("timeZone"), errors);
    }
    one_of(&spec.concurrency_policy, &["Allow", "Forbid", "Replace"], &at.child("concurrencyPolicy"), errors);
    job_template(spec, &at.child("jobTemplate"), errors);
    let success = spec.successful_jobs_history_limit.map(i64::from);
    non_negative(success, &at.child("successfulJobsHistoryLimit"), errors);
    non_negative(spec.failed_jobs_history_limit.map(i64::from), &at.child("failedJobsHistoryLimit"), errors);
}

fn schedule(spec: &CronJobSpec, old: Option<&CronJobSpec>, at: &Path<'_>, errors: &mut Errors) {
    let text = &spec.schedule;
    if let Err(problem) = Schedule::parse(text, None) {
        errors.push(Error::invalid(at, text, &problem.to_string()));
    }
    let had_zone = old.is_some_and(|old| old.schedule.contains("TZ"));
    if text.contains("TZ") {
        if !had_zone {
            let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.push(Error::invalid(at, text, detail));
        } else if spec.time_zone.is_some() {
            let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
            errors.push(Error::invalid(at, text, detail));
        }
    }
}

fn time_zone(name: Option<&str>, at: &Path<'_>, errors: &mut Errors) {
    let Some(name) = name else { return };
    if name.is_empty() {
        errors.push(Error::invalid(at, name, "timeZone must be nil or non-empty string"));
        return;
    }
    let part = |part: &str| {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b".-_+".contains(&c);
        (1..=14).contains(&part.len())
            && part.bytes().all(allowed)
            && part != "."
            && part != ".."
            && !part.starts_with('-')
    };
    if !name.split('/').all(part) {
        errors.push(Error::invalid(at, name, &format!("unknown time zone {name}")));
        return;
    }
    if name.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(Error::invalid(at, name, detail));
    } else if let Err(problem) = schedule::zone(Some(name)) {
        errors.push(Error::invalid(at, name, &problem.to_string()));
    }
}

fn job_template(spec: &CronJobSpec, at: &Path<'_>, errors: &mut Errors) {
    let job = spec.job_template.clone().unwrap_or_default().spec.unwrap_or_default();
    let at = at.child("spec");
    job_spec(&job, &at, errors);
    if let Some(selector) = &job.selector {
        errors.push(Error::invalid(&at.child("selector"), Json::of(selector), "`selector` will be auto-generated"));
    }
    if job.manual_selector == Some(true) {
        errors.push(Error::not_supported(&at.child("manualSelector"), true, &["nil", "false"]));
    }
    errors.extend(dependency::validate_template(&job.depends_on, &at.child("dependsOn")));
    let annotations = spec.job_template.as_ref().and_then(|template| template.metadata.as_ref());
    if let Some(text) = annotations.and_then(|meta| meta.annotations.get(dependency::ANNOTATION))
        && let Err(problem) = dependency::parse(text)
    {
        let at = Path::new("spec.jobTemplate.metadata.annotations");
        errors.push(Error::invalid(&at.key(dependency::ANNOTATION), Json(quote(text)), &problem));
    }
}
