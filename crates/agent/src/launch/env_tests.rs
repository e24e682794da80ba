use proto::core_v1::{
    ConfigMapEnvSource, ConfigMapKeySelector, EnvFromSource, EnvVar, LocalObjectReference, ObjectFieldSelector, Pod,
    ResourceFieldSelector, ResourceRequirements, SecretKeySelector,
};
use proto::meta_v1::ObjectMeta;
use proto::resource::Quantity;

use super::*;

fn named(name: &str) -> Option<LocalObjectReference> {
    Some(LocalObjectReference { name: name.into() })
}

fn literal(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.into(), value: value.into(), value_from: None }
}

fn from(name: &str, source: EnvVarSource) -> EnvVar {
    EnvVar { name: name.into(), value: String::new(), value_from: Some(source) }
}

fn key_of(map: &str, key: &str, optional: Option<bool>) -> EnvVarSource {
    let selector = ConfigMapKeySelector { local_object_reference: named(map), key: key.into(), optional };
    EnvVarSource { config_map_key_ref: Some(selector), ..EnvVarSource::default() }
}

fn sources() -> Sources {
    let map = ConfigMap { data: [("k".to_owned(), "v".to_owned())].into(), ..ConfigMap::default() };
    let secret = Secret { data: [("s".to_owned(), b"hidden".to_vec())].into(), ..Secret::default() };
    Sources {
        config_maps: [("m".to_owned(), Some(Arc::new(map))), ("gone".to_owned(), None)].into(),
        secrets: [("x".to_owned(), Some(Arc::new(secret)))].into(),
    }
}

fn resolve(container: &Container) -> Result<Vec<(String, String)>, String> {
    let labels = [("app".to_owned(), "a".to_owned())].into();
    let metadata = ObjectMeta { name: "p".into(), namespace: "n".into(), labels, ..ObjectMeta::default() };
    let pod = Pod { metadata: Some(metadata), ..Pod::default() };
    let facts = Facts { pod: &pod, node_ip: "10.0.0.1", cpu_millis: 2000, memory_bytes: 1 << 30 };
    variables(container, &sources(), &facts)
}

fn with(env: Vec<EnvVar>) -> Container {
    Container { env, ..Container::default() }
}

fn pairs(list: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
    Ok(list.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

#[test]
fn later_definitions_see_and_replace_earlier_ones() {
    let container =
        with(vec![literal("A", "1"), literal("B", "$(A)$(C)$$(A)"), literal("C", "3"), literal("A", "2$(A)")]);
    assert_eq!(resolve(&container), pairs(&[("A", "21"), ("B", "1$(C)$(A)"), ("C", "3")]));
}

#[test]
fn whole_maps_come_first_and_take_a_prefix() {
    let map = ConfigMapEnvSource { local_object_reference: named("m"), optional: None };
    let from = EnvFromSource { prefix: "P_".into(), config_map_ref: Some(map), secret_ref: None };
    let container = Container { env_from: vec![from], ..with(vec![literal("A", "$(P_k)")]) };
    assert_eq!(resolve(&container), pairs(&[("P_k", "v"), ("A", "v")]));
    assert_eq!(wanted(&container).config_maps, ["m"]);
}

#[test]
fn references_resolve_or_say_what_is_missing() {
    let secret = SecretKeySelector { local_object_reference: named("x"), key: "s".into(), optional: None };
    let secret = EnvVarSource { secret_key_ref: Some(secret), ..EnvVarSource::default() };
    assert_eq!(resolve(&with(vec![from("S", secret)])), pairs(&[("S", "hidden")]));
    assert_eq!(resolve(&with(vec![from("A", key_of("m", "k", None))])), pairs(&[("A", "v")]));
    let missing_map = resolve(&with(vec![from("A", key_of("gone", "k", None))]));
    assert_eq!(missing_map, Err(r#"configmap "gone" not found"#.to_owned()));
    let missing_key = resolve(&with(vec![from("A", key_of("m", "z", None))]));
    assert_eq!(missing_key, Err("couldn't find key z in ConfigMap n/m".to_owned()));
    for optional in [key_of("gone", "k", Some(true)), key_of("m", "z", Some(true))] {
        assert_eq!(resolve(&with(vec![from("A", optional)])), Ok(vec![]));
    }
}

#[test]
fn the_pod_tells_its_fields_and_resources() {
    let field = |path: &str| EnvVarSource {
        field_ref: Some(ObjectFieldSelector { api_version: "v1".into(), field_path: path.into() }),
        ..EnvVarSource::default()
    };
    let resource = |resource: &str, divisor: &str| EnvVarSource {
        resource_field_ref: Some(ResourceFieldSelector {
            resource: resource.into(),
            divisor: Some(Quantity { string: divisor.into() }),
            ..ResourceFieldSelector::default()
        }),
        ..EnvVarSource::default()
    };
    let limits = [("cpu".to_owned(), Quantity { string: "1500m".into() })].into();
    let container = Container {
        resources: Some(ResourceRequirements { limits, ..ResourceRequirements::default() }),
        ..with(vec![
            from("NAME", field("metadata.name")),
            from("APP", field("metadata.labels['app']")),
            from("IP", field("status.podIP")),
            from("CPUS", resource("limits.cpu", "")),
            from("MILLIS", resource("limits.cpu", "1m")),
            from("MIB", resource("limits.memory", "1Mi")),
            from("ASKED", resource("requests.memory", "")),
        ])
    };
    let expected = [
        ("NAME", "p"),
        ("APP", "a"),
        ("IP", "10.0.0.1"),
        ("CPUS", "2"),
        ("MILLIS", "1500"),
        ("MIB", "1024"),
        ("ASKED", "0"),
    ];
    assert_eq!(resolve(&container), pairs(&expected));
    let wrong = resolve(&with(vec![from("A", field("spec.nope"))]));
    assert_eq!(wrong, Err("unsupported fieldPath: spec.nope".to_owned()));
}
