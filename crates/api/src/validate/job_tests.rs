use proptest::prelude::*;
use proto::Root;
use proto::batch_v1::{CronJob, Job};
use proto::core_v1::{Namespace, Pod};
use serde_json::{Value, json};

use super::*;
use crate::{defaults, prepare};

fn decode<T: Root>(json: &Value) -> T {
    proto::json::decode::<T>(json.to_string().as_bytes()).expect("valid JSON").value
}

/// Each line once, as an answer's message shows them.
fn lines(errors: Errors) -> Vec<String> {
    let mut lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.dedup();
    lines
}

/// A valid Job's JSON, with all of `spec` put into its spec.
fn job_json(spec: &Value) -> Value {
    let mut job = json!({
        "metadata": {"name": "pi", "namespace": "default", "uid": "u1", "resourceVersion": "7"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "pi", "image": "perl"}]}}},
    });
    for (key, value) in spec.as_object().expect("an object") {
        job["spec"][key] = value.clone();
    }
    job
}

/// The Job as it comes to validation on creation.
fn created(json: &Value) -> Job {
    let mut job = decode(json);
    defaults::job(&mut job);
    prepare::job_create(&mut job);
    job
}

fn job(spec: &Value) -> Job {
    created(&job_json(spec))
}

fn refused(spec: Value) -> Vec<String> {
    lines(job_create(&job(&spec)))
}

#[test]
fn numbers_must_not_be_negative() {
    assert_eq!(refused(json!({})), Vec::<String>::new());
    assert_eq!(
        refused(json!({"completions": -1, "parallelism": -2, "backoffLimit": -3, "activeDeadlineSeconds": -4})),
        [
            "spec.parallelism: Invalid value: -2: must be greater than or equal to 0",
            "spec.completions: Invalid value: -1: must be greater than or equal to 0",
            "spec.activeDeadlineSeconds: Invalid value: -4: must be greater than or equal to 0",
            "spec.backoffLimit: Invalid value: -3: must be greater than or equal to 0",
        ]
    );
}

#[test]
fn the_restart_policy_must_be_written_out() {
    let with = |policy: Value| {
        refused(json!({"template": {"spec": {"restartPolicy": policy, "containers": [{"name": "a", "image": "b"}]}}}))
    };
    let required = "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"";
    assert_eq!(with(Value::Null), [required]);
    assert_eq!(with(json!("Always")), Vec::<String>::new());
    assert_eq!(
        with(json!("never")),
        [
            r#"spec.template.spec.restartPolicy: Unsupported value: "never": supported values: "Always", "OnFailure", "Never""#,
            r#"spec.template.spec.restartPolicy: Unsupported value: "never": supported values: "OnFailure", "Never""#,
        ]
    );
}

#[test]
fn a_missing_template_and_wrong_names_are_told() {
    let empty = created(&json!({"metadata": {"name": "pi", "namespace": "default", "uid": "u1"}, "spec": {}}));
    assert_eq!(
        lines(job_create(&empty)),
        [
            "spec.template.spec.containers: Required value",
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        ]
    );
    let mut json = job_json(&json!({}));
    json["metadata"]["name"] = json!("My_Job");
    let told = lines(job_create(&created(&json)));
    assert!(
        told[0].starts_with("metadata.name: Invalid value: \"My_Job\": a lowercase RFC 1123 subdomain must consist")
    );
    let namespace: Namespace = decode(&json!({"metadata": {"name": "a.b"}}));
    assert_eq!(lines(namespace_create(&namespace)), ["metadata.name: Invalid value: \"a.b\": must not contain dots"]);
}

#[test]
fn wrong_generated_labels_are_refused() {
    let mut json = job_json(&json!({}));
    json["spec"]["template"]["metadata"] = json!({"labels": {"job-name": "other"}});
    let told = lines(job_create(&created(&json)));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("spec.template.metadata.labels[job-name]: Invalid value: {"), "{told:?}");
    assert!(told[0].ends_with("}: must be 'pi'"), "{told:?}");
}

