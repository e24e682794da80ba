//! Exact texts, one object with many faults at a time.

use proto::core_v1::*;
use proto::meta_v1::ObjectMeta;
use proto::resource;

use super::*;

fn meta(name: &str) -> Option<ObjectMeta> {
    Some(ObjectMeta { name: name.into(), namespace: "default".into(), ..Default::default() })
}

fn container(name: &str) -> Container {
    Container {
        name: name.into(),
        image: "i".into(),
        termination_message_policy: "File".into(),
        image_pull_policy: "Always".into(),
        ..Default::default()
    }
}

fn pod(containers: Vec<Container>) -> Pod {
    let spec = PodSpec {
        containers,
        restart_policy: "Always".into(),
        dns_policy: "ClusterFirst".into(),
        ..Default::default()
    };
    Pod { metadata: meta("p"), spec: Some(spec), ..Default::default() }
}

fn texts(errors: Errors) -> Vec<String> {
    errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
}

#[test]
fn a_good_pod_has_no_errors() {
    assert_eq!(texts(pod_create(&pod(vec![container("a"), container("b")]))), [] as [&str; 0]);
}

#[test]
fn containers_are_named_once_and_have_an_image() {
    let mut unnamed = container("");
    unnamed.image = " i".into();
    let found = texts(pod_create(&pod(vec![container("a"), container("a"), unnamed])));
    let expected = [
        "spec.containers[1].name: Duplicate value: \"a\"",
        "spec.containers[2].name: Required value",
        "spec.containers[2].image: Invalid value: \" i\": must not have leading or trailing whitespace",
    ];
    assert_eq!(found, expected);
    assert_eq!(texts(pod_create(&pod(Vec::new()))), ["spec.containers: Required value"]);
}

#[test]
fn environment_mounts_and_resources() {
    let mut one = container("a");
    one.env = vec![
        EnvVar { name: "A".into(), value_from: Some(EnvVarSource::default()), ..Default::default() },
        EnvVar { name: String::new(), ..Default::default() },
    ];
    one.volume_mounts = vec![VolumeMount { name: "v".into(), mount_path: "/v".into(), ..Default::default() }];
    let quantity = |text: &str| resource::Quantity { string: text.into() };
    one.resources = Some(ResourceRequirements {
        limits: [("cpu".to_string(), quantity("1"))].into(),
        requests: [("cpu".to_string(), quantity("2")), ("memory".to_string(), quantity("-1"))].into(),
        ..Default::default()
    });
    let found = texts(pod_create(&pod(vec![one])));
    assert!(
        found[0].starts_with("spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: "),
        "{found:?}"
    );
    let expected = [
        "spec.containers[0].env[1].name: Required value",
        "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
        "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        "spec.containers[0].resources.requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
    ];
    assert_eq!(found[1..], expected);
}

