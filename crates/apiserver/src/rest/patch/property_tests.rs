//! Laws that hold for every object and patch, whatever they contain.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{PatchType, json, merge, strategic};

const JOB: &str = "k8s.io.api.batch.v1.Job";

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            fields(inner).prop_map(Value::Object),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("metadata".to_string()),
        Just("spec".to_string()),
        Just("template".to_string()),
        Just("containers".to_string()),
        Just("name".to_string()),
        Just("$patch".to_string()),
        Just("$retainKeys".to_string()),
        Just("$setElementOrder/containers".to_string()),
        "[a-c/~]{1,2}",
    ]
}

fn fields(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((name(), inner), 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

fn object() -> impl Strategy<Value = Value> {
    fields(value()).prop_map(Value::Object)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        other => other,
    }
}

proptest! {
    #[test]
    fn no_patch_panics(target in object(), patch in value()) {
        for kind in [PatchType::Json, PatchType::Merge, PatchType::Strategic] {
            let _ = kind.apply(target.clone(), &patch, JOB);
        }
    }

    #[test]
    fn merging_twice_is_merging_once(target in object(), patch in object()) {
        let once = merge::apply(target, &patch).expect("objects");
        prop_assert_eq!(merge::apply(once.clone(), &patch), Ok(once));
    }

    #[test]
    fn merging_an_object_into_nothing_is_the_object(patch in object()) {
        let got = merge::apply(Value::Object(Map::new()), &patch).expect("objects");
        prop_assert_eq!(got, without_nulls(patch));
    }

    #[test]
    fn an_empty_patch_changes_nothing(target in object()) {
        let empty = Value::Object(Map::new());
        prop_assert_eq!(strategic::apply(target.clone(), &empty, JOB), Ok(target.clone()));
        prop_assert_eq!(json::apply(target.clone(), &Value::Array(Vec::new())), Ok(target));
    }

    #[test]
    fn what_was_added_can_be_tested_and_removed(target in object(), key in "[x-z][x-z~/]{0,3}", added in value()) {
        let path = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        let patch = serde_json::json!([
            {"op": "add", "path": path, "value": added},
            {"op": "test", "path": path, "value": added},
            {"op": "remove", "path": path},
        ]);
        prop_assert_eq!(json::apply(target.clone(), &patch), Ok(target));
    }
}