#[test]
fn indexed_jobs_need_completions_and_short_names() {
    assert_eq!(
        refused(
            json!({"completionMode": "Indexed", "parallelism": 2, "successPolicy": {"rules": [{"succeededCount": 1}]}})
        ),
        ["spec.completions: Required value: when completion mode is Indexed"]
    );
    let mut json = job_json(&json!({"completionMode": "Indexed", "completions": 1000}));
    let name = "x".repeat(60);
    json["metadata"]["name"] = json!(name);
    let detail = format!("will not able to create pod with invalid DNS label: {name}-999");
    assert_eq!(lines(job_create(&created(&json))), [format!("metadata.name: Invalid value: \"{name}\": {detail}")]);
}

#[test]
fn policies_are_checked() {
    let rules = json!([
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3, 0, 3], "containerName": "no"}},
        {"action": "FailIndex"},
    ]);
    assert_eq!(
        refused(json!({"podFailurePolicy": {"rules": rules}, "podReplacementPolicy": "TerminatingOrFailed"})),
        [
            r#"spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "no": must be one of the container or initContainer names in the pod template"#,
            "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3",
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered",
            r#"spec.podFailurePolicy.rules[1].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set"#,
            "spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            r#"spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed""#,
        ]
    );
}

#[test]
fn what_is_immutable_stays() {
    let old = job(&json!({"completions": 3}));
    let mut new = old.clone();
    let spec = new.spec.as_mut().expect("a spec");
    spec.parallelism = Some(7);
    spec.suspend = Some(true);
    assert_eq!(lines(job_update(&new, &old)), Vec::<String>::new(), "parallelism and suspend may change");
    let spec = new.spec.as_mut().expect("a spec");
    spec.completions = Some(4);
    let template = spec.template.as_mut().and_then(|template| template.spec.as_mut()).expect("a template");
    template.containers[0].image = "other".into();
    let told = lines(job_update(&new, &old));
    assert_eq!(told[0], "spec.completions: Invalid value: 4: field is immutable");
    assert!(told[1].starts_with("spec.template: Invalid value: {") && told[1].ends_with(": field is immutable"));
    assert_eq!(told.len(), 2);
}

#[test]
fn a_suspended_job_may_be_placed_anew() {
    let old = job(&json!({"suspend": true}));
    let changed = |change: fn(&mut proto::core_v1::PodSpec)| {
        let mut new = old.clone();
        let template = new.spec.as_mut().and_then(|spec| spec.template.as_mut());
        change(template.and_then(|template| template.spec.as_mut()).expect("a Pod"));
        lines(job_update(&new, &old))
    };
    assert_eq!(changed(|pod| drop(pod.node_selector.insert("disk".into(), "ssd".into()))), Vec::<String>::new());
    let told = changed(|pod| pod.hostname = "other".into());
    assert!(told[0].starts_with("spec.template.spec: Invalid value:"), "{told:?}");
}

#[test]
fn a_finished_job_stays_finished() {
    let at = "2026-01-01T00:00:00Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": at});
    let with = |status: Value| {
        let mut json = job_json(&json!({}));
        json["status"] = status;
        created(&json)
    };
    let running = with(json!({"startTime": at, "active": 1}));
    let complete = with(json!({
        "startTime": at, "completionTime": at, "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
    }));
    assert_eq!(lines(job_status_update(&complete, &running)), Vec::<String>::new());
    assert_eq!(
        lines(job_status_update(&running, &complete)),
        [
            "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
            "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
            "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
        ]
    );
    let both = with(json!({"active": 1, "conditions": [condition("Complete"), condition("Failed")]}));
    assert_eq!(
        lines(job_status_update(&both, &running)),
        [
            "status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.startTime: Invalid value: null: field is immutable for unsuspended job once set",
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
            "status.startTime: Required value: startTime is required for finished job",
        ]
    );
}

