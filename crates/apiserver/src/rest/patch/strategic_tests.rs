use super::*;
use serde_json::json;

const JOB: &str = "k8s.io.api.batch.v1.Job";

fn job(containers: Value) -> Value {
    json!({"metadata": {"name": "j", "finalizers": ["a", "b"]}, "spec": {"template": {"spec": {"containers": containers}}}})
}

fn patched(target: Value, patch: Value) -> Value {
    apply(target, &patch, JOB).expect("applies")
}

#[test]
fn lists_with_a_merge_key_merge_by_it() {
    let target =
        job(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2", "env": [{"name": "X", "value": "1"}]}]));
    let patch = job(json!([{"name": "b", "image": "3", "env": [{"name": "Y", "value": "2"}]}, {"name": "c"}]));
    let got = patched(target, patch);
    assert_eq!(
        got["spec"]["template"]["spec"]["containers"],
        json!([
            {"name": "a", "image": "1"},
            {"name": "b", "image": "3", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
            {"name": "c"}
        ])
    );
}

#[test]
fn directives_delete_replace_and_order() {
    let target = job(json!([{"name": "a", "command": ["x", "y"]}, {"name": "b"}, {"name": "c"}]));
    let patch = json!({"spec": {"template": {"spec": {
        "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
        "containers": [{"name": "b", "$patch": "delete"}, {"name": "a", "command": ["z"]}]
    }}}});
    let got = patched(target.clone(), patch);
    assert_eq!(got["spec"]["template"]["spec"]["containers"], json!([{"name": "c"}, {"name": "a", "command": ["z"]}]));
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"$patch": "replace"}, {"name": "n"}]}}}});
    assert_eq!(patched(target, patch)["spec"]["template"]["spec"]["containers"], json!([{"name": "n"}]));
}

#[test]
fn primitive_lists_merge_and_lose_elements() {
    let patch = json!({"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}});
    assert_eq!(patched(job(json!([])), patch)["metadata"]["finalizers"], json!(["b", "c"]));
}

#[test]
fn retain_keys_drops_the_other_volume_source() {
    let target = json!({"spec": {"template": {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}}});
    let patch = json!({"spec": {"template": {"spec": {"volumes": [
        {"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}
    ]}}}});
    assert_eq!(
        patched(target, patch)["spec"]["template"]["spec"]["volumes"],
        json!([{"name": "v", "hostPath": {"path": "/x"}}])
    );
}

#[test]
fn null_deletes_and_maps_of_strings_merge() {
    let target = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"parallelism": 2}});
    let patch = json!({"metadata": {"labels": {"a": null, "c": "3"}}, "spec": {"parallelism": null}});
    assert_eq!(patched(target, patch), json!({"metadata": {"labels": {"b": "2", "c": "3"}}, "spec": {}}));
}

#[test]
fn refusals() {
    let refused = |patch: Value| apply(job(json!([{"name": "a"}])), &patch, JOB).expect_err("refused");
    assert_eq!(
        refused(job(json!([{"image": "1"}]))),
        PatchError::Internal("map: map[image:1] does not contain declared merge key: name".to_string())
    );
    assert_eq!(
        refused(json!({"spec": {"$patch": "fly"}})),
        PatchError::Internal("unknown patch type: fly in map: map[$patch:fly]".to_string())
    );
    assert!(matches!(refused(json!([])), PatchError::BadRequest(_)));
}
