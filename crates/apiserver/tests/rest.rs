//! The REST face as clients use it: tables, pages, selectors, watches, patches, deletes, other encodings.

mod face;
mod plane;

use std::time::Duration;

use face::{Answer, get, open, post, send};
use http_body_util::BodyExt;
use serde_json::{Value, json};

const TABLE: &[(&str, &str)] = &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];

fn config_map(name: &str, label: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"k": label}}, "data": {"a": "1"}})
}

async fn filled(plane: &plane::Plane, prefix: &str) -> String {
    let namespace = plane::namespace(plane, prefix).await;
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    for (name, label) in [("m1", "x"), ("m2", "y"), ("m3", "x")] {
        let made = post(plane.address, &maps, &config_map(name, label)).await;
        assert_eq!(made.code, 201, "{}", made.text());
    }
    maps
}

fn names(list: &Answer) -> Vec<String> {
    let list = list.json();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name").to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_pages_and_tables() {
    let plane = plane::start().await;
    let maps = filled(&plane, "lists").await;
    let server = plane.address;
    let own = "fieldSelector=metadata.name%21%3Dkube-root-ca.crt";

    assert_eq!(names(&get(server, &format!("{maps}?{own}")).await), ["m1", "m2", "m3"]);
    assert_eq!(names(&get(server, &format!("{maps}?labelSelector=k%3Dx")).await), ["m1", "m3"]);
    assert_eq!(names(&get(server, &format!("{maps}?fieldSelector=metadata.name%3Dm2")).await), ["m2"]);

    let first = get(server, &format!("{maps}?limit=2")).await;
    let token = first.json()["metadata"]["continue"].as_str().expect("more").to_string();
    assert_eq!(first.json()["metadata"]["remainingItemCount"], 2);
    let second = get(server, &format!("{maps}?limit=2&continue={token}")).await;
    assert_eq!([names(&first), names(&second)].concat(), ["kube-root-ca.crt", "m1", "m2", "m3"]);
    assert_eq!(second.json()["metadata"]["continue"], Value::Null);

    let table = send(server, "GET", &format!("{maps}?{own}"), TABLE, "").await.json();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"].as_array().unwrap()[..2], [json!("m1"), json!("1")]);
    assert_eq!(table["rows"].as_array().unwrap().len(), 3);
    let one = send(server, "GET", &format!("{maps}/m1?includeObject=None"), TABLE, "").await.json();
    assert_eq!(one["rows"][0]["object"], Value::Null);

    let partial = [("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")];
    let list = send(server, "GET", &maps, &partial, "").await.json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][1]["data"], Value::Null);
    let yaml = send(server, "GET", &format!("{maps}/m1"), &[("accept", "application/yaml")], "").await;
    assert!(yaml.text().contains("name: m1"), "{}", yaml.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_there_and_back() {
    use prost::Message;
    use proto::core_v1::{ConfigMap, ConfigMapList};

    let plane = plane::start().await;
    let maps = filled(&plane, "protobuf").await;
    let accept = [("accept", "application/vnd.kubernetes.protobuf,application/json")];
    // The envelope's second field is the message; what stands before is `k8s\0` and the type.
    let raw = |answer: &Answer, api_version: &str, kind: &str| {
        assert_eq!(answer.content_type(), "application/vnd.kubernetes.protobuf");
        let head =
            [&[0x0a, api_version.len() as u8][..], api_version.as_bytes(), &[0x12, kind.len() as u8], kind.as_bytes()];
        let head = head.concat();
        let rest = &answer.body[4 + 2 + head.len()..];
        assert_eq!((&answer.body[..4], rest[0]), (&b"k8s\0"[..], 0x12));
        let mut rest = &rest[1..];
        prost::encoding::decode_varint(&mut rest).expect("a length");
        rest.to_vec()
    };
    let one = send(plane.address, "GET", &format!("{maps}/m1"), &accept, "").await;
    let one = ConfigMap::decode(&raw(&one, "v1", "ConfigMap")[..]).expect("a ConfigMap");
    assert_eq!(one.data["a"], "1");
    let all = send(plane.address, "GET", &maps, &accept, "").await;
    let all = ConfigMapList::decode(&raw(&all, "v1", "ConfigMapList")[..]).expect("a list");
    assert_eq!(all.items.len(), 4);
    assert_eq!(all.items[1], one);
}

/// Reads `count` events of a watch.
async fn events(body: &mut hyper::body::Incoming, count: usize) -> Vec<Value> {
    let (mut text, mut events) = (Vec::new(), Vec::new());
    while events.len() < count {
        let frame = tokio::time::timeout(Duration::from_secs(60), body.frame()).await.expect("in time");
        text.extend_from_slice(&frame.expect("more").expect("a frame").into_data().expect("data"));
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            events.push(serde_json::from_slice(&line).expect("JSON"));
        }
    }
    events
}

