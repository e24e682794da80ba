//! Which Jobs must have ended before another starts (design D12).
//!
//! ```text
//! spec.dependsOn: [{name: extract}, {name: transform, condition: Finished}]      the field
//! raftsman.io/depends-on: "extract,transform=Finished"                           the same as an annotation
//! ```
//!
//! The annotation is for typed clients that drop unknown fields; it counts where the field is empty. A cycle can't be
//! waited for and is refused, with the cycle named: `load -> extract -> load`.

use std::collections::{BTreeMap, BTreeSet};

use proto::batch_v1::{Job, JobDependency};

use crate::field::{Error, Errors, Path};
use crate::meta::Object;
use crate::names;

/// The annotation that stands for `spec.dependsOn`.
pub const ANNOTATION: &str = "raftsman.io/depends-on";
/// The finalizer of a Job that others wait for, until they have recorded how it ended.
pub const FINALIZER: &str = "raftsman.io/dependents";
/// The most dependencies that one Job may have.
pub const MAX_DEPENDENCIES: usize = 64;

/// Holds when the other Job is Complete (the default).
pub const COMPLETE: &str = "Complete";
/// Holds when the other Job has failed.
pub const FAILED: &str = "Failed";
/// Holds when the other Job has ended, either way.
pub const FINISHED: &str = "Finished";
/// Holds index by index, between two Indexed Jobs.
pub const INDEX_COMPLETE: &str = "IndexComplete";

const CONDITIONS: [&str; 4] = [COMPLETE, FAILED, FINISHED, INDEX_COMPLETE];

/// `status.dependencies[].state`: not decided yet.
pub const STATE_WAITING: &str = "Waiting";
/// The condition held; it stays so, whatever becomes of the other Job.
pub const STATE_MET: &str = "Met";
/// The condition can no longer hold.
pub const STATE_FAILED: &str = "Failed";

/// How another Job stands to a condition on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is absent, being deleted unfinished or still running.
    Waiting,
    /// It holds.
    Met,
    /// It ended the other way.
    Failed,
}

/// The dependencies of a Job, defaults filled in: those of the field, or where it is empty those of the annotation.
/// What the annotation misspells is left out here; [`validate`] refuses it at creation.
pub fn of(job: &Job) -> Vec<JobDependency> {
    let field = job.spec.as_ref().map_or(&[][..], |spec| &spec.depends_on);
    let mut dependencies = if field.is_empty() {
        job.annotation(ANNOTATION).map(|text| parse(text).unwrap_or_default()).unwrap_or_default()
    } else {
        field.to_vec()
    };
    dependencies.iter_mut().for_each(default);
    dependencies
}

/// Fills in what a dependency leaves out: condition `Complete`, whenFailed `Fail`.
pub fn default(dependency: &mut JobDependency) {
    for (field, value) in [(&mut dependency.condition, COMPLETE), (&mut dependency.when_failed, "Fail")] {
        if field.is_empty() {
            *field = value.to_string();
        }
    }
}

/// Reads the annotation: names, each with an optional `=Condition`, separated by commas.
///
/// # Errors
/// What is wrong with it, as one line.
pub fn parse(text: &str) -> Result<Vec<JobDependency>, String> {
    let mut dependencies = Vec::new();
    for part in text.split(',').map(str::trim) {
        if part.is_empty() {
            return Err("must be a list such as \"extract,transform=Finished\"".to_string());
        }
        let (name, condition) = part.split_once('=').unwrap_or((part, COMPLETE));
        let (name, condition) = (name.trim(), condition.trim());
        if !CONDITIONS.contains(&condition) {
            return Err(format!(
                "condition {} of {} must be one of {}",
                crate::field::quote(condition),
                crate::field::quote(name),
                CONDITIONS.join(", ")
            ));
        }
        dependencies.push(JobDependency {
            name: name.to_string(),
            condition: condition.to_string(),
            when_failed: "Fail".to_string(),
        });
    }
    Ok(dependencies)
}

/// What is wrong with a Job's dependencies, field and annotation, taken alone; see [`cycle`] for the rest.
pub fn validate(job: &Job) -> Errors {
    let mut errors = Vec::new();
    let field = job.spec.as_ref().map_or(&[][..], |spec| &spec.depends_on);
    let spec = Path::new("spec");
    validate_list(field, &spec.child("dependsOn"), job.name(), &mut errors);
    if let Some(text) = job.annotation(ANNOTATION) {
        let annotations = Path::new("metadata.annotations");
        let at = annotations.key(ANNOTATION);
        match parse(text) {
            Ok(parsed) if field.is_empty() => validate_list(&parsed, &at, job.name(), &mut errors),
            Ok(parsed) => {
                let names = |list: &[JobDependency]| list.iter().map(|d| d.name.clone()).collect::<BTreeSet<_>>();
                if names(&parsed) != names(field) {
                    errors.push(Error::invalid(&at, text, "must name the Jobs of spec.dependsOn where both are set"));
                }
            }
            Err(problem) => errors.push(Error::invalid(&at, text, &problem)),
        }
    }
    errors
}