fn cron_job(spec: &Value) -> Vec<String> {
    let mut json = json!({"metadata": {"name": "hello", "namespace": "default"}, "spec": {
        "schedule": "* * * * *", "jobTemplate": {"spec": job_json(&json!({}))["spec"]},
    }});
    for (key, value) in spec.as_object().expect("an object") {
        json["spec"][key] = value.clone();
    }
    let mut object: CronJob = decode(&json);
    defaults::cron_job(&mut object);
    lines(cron_job_create(&object))
}

#[test]
fn cron_jobs_are_checked() {
    assert_eq!(cron_job(&json!({"timeZone": "Europe/Berlin"})), Vec::<String>::new());
    assert_eq!(cron_job(&json!({"schedule": ""})), ["spec.schedule: Required value"]);
    assert_eq!(
        cron_job(&json!({"schedule": "* * * *"})),
        [r#"spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]"#]
    );
    assert_eq!(
        cron_job(&json!({"schedule": "TZ=UTC * * * * *"})),
        [
            r#"spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead"#
        ]
    );
    assert_eq!(
        cron_job(&json!({"timeZone": "Mars/Base", "concurrencyPolicy": "Wait", "startingDeadlineSeconds": -1})),
        [
            "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
            r#"spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base"#,
            r#"spec.concurrencyPolicy: Unsupported value: "Wait": supported values: "Allow", "Forbid", "Replace""#,
        ]
    );
}

#[test]
fn probes_and_affinity_are_checked() {
    let mut object: Pod = decode(&json!({"metadata": {"name": "p", "namespace": "default"}, "spec": {
        "containers": [{"name": "a", "image": "x",
            "livenessProbe": {"successThreshold": 2, "httpGet": {"port": 0}, "exec": {"command": ["x"]}},
            "readinessProbe": {}, "lifecycle": {"preStop": {"exec": {}}}}],
        "initContainers": [{"name": "b", "image": "x", "livenessProbe": {"exec": {"command": ["x"]}}}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "Is"}]}]}}},
    }}));
    defaults::pod(&mut object);
    assert_eq!(
        lines(pod_create(&object)),
        [
            "spec.containers[0].lifecycle.preStop.exec.command: Required value",
            "spec.containers[0].livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            "spec.containers[0].readinessProbe: Required value: must specify a handler type",
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator",
        ]
    );
}

proptest! {
    /// Whatever numbers and texts a Job holds: it is defaulted, prepared, validated and warned about without a panic.
    #[test]
    fn no_job_makes_validation_panic(
        numbers in proptest::collection::vec(proptest::option::of(any::<i32>()), 8),
        texts in proptest::collection::vec("\\PC{0,12}", 8),
    ) {
        let mut json = job_json(&json!({
            "completions": numbers[0], "parallelism": numbers[1], "backoffLimit": numbers[2],
            "backoffLimitPerIndex": numbers[3], "maxFailedIndexes": numbers[4], "ttlSecondsAfterFinished": numbers[5],
            "completionMode": "Indexed", "managedBy": texts[0],
            "successPolicy": {"rules": [{"succeededIndexes": texts[1], "succeededCount": numbers[6]}]},
            "dependsOn": [{"name": texts[2], "condition": texts[3]}],
        }));
        json["metadata"]["name"] = json!(texts[4]);
        json["metadata"]["generateName"] = json!(texts[5]);
        json["metadata"]["labels"] = json!({texts[6].as_str(): texts[7]});
        json["metadata"]["annotations"] = json!({"raftsman.io/depends-on": texts[1]});
        let new = created(&json);
        let old = job(&json!({}));
        let _ = (job_create(&new), job_update(&new, &old), job_status_update(&new, &old));
        let _ = crate::warnings::job(&new, Some(&old));
    }

    #[test]
    fn no_indexes_make_parsing_panic(text in "[0-9,-]{0,20}", completions in any::<i32>()) {
        if let Ok(intervals) = parse_indexes(&text, completions) {
            prop_assert!(intervals.iter().all(|interval| *interval.end() < completions));
        }
    }
}