fn told(event: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_stream_changes_bookmarks_and_errors() {
    let plane = plane::start().await;
    let maps = filled(&plane, "watch").await;
    let server = plane.address;
    let initial = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let path = format!("{maps}?{initial}&labelSelector=k%3Dx&timeoutSeconds=120");
    let mut watch = open(server, "GET", &path, &[], "").await;
    assert_eq!(watch.headers()["content-type"], "application/json");
    let first = events(watch.body_mut(), 3).await;
    assert_eq!(told(&first[0]), ("ADDED".into(), "m1".into()));
    assert_eq!(told(&first[1]), ("ADDED".into(), "m3".into()));
    assert_eq!(first[2]["type"], "BOOKMARK");
    assert_eq!(first[2]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");

    // A selector's watch shows what begins and what stops to match.
    let merge = [("content-type", "application/merge-patch+json")];
    for (name, label) in [("m2", "x"), ("m1", "y")] {
        let patch = json!({"metadata": {"labels": {"k": label}}}).to_string();
        assert_eq!(send(server, "PATCH", &format!("{maps}/{name}"), &merge, patch).await.code, 200);
    }
    assert_eq!(send(server, "DELETE", &format!("{maps}/m3"), &[], "").await.code, 200);
    let next = events(watch.body_mut(), 3).await;
    assert_eq!(
        next.iter().map(told).collect::<Vec<_>>(),
        [("ADDED".into(), "m2".into()), ("DELETED".into(), "m1".into()), ("DELETED".into(), "m3".into()),]
            as [(String, String); 3]
    );

    let mut tables = open(server, "GET", &format!("{maps}?watch=1&timeoutSeconds=3"), TABLE, "").await;
    let shown = events(tables.body_mut(), 2).await;
    assert!(shown[0]["object"]["columnDefinitions"].is_array());
    assert!(shown[1]["object"]["columnDefinitions"].is_null());
    let started = std::time::Instant::now();
    tables.into_body().collect().await.expect("ends cleanly");
    assert!(started.elapsed() < Duration::from_secs(20), "timeoutSeconds ends it");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_speak_protobuf_too() {
    use prost::Message;

    let plane = plane::start().await;
    let maps = filled(&plane, "frames").await;
    let accept = [("accept", "application/vnd.kubernetes.protobuf;stream=watch")];
    let path = format!("{maps}?watch=true&fieldSelector=metadata.name%3Dm2&timeoutSeconds=3");
    let watch = send(plane.address, "GET", &path, &accept, "").await;
    assert_eq!(watch.content_type(), "application/vnd.kubernetes.protobuf;stream=watch");
    // A length of four bytes, then `k8s\0`; one event here, with the object's own envelope inside.
    let (length, frame) = watch.body.split_at(4);
    assert_eq!(u32::from_be_bytes(length.try_into().expect("four")) as usize, frame.len());
    assert_eq!(&frame[..4], b"k8s\0");
    let at = frame.windows(4).rposition(|window| window == b"k8s\0").expect("the object's envelope");
    let inner = proto::runtime::Unknown::decode(&frame[at + 4..]).expect("an envelope");
    let map = proto::core_v1::ConfigMap::decode(&inner.raw[..]).expect("a ConfigMap");
    assert_eq!(map.metadata.expect("metadata").name, "m2");
    assert!(frame.windows(5).any(|window| window == b"ADDED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_updates_and_deletes() {
    let plane = plane::start().await;
    let maps = filled(&plane, "writes").await;
    let (server, one) = (plane.address, format!("{maps}/m1"));
    let patch = async |kind: &str, body: Value| {
        let headers = [("content-type", kind)];
        send(server, "PATCH", &one, &headers, body.to_string()).await
    };
    let merged = patch("application/merge-patch+json", json!({"data": {"b": "2"}})).await.json();
    assert_eq!(merged["data"], json!({"a": "1", "b": "2"}));
    let operations = json!([{"op": "test", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/a"}]);
    let patched = patch("application/json-patch+json", operations.clone()).await.json();
    assert_eq!(patched["data"], json!({"b": "2"}));
    let again = patch("application/json-patch+json", operations).await;
    assert_eq!(again.status().0, 422);
    let finalizers = json!({"metadata": {"finalizers": ["raftsman.io/a"]}});
    assert_eq!(patch("application/strategic-merge-patch+json", finalizers).await.code, 200);

    let mut put = get(server, &one).await.json();
    put["data"] = json!({"c": "3"});
    put["metadata"]["name"] = json!("other");
    let text = "the name of the object (other) does not match the name on the URL (m1)";
    assert_eq!(send(server, "PUT", &one, face::JSON, put.to_string()).await.status().2, text);
    put["metadata"]["name"] = json!("m1");
    let stored = send(server, "PUT", &format!("{one}?dryRun=All"), face::JSON, put.to_string()).await.json();
    assert_eq!(stored["data"], json!({"c": "3"}));
    assert_eq!(get(server, &one).await.json()["data"], json!({"b": "2"}), "a dry run stores nothing");

    let options = json!({"preconditions": {"uid": "another"}}).to_string();
    assert_eq!(send(server, "DELETE", &one, face::JSON, options).await.status().0, 409);
    let held = send(server, "DELETE", &format!("{one}?propagationPolicy=Background"), &[], "").await.json();
    assert!(held["metadata"]["deletionTimestamp"].is_string(), "{held}");
    let released = patch("application/merge-patch+json", json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(released.code, 200);
    assert_eq!(get(server, &one).await.status().0, 404);
    let gone = send(server, "DELETE", &format!("{maps}/m2"), &[], "").await.json();
    assert_eq!((&gone["status"], &gone["details"]["name"]), (&json!("Success"), &json!("m2")));
    assert_eq!(names(&send(server, "DELETE", &format!("{maps}?labelSelector=k%3Dx"), &[], "").await), ["m3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_and_documents() {
    let plane = plane::start().await;
    let server = plane.address;
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let all = send(server, "GET", "/apis", &accept, "").await;
    assert_eq!(all.content_type(), "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    assert_eq!(all.json()["items"][0]["metadata"]["name"], "batch");
    let core = get(server, "/api/v1").await.json();
    let resources = core["resources"].as_array().unwrap();
    let eviction = resources.iter().find(|resource| resource["name"] == "pods/eviction").expect("listed");
    assert_eq!((&eviction["group"], &eviction["kind"]), (&json!("policy"), &json!("Eviction")));

    let index = get(server, "/openapi/v3").await.json();
    let url = index["paths"]["apis/batch/v1"]["serverRelativeURL"].as_str().expect("a URL").to_string();
    let document = get(server, &url).await.json();
    let patch = &document["paths"]["/apis/batch/v1/namespaces/{namespace}/jobs/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Job");
    assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for schema in schemas.values() {
        each_reference(schema, &|name| assert!(schemas.contains_key(name), "{name} is missing"));
    }
    assert_eq!(get(server, "/version/").await.json()["minor"], "36");
    assert_eq!(get(server, "/readyz").await.text(), "ok");
    assert!(get(server, "/metrics").await.text().contains("apiserver_request_total"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_two_views() {
    let plane = plane::start().await;
    let namespace = plane::namespace(&plane, "events").await;
    let (core, view) = (
        format!("/api/v1/namespaces/{namespace}/events"),
        format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"),
    );
    let involved = json!({"kind": "Job", "namespace": namespace, "name": "pi", "apiVersion": "batch/v1"});
    let event = json!({"metadata": {"name": "e"}, "involvedObject": involved, "reason": "Completed",
        "message": "Job completed", "type": "Normal", "source": {"component": "job-controller"}, "count": 2});
    assert_eq!(post(plane.address, &core, &event).await.code, 201);

    let shown = get(plane.address, &format!("{view}/e")).await.json();
    assert_eq!((&shown["apiVersion"], &shown["kind"]), (&json!("events.k8s.io/v1"), &json!("Event")));
    assert_eq!(shown["regarding"]["name"], "pi");
    assert_eq!((&shown["note"], &shown["deprecatedCount"]), (&json!("Job completed"), &json!(2)));
    assert_eq!(shown["message"], Value::Null);
    let listed = get(plane.address, &format!("{view}?fieldSelector=regarding.name%3Dpi")).await;
    assert_eq!(listed.json()["kind"], "EventList");
    assert_eq!(names(&listed), ["e"]);
    let table = send(plane.address, "GET", &view, TABLE, "").await.json();
    assert_eq!(table["rows"][0]["cells"][3], "job/pi");

    let patch = json!({"note": "Job done"}).to_string();
    let headers = [("content-type", "application/merge-patch+json")];
    assert_eq!(send(plane.address, "PATCH", &format!("{view}/e"), &headers, patch).await.json()["note"], "Job done");
    assert_eq!(get(plane.address, &format!("{core}/e")).await.json()["message"], "Job done");
    let mut strange = shown;
    strange["message"] = json!("x");
    let strict = format!("{view}/e?fieldValidation=Strict");
    let refused = send(plane.address, "PUT", &strict, face::JSON, strange.to_string()).await;
    let text = r#"Event in version "v1" cannot be handled as a Event: strict decoding error: unknown field "message""#;
    assert_eq!(refused.status().2, text);
}

fn each_reference(value: &Value, check: &dyn Fn(&str)) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                check(reference.strip_prefix("#/components/schemas/").expect("a schema"));
            }
            fields.values().for_each(|value| each_reference(value, check));
        }
        Value::Array(items) => items.iter().for_each(|value| each_reference(value, check)),
        _ => {}
    }
}