/// What is wrong with the dependencies of a CronJob's template.
pub fn validate_template(dependencies: &[JobDependency], at: &Path<'_>) -> Errors {
    let mut errors = Vec::new();
    validate_list(dependencies, at, "", &mut errors);
    errors
}

fn validate_list(dependencies: &[JobDependency], at: &Path<'_>, own_name: &str, errors: &mut Errors) {
    if dependencies.len() > MAX_DEPENDENCIES {
        errors.push(Error::too_many(at, dependencies.len(), MAX_DEPENDENCIES));
    }
    let mut seen = BTreeSet::new();
    for (i, dependency) in dependencies.iter().enumerate() {
        let at = at.index(i);
        if dependency.name.is_empty() {
            errors.push(Error::required(&at.child("name"), ""));
        } else if dependency.name == own_name {
            errors.push(Error::invalid(&at.child("name"), own_name, "a Job must not depend on itself"));
        } else if !seen.insert(&dependency.name) {
            errors.push(Error::duplicate(&at.child("name"), &dependency.name));
        } else {
            let problems = names::dns_subdomain(&dependency.name);
            errors.extend(problems.iter().map(|p| Error::invalid(&at.child("name"), &dependency.name, p)));
        }
        if !dependency.condition.is_empty() && !CONDITIONS.contains(&dependency.condition.as_str()) {
            errors.push(Error::not_supported(&at.child("condition"), &dependency.condition, &CONDITIONS));
        }
        if !["", "Fail", "Wait"].contains(&dependency.when_failed.as_str()) {
            errors.push(Error::not_supported(&at.child("whenFailed"), &dependency.when_failed, &["Fail", "Wait"]));
        }
    }
}

/// The cycle that `name` would close by depending on `on`: names from `name` back to itself, or `None`. `depends_on`
/// tells on what each other Job of the namespace depends, and whether it is unfinished: a Job that has ended waits for
/// nothing any more, so callers give no dependencies for it, and none that are already met.
pub fn cycle<'a>(name: &'a str, on: &[&'a str], depends_on: impl Fn(&'a str) -> Vec<&'a str>) -> Option<Vec<&'a str>> {
    // Depth first from what `name` would wait for; `came_from` gives the way back.
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut stack: Vec<&str> = Vec::new();
    for first in on.iter().rev() {
        came_from.entry(first).or_insert(name);
        stack.push(first);
    }
    while let Some(at) = stack.pop() {
        if at == name {
            let mut path = vec![name];
            let mut back = came_from.get(name).copied();
            while let Some(step) = back.filter(|step| *step != name) {
                path.push(step);
                back = came_from.get(step).copied();
            }
            path.push(name);
            path.reverse();
            return Some(path);
        }
        for next in depends_on(at).into_iter().rev() {
            if !came_from.contains_key(next) {
                came_from.insert(next, at);
                stack.push(next);
            }
        }
    }
    None
}

/// The error for a cycle.
pub fn cycle_error(cycle: &[&str]) -> Error {
    let spec = Path::new("spec");
    Error::invalid(
        &spec.child("dependsOn"),
        crate::field::Omitted,
        &format!("the dependencies form a cycle: {}", cycle.join(" -> ")),
    )
}

/// How the Job `other` (`None`: absent) stands to a condition on it. `IndexComplete` is decided index by index
/// elsewhere; taken as a whole it is `Complete`.
pub fn judge(condition: &str, other: Option<&Job>) -> Verdict {
    let conditions = other.and_then(|job| job.status.as_ref()).map_or(&[][..], |status| &status.conditions);
    let complete = crate::condition::is_true(conditions, "Complete");
    let failed = crate::condition::is_true(conditions, "Failed");
    match (condition, complete, failed) {
        (_, false, false) => Verdict::Waiting,
        (FINISHED, ..) | (FAILED, _, true) => Verdict::Met,
        (FAILED, true, _) | (_, _, true) => Verdict::Failed,
        _ => Verdict::Met,
    }
}