#[test]
fn a_pods_spec_hardly_changes() {
    let old = pod(vec![container("a")]);
    let mut new = old.clone();
    new.spec.as_mut().unwrap().containers[0].image = "j".into();
    // What JSON makes of an unset message.
    new.spec.as_mut().unwrap().containers[0].resources = Some(ResourceRequirements::default());
    assert_eq!(texts(pod_update(&new, &old)), [] as [&str; 0]);
    new.spec.as_mut().unwrap().containers[0].command = vec!["x".into()];
    assert!(
        texts(pod_update(&new, &old))[0].starts_with("spec: Forbidden: pod updates may not change fields other than ")
    );
    new.spec.as_mut().unwrap().containers.clear();
    assert_eq!(
        texts(pod_update(&new, &old)),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
}

#[test]
fn a_bound_pod_stays_as_long_as_its_node_was_told() {
    let toleration = |seconds| Toleration {
        key: "node.kubernetes.io/unreachable".into(),
        operator: "Exists".into(),
        effect: "NoExecute".into(),
        toleration_seconds: seconds,
        ..Default::default()
    };
    let with = |node: &str, seconds: &[Option<i64>]| {
        let mut pod = pod(vec![container("a")]);
        let spec = pod.spec.as_mut().unwrap();
        spec.node_name = node.into();
        spec.tolerations = seconds.iter().map(|seconds| toleration(*seconds)).collect();
        pod
    };
    let none = [] as [&str; 0];
    for before in [None, Some(600)] {
        let shortened = texts(pod_update(&with("n", &[before, Some(10)]), &with("n", &[before])));
        let [error] = &shortened[..] else { panic!("{shortened:?}") };
        assert!(error.starts_with("spec.tolerations: Forbidden: a pod that is bound to a node may not"), "{error}");
        assert_eq!(texts(pod_update(&with("", &[before, Some(10)]), &with("", &[before]))), none, "nobody runs it");
    }
    assert_eq!(texts(pod_update(&with("n", &[Some(10), Some(600)]), &with("n", &[Some(10)]))), none);
    assert_eq!(texts(pod_update(&with("n", &[Some(10)]), &with("n", &[]))), none, "longer");
}

#[test]
fn tolerations_and_taints() {
    let mut tolerant = pod(vec![container("a")]);
    tolerant.spec.as_mut().unwrap().tolerations =
        vec![Toleration { effect: "NoSchedule".into(), toleration_seconds: Some(1), ..Default::default() }];
    let found = texts(pod_create(&tolerant));
    assert!(
        found[0].starts_with(
            "spec.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is empty"
        )
    );
    assert!(
        found[1].starts_with("spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute'")
    );
    let taint = Taint { key: "a".into(), effect: "NoSchedule".into(), ..Default::default() };
    let mut node = Node {
        spec: Some(NodeSpec { taints: vec![taint.clone(), taint], ..Default::default() }),
        ..Default::default()
    };
    node.metadata = Some(ObjectMeta { name: "n".into(), ..Default::default() });
    let found = texts(node_create(&node));
    assert_eq!(found, ["spec.taints[1]: Duplicate value: \"a\": taints must be unique by key and effect pair"]);
}

#[test]
fn what_is_immutable_stays() {
    let old = ConfigMap { metadata: meta("c"), immutable: Some(true), ..Default::default() };
    let new = ConfigMap { data: [("k".to_string(), "v".to_string())].into(), ..old.clone() };
    assert_eq!(texts(config_map_update(&new, &old)), ["data: Forbidden: field is immutable when `immutable` is set"]);
    let old = Secret { metadata: meta("s"), r#type: "Opaque".into(), ..Default::default() };
    let new = Secret { r#type: "other".into(), ..old.clone() };
    assert_eq!(texts(secret_update(&new, &old)), ["type: Invalid value: \"other\": field is immutable"]);
}

fn read<T: proto::Root>(json: &str) -> T {
    proto::json::decode::<T>(json.as_bytes()).expect("valid JSON").value
}

#[test]
fn services_secrets_and_events_say_what_they_must() {
    let mut service: Service = read(r#"{"metadata":{"name":"s","namespace":"default"},"spec":{"type":"Odd"}}"#);
    crate::defaults::service(&mut service);
    assert_eq!(
        texts(service_create(&service)),
        [
            "spec.ports: Required value",
            r#"spec.type: Unsupported value: "Odd": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
        ]
    );
    let secret: Secret = read(r#"{"metadata":{"name":"s","namespace":"default"},"type":"kubernetes.io/tls"}"#);
    assert_eq!(texts(secret_create(&secret)), ["data[tls.crt]: Required value", "data[tls.key]: Required value"]);
    let event: Event =
        read(r#"{"metadata":{"name":"e","namespace":"default"},"involvedObject":{"namespace":"other"},"reason":"R"}"#);
    assert_eq!(
        texts(event_create(&event)),
        [r#"involvedObject.namespace: Invalid value: "other": does not match event.namespace"#]
    );
}
