//! A Job's policies: when a failed Pod fails it, when it has succeeded early, when a Pod is replaced.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use proto::batch_v1::{
    JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule, SuccessPolicy, SuccessPolicyRule,
};

use super::job::is_indexed;
use super::{complain, non_negative};
use crate::field::{Error, Errors, Json, Omitted, Path, quote};
use crate::names;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
const INDEXES_MAX: usize = 64 << 10;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

fn valid_values(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

pub(super) fn failure(spec: &JobSpec, at: &Path<'_>, errors: &mut Errors) {
    let Some(policy) = &spec.pod_failure_policy else { return };
    let at = at.child("rules");
    if policy.rules.len() > RULES_MAX {
        errors.push(Error::too_many(&at, policy.rules.len(), RULES_MAX));
    }
    let pod = spec.template.as_ref().and_then(|template| template.spec.as_ref());
    let containers = pod.iter().flat_map(|pod| pod.containers.iter().chain(&pod.init_containers));
    let names: BTreeSet<&str> = containers.map(|container| container.name.as_str()).collect();
    for (i, rule) in policy.rules.iter().enumerate() {
        failure_rule(spec, rule, &at.index(i), &names, errors);
    }
}

fn failure_rule(
    spec: &JobSpec,
    rule: &PodFailurePolicyRule,
    at: &Path<'_>,
    names: &BTreeSet<&str>,
    errors: &mut Errors,
) {
    let action = at.child("action");
    match rule.action.as_str() {
        "" => errors.push(Error::required(&action, &valid_values(&ACTIONS))),
        "FailIndex" if spec.backoff_limit_per_index.is_none() => {
            errors.push(Error::invalid(&action, "FailIndex", "requires the backoffLimitPerIndex to be set"));
        }
        known if ACTIONS.contains(&known) => {}
        other => errors.push(Error::not_supported(&action, other, &ACTIONS)),
    }
    if let Some(exit_codes) = &rule.on_exit_codes {
        on_exit_codes(exit_codes, &at.child("onExitCodes"), names, errors);
    }
    let conditions = at.child("onPodConditions");
    if rule.on_pod_conditions.len() > CONDITIONS_MAX {
        errors.push(Error::too_many(&conditions, rule.on_pod_conditions.len(), CONDITIONS_MAX));
    }
    for (i, pattern) in rule.on_pod_conditions.iter().enumerate() {
        let at = conditions.index(i);
        complain(names::label_key(&pattern.r#type), &pattern.r#type, &at.child("type"), errors);
        match pattern.status.as_str() {
            "" => errors.push(Error::required(&at.child("status"), &valid_values(&STATUSES))),
            known if STATUSES.contains(&known) => {}
            other => errors.push(Error::not_supported(&at.child("status"), other, &STATUSES)),
        }
    }
    match (rule.on_exit_codes.is_some(), rule.on_pod_conditions.is_empty()) {
        (true, false) => {
            let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.push(Error::invalid(at, Omitted, detail));
        }
        (false, true) => {
            let detail = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.push(Error::invalid(at, Omitted, detail));
        }
        _ => {}
    }
}

fn on_exit_codes(
    rule: &PodFailurePolicyOnExitCodesRequirement,
    at: &Path<'_>,
    names: &BTreeSet<&str>,
    errors: &mut Errors,
) {
    let operator = at.child("operator");
    match rule.operator.as_str() {
        "" => errors.push(Error::required(&operator, &valid_values(&OPERATORS))),
        known if OPERATORS.contains(&known) => {}
        other => errors.push(Error::not_supported(&operator, other, &OPERATORS)),
    }
    if let Some(name) = rule.container_name.as_deref().filter(|name| !names.contains(name)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.push(Error::invalid(&at.child("containerName"), name, detail));
    }
    let at = at.child("values");
    let shown = || Json(serde_json::Value::from(rule.values.clone()).to_string());
    if rule.values.is_empty() {
        errors.push(Error::invalid(&at, Json("[]".to_string()), "at least one value is required"));
    } else if rule.values.len() > EXIT_CODES_MAX {
        errors.push(Error::too_many(&at, rule.values.len(), EXIT_CODES_MAX));
    }
    let mut seen = BTreeSet::new();
    for (i, value) in rule.values.iter().enumerate() {
        if rule.operator == "In" && *value == 0 {
            errors.push(Error::invalid(&at.index(i), 0, "must not be 0 for the In operator"));
        }
        if !seen.insert(value) {
            errors.push(Error::duplicate(&at.index(i), value));
        }
    }
    if !rule.values.is_sorted() {
        errors.push(Error::invalid(&at, shown(), "must be ordered"));
    }
}

/// As Go shows the struct, which has no JSON names.
fn shown_success(policy: &SuccessPolicy) -> Json {
    let rule = |rule: &SuccessPolicyRule| {
        format!(
            r#"{{"SucceededIndexes":{},"SucceededCount":{}}}"#,
            serde_json::Value::from(rule.succeeded_indexes.clone()),
            serde_json::Value::from(rule.succeeded_count)
        )
    };
    let rules: Vec<String> = policy.rules.iter().map(rule).collect();
    Json(format!(r#"{{"Rules":[{}]}}"#, rules.join(",")))
}

pub(super) fn success(spec: &JobSpec, at: &Path<'_>, errors: &mut Errors) {
    let Some(policy) = &spec.success_policy else { return };
    if !is_indexed(spec) {
        errors.push(Error::invalid(at, shown_success(policy), "requires indexed completion mode"));
        return;
    }
    let at = at.child("rules");
    if policy.rules.is_empty() {
        errors.push(Error::required(&at, "at least one rules must be specified when the successPolicy is specified"));
    }
    if policy.rules.len() > RULES_MAX {
        errors.push(Error::too_many(&at, policy.rules.len(), RULES_MAX));
    }
    // Without completions their own error says enough (Kubernetes' server fails here).
    if let Some(completions) = spec.completions {
        for (i, rule) in policy.rules.iter().enumerate() {
            success_rule(rule, completions, &at.index(i), errors);
        }
    }
}

fn success_rule(rule: &SuccessPolicyRule, completions: i32, at: &Path<'_>, errors: &mut Errors) {
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(Error::required(at, detail));
    }
    let mut total = None;
    if let Some(indexes) = &rule.succeeded_indexes {
        let at = at.child("succeededIndexes");
        if indexes.len() > INDEXES_MAX {
            errors.push(Error::too_long(&at, INDEXES_MAX));
        }
        total = Some(0);
        match parse_indexes(indexes, completions) {
            Ok(parsed) => total = Some(count(&parsed)),
            Err(problem) => {
                errors.push(Error::invalid(&at, indexes, &format!("error parsing succeededIndexes: {problem}")));
            }
        }
    }
    let Some(wanted) = rule.succeeded_count else { return };
    let at = at.child("succeededCount");
    non_negative(Some(i64::from(wanted)), &at, errors);
    if wanted > completions {
        let detail = format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.push(Error::invalid(&at, wanted, &detail));
    }
    if let Some(total) = total.filter(|total| i64::from(wanted) > *total) {
        let detail = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.push(Error::invalid(&at, wanted, &detail));
    }
}

pub(super) fn replacement(spec: &JobSpec, at: &Path<'_>, errors: &mut Errors) {
    let Some(policy) = &spec.pod_replacement_policy else { return };
    let supported: &[&str] =
        if spec.pod_failure_policy.is_some() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if !supported.contains(&policy.as_str()) {
        errors.push(Error::not_supported(at, policy, supported));
    }
}

/// How many indexes the intervals hold.
pub(super) fn count(intervals: &[RangeInclusive<i32>]) -> i64 {
    intervals.iter().map(|interval| i64::from(*interval.end()) - i64::from(*interval.start()) + 1).sum()
}

/// Reads a text of indexes, `1,3-5,7`: increasing, each below `completions`.
///
/// # Errors
/// Kubernetes' text.
pub fn parse_indexes(text: &str, completions: i32) -> Result<Vec<RangeInclusive<i32>>, String> {
    let mut intervals: Vec<RangeInclusive<i32>> = Vec::new();
    if text.is_empty() {
        return Ok(intervals);
    }
    for part in text.split(',') {
        let interval = interval(part, completions)?;
        if let Some(last) = intervals.last().filter(|last| last.end() >= interval.start()) {
            return Err(format!("non-increasing order, previous: {}, current: {}", last.end(), interval.start()));
        }
        intervals.push(interval);
    }
    Ok(intervals)
}

fn interval(text: &str, completions: i32) -> Result<RangeInclusive<i32>, String> {
    let index = |text: &str| {
        let number: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {}", quote(text)))?;
        if number >= i64::from(completions) {
            return Err(format!("too large index: {}", quote(text)));
        }
        i32::try_from(number).map_err(|_| format!("cannot convert string to integer for index: {}", quote(text)))
    };
    match text.split('-').collect::<Vec<_>>()[..] {
        [single] => index(single).map(|at| at..=at),
        [first, last] => {
            let (first, last) = (index(first)?, index(last)?);
            if first >= last {
                return Err(format!("non-increasing order, previous: {first}, current: {last}"));
            }
            Ok(first..=last)
        }
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            quote(text)
        )),
    }
}