#[cfg(test)]
mod tests {
    use proto::batch_v1::{JobSpec, JobStatus};
    use proto::meta_v1::ObjectMeta;

    use super::*;

    fn job(name: &str, on: &[(&str, &str, &str)], annotation: Option<&str>) -> Job {
        let dependency = |(name, condition, when_failed): &(&str, &str, &str)| JobDependency {
            name: name.to_string(),
            condition: condition.to_string(),
            when_failed: when_failed.to_string(),
        };
        let annotations = annotation.iter().map(|text| (ANNOTATION.to_string(), text.to_string())).collect();
        Job {
            metadata: Some(ObjectMeta { name: name.into(), annotations, ..Default::default() }),
            spec: Some(JobSpec { depends_on: on.iter().map(dependency).collect(), ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn field_and_annotation_say_the_same() {
        let by_field = of(&job("load", &[("extract", "", ""), ("transform", "Finished", "")], None));
        let by_annotation = of(&job("load", &[], Some("extract, transform=Finished")));
        assert_eq!(by_field, by_annotation);
        assert_eq!(by_field[0].condition, "Complete");
        assert_eq!(by_field[0].when_failed, "Fail");
    }

    #[test]
    fn wrong_dependencies_are_named() {
        let lines = |job: &Job| validate(job).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(lines(&job("a", &[("b", "Failed", "Wait")], None)).is_empty());
        assert_eq!(
            lines(&job("a", &[("b", "Done", "Maybe"), ("b", "", ""), ("a", "", ""), ("", "", "")], None)),
            [
                r#"spec.dependsOn[0].condition: Unsupported value: "Done": supported values: "Complete", "Failed", "Finished", "IndexComplete""#,
                r#"spec.dependsOn[0].whenFailed: Unsupported value: "Maybe": supported values: "Fail", "Wait""#,
                r#"spec.dependsOn[1].name: Duplicate value: "b""#,
                r#"spec.dependsOn[2].name: Invalid value: "a": a Job must not depend on itself"#,
                "spec.dependsOn[3].name: Required value",
            ]
        );
        assert_eq!(
            lines(&job("a", &[], Some("b=Done"))),
            [
                r#"metadata.annotations[raftsman.io/depends-on]: Invalid value: "b=Done": condition "Done" of "b" must be one of Complete, Failed, Finished, IndexComplete"#
            ]
        );
        assert_eq!(lines(&job("a", &[("b", "", "")], Some("c"))).len(), 1);
    }

    #[test]
    fn a_cycle_is_named_in_its_order() {
        let graph = |name: &str| match name {
            "load" => vec!["transform"],
            "transform" => vec!["other", "extract"],
            _ => vec![],
        };
        assert_eq!(cycle("extract", &["load"], graph), Some(vec!["extract", "load", "transform", "extract"]));
        assert_eq!(cycle("extract", &["other"], graph), None);
        assert_eq!(cycle("a", &["a"], graph), Some(vec!["a", "a"]));
        assert_eq!(
            cycle_error(&["a", "b", "a"]).to_string(),
            "spec.dependsOn: Invalid value: the dependencies form a cycle: a -> b -> a"
        );
    }

    #[test]
    fn a_cycle_among_others_is_not_ours() {
        let graph = |name: &str| match name {
            "b" => vec!["c"],
            "c" => vec!["b"],
            _ => vec![],
        };
        assert_eq!(cycle("a", &["b"], graph), None);
    }

    #[test]
    fn the_end_of_the_other_job_decides() {
        let ended = |kind: &str| {
            let at = crate::time::parse_rfc3339("2026-01-01T00:00:00Z").expect("a time");
            let status =
                JobStatus { conditions: vec![crate::condition::job(kind, true, "", "", at)], ..Default::default() };
            Job { status: Some(status), ..Default::default() }
        };
        let (complete, failed, running) = (ended("Complete"), ended("Failed"), ended("Suspended"));
        for (condition, on_complete, on_failed) in [
            ("Complete", Verdict::Met, Verdict::Failed),
            ("Failed", Verdict::Failed, Verdict::Met),
            ("Finished", Verdict::Met, Verdict::Met),
        ] {
            assert_eq!(judge(condition, Some(&complete)), on_complete, "{condition}");
            assert_eq!(judge(condition, Some(&failed)), on_failed, "{condition}");
            assert_eq!(judge(condition, Some(&running)), Verdict::Waiting, "{condition}");
            assert_eq!(judge(condition, None), Verdict::Waiting, "{condition}");
        }
    }
}
