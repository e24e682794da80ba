//! What the user should hear although the object is accepted (`Warning: 299`).
//!
//! Names that make trouble later, in Kubernetes' words, and what is kept but not done yet, so that nothing is dropped in
//! silence.

mod pod;
mod volume;

use proto::batch_v1::{CronJob, Job, JobSpec};
use proto::core_v1::{Pod, PodSpec, PodTemplate};

use crate::field::Path;
use crate::meta::Object;
use crate::names;

/// What a Job's name becomes part of.
const PODS: &str = "Pod names and hostnames";

/// The controller that every Job has unless it names another.
pub const JOB_CONTROLLER: &str = "kubernetes.io/job-controller";

/// What to tell of a new Job (`old` is `None`) or of a new version of one.
pub fn job(new: &Job, old: Option<&Job>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() {
        name(new.name(), PODS, &mut warnings);
    }
    let before = old.and_then(|old| old.spec.as_ref());
    if let Some(spec) = new.spec.as_ref().filter(|spec| Some(*spec) != before) {
        job_spec(spec, "spec", &mut warnings);
    }
    warnings
}

/// The same for a CronJob.
pub fn cron_job(new: &CronJob, old: Option<&CronJob>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() {
        name(new.name(), PODS, &mut warnings);
    }
    let before = old.and_then(|old| old.spec.as_ref());
    let Some(spec) = new.spec.as_ref().filter(|spec| Some(*spec) != before) else { return warnings };
    if let Some(job) = spec.job_template.as_ref().and_then(|template| template.spec.as_ref()) {
        job_spec(job, "spec.jobTemplate.spec", &mut warnings);
    }
    if old.is_some() && spec.schedule.contains("TZ") {
        warnings.push("cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details".to_string());
    }
    warnings
}

/// The same for a new Pod; of new versions nothing is told, for hardly a human writes them.
pub fn pod(new: &Pod, old: Option<&Pod>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_some() {
        return warnings;
    }
    name(new.name(), "the Pod's hostname", &mut warnings);
    if let Some(spec) = &new.spec {
        pod_spec(spec, &Path::new("spec"), &mut warnings);
    }
    warnings
}

/// The same for a PodTemplate.
pub fn pod_template(new: &PodTemplate, old: Option<&PodTemplate>) -> Vec<String> {
    let mut warnings = Vec::new();
    let before = old.and_then(|old| old.template.as_ref());
    let changed = new.template.as_ref().filter(|template| Some(*template) != before);
    if let Some(spec) = changed.and_then(|template| template.spec.as_ref()) {
        pod_spec(spec, &Path::new("template.spec"), &mut warnings);
    }
    warnings
}

fn pod_spec(spec: &PodSpec, at: &Path<'_>, warnings: &mut Vec<String>) {
    volume::volumes(&spec.volumes, &at.child("volumes"), warnings);
    pod::spec(spec, at, warnings);
}

fn name(name: &str, used_in: &str, warnings: &mut Vec<String>) {
    let problems = names::dns_label(name);
    if !problems.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in {used_in}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            problems.join(" ")
        ));
    }
}

fn job_spec(spec: &JobSpec, path: &str, warnings: &mut Vec<String>) {
    let pod = spec.template.as_ref().and_then(|template| template.spec.as_ref());
    if pod.is_some_and(|pod| pod.restart_policy == "Always") {
        warnings.push(format!(
            "{path}.template.spec.restartPolicy: a Job with \"Always\" restarts its containers also after success; it ends only by activeDeadlineSeconds, backoffLimit, suspension or deletion"
        ));
    }
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    if indexed && spec.completions > Some(100_000) && spec.parallelism > Some(10_000) {
        warnings.push(format!("{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"));
    }
    if let Some(pod) = pod {
        pod_spec(pod, &Path::new(path).child("template.spec"), warnings);
    }
    if let Some(other) = spec.managed_by.as_deref().filter(|name| *name != JOB_CONTROLLER) {
        warnings.push(format!("{path}.managedBy: the Job is left to {}", crate::field::quote(other)));
    }
    let by_index = spec.depends_on.iter().any(|on| on.condition == crate::dependency::INDEX_COMPLETE);
    let not_done = [
        (indexed, "completionMode", "Indexed"),
        (spec.pod_failure_policy.is_some(), "podFailurePolicy", ""),
        (spec.success_policy.is_some(), "successPolicy", ""),
        (spec.backoff_limit_per_index.is_some(), "backoffLimitPerIndex", ""),
        (spec.max_failed_indexes.is_some(), "maxFailedIndexes", ""),
        (by_index, "dependsOn", "IndexComplete"),
    ];
    for (_, field, value) in not_done.into_iter().filter(|(given, ..)| *given) {
        let value = if value.is_empty() { String::new() } else { format!("{} ", crate::field::quote(value)) };
        warnings.push(format!("{path}.{field}: {value}is kept, but not yet acted upon"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job_of(json: &str) -> Job {
        proto::json::decode::<Job>(json.as_bytes()).expect("valid JSON").value
    }

    #[test]
    fn a_plain_job_has_no_warning() {
        let plain = job_of(r#"{"metadata":{"name":"pi"},"spec":{"template":{"spec":{"restartPolicy":"Never"}}}}"#);
        assert_eq!(job(&plain, None), Vec::<String>::new());
    }

    #[test]
    fn names_and_what_is_not_done_are_told() {
        let odd = job_of(
            r#"{"metadata":{"name":"a.b"},"spec":{"completionMode":"Indexed","managedBy":"acme.io/x","template":{"spec":{"restartPolicy":"Always"}}}}"#,
        );
        let told = job(&odd, None);
        assert_eq!(
            told[0],
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]"
        );
        assert!(told[1].starts_with("spec.template.spec.restartPolicy: a Job with \"Always\""));
        assert_eq!(told[2], "spec.managedBy: the Job is left to \"acme.io/x\"");
        assert_eq!(told[3], "spec.completionMode: \"Indexed\" is kept, but not yet acted upon");
        assert_eq!(job(&odd, Some(&odd)), Vec::<String>::new(), "an update that changes nothing tells nothing");
    }
}
