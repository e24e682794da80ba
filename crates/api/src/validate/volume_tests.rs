//! Volumes and what refers to them, in the words of a real kube-apiserver.
//!
//! `volume_cases.txt` was written by one: each line that begins a case is a Pod's spec, the lines below it are its causes.
//! The specs were drawn at random, and the fewest kept that have every kind of cause.

use proto::Root;
use proto::batch_v1::Job;
use proto::core_v1::{Pod, PodTemplate};
use serde_json::{Value, json};

use super::*;
use crate::{defaults, prepare};

fn decode<T: Root>(json: &Value) -> T {
    proto::json::decode::<T>(json.to_string().as_bytes()).expect("valid JSON").value
}

fn lines(errors: Errors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// A valid Pod with all of `spec` put into its spec.
fn pod(spec: &Value) -> Vec<String> {
    let mut json = json!({
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], "serviceAccountName": "default"},
    });
    for (key, value) in spec.as_object().expect("an object") {
        json["spec"][key] = value.clone();
    }
    let mut pod: Pod = decode(&json);
    defaults::pod(&mut pod);
    lines(pod_create(&pod))
}

#[test]
fn every_rule_speaks_as_kubernetes_does() {
    let mut cases: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in include_str!("volume_cases.txt").lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            None => cases.push((line, Vec::new())),
            Some(cause) => cases.last_mut().expect("a spec comes first").1.push(cause),
        }
    }
    assert!(cases.len() > 100, "the cases were not found");
    for (spec, expected) in cases {
        assert_eq!(pod(&serde_json::from_str(spec).expect("valid JSON")), expected, "{spec}");
    }
}

#[test]
fn what_is_sound_passes() {
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let none = Vec::<String>::new();
    assert_eq!(
        pod(&json!({
            "volumes": [
                {"name": "a", "emptyDir": {}},
                {"name": "b", "ephemeral": {"volumeClaimTemplate": claim}},
                {"name": "c", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            ],
            "containers": [{
                "name": "c", "image": "busybox",
                "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "x/y", "readOnly": true,
                    "recursiveReadOnly": "Enabled"}],
                "volumeDevices": [{"name": "b", "devicePath": "/dev/b"}],
                "env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "a", "path": "env", "key": "A"}}}],
            }],
        })),
        none
    );
}

#[test]
fn templates_are_asked_less() {
    let volumes = json!([
        {"name": "v", "image": {}},
        {"name": "x".repeat(63), "ephemeral": {}},
        {"name": "w", "persistentVolumeClaim": {"claimName": "x-v"}},
        {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "a"}}]}},
    ]);
    let spec = json!({"containers": [{"name": "c", "image": "busybox"}], "restartPolicy": "Never", "volumes": volumes});
    let mut job: Job = decode(
        &json!({"metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {"template": {"spec": spec}}}),
    );
    defaults::job(&mut job);
    prepare::job_create(&mut job);
    let missing = ".spec.volumes[1].ephemeral.volumeClaimTemplate: Required value";
    assert_eq!(lines(job_create(&job)), [format!("spec.template{missing}")]);
    let mut template: PodTemplate =
        decode(&json!({"metadata": {"name": "x", "namespace": "default"}, "template": {"spec": spec}}));
    template.template.as_mut().unwrap().spec.as_mut().unwrap().restart_policy = "Always".into();
    defaults::pod_template(&mut template);
    assert_eq!(lines(pod_template_create(&template)), [format!("template{missing}")]);
}

#[test]
fn a_claim_is_not_made_and_used_at_once() {
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let long = "v".repeat(63);
    let name = "x".repeat(250);
    let mut pod: Pod = decode(&json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], "volumes": [
            {"name": long, "ephemeral": {"volumeClaimTemplate": claim}},
            {"name": "w", "persistentVolumeClaim": {"claimName": format!("{name}-{long}")}},
        ]},
    }));
    defaults::pod(&mut pod);
    assert_eq!(
        lines(pod_create(&pod)),
        [
            format!(
                "spec.volumes[0].name: Invalid value: \"{long}\": PVC name \"{name}-{long}\": must be no more than 253 characters"
            ),
            format!(
                "spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: \"{name}-{long}\": must not reference a PVC that gets created for an ephemeral volume"
            ),
        ]
    );
}
