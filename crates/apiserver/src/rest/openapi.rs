//! OpenAPI v3, generated from the proto descriptors: an index, and one document for
//! each group version.
//!
//! kubectl asks for it to learn whether PATCH of a kind knows `fieldValidation`
//! (`create`, `apply`, `edit`, `replace`) and for `explain`, which follows `$ref`s
//! from the path's `x-kubernetes-group-version-kind` into `components`.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use proto::schema::{FieldSchema, MessageSchema};
use serde_json::{Map, Value, json};

use super::discovery;
use api::kind::KindInfo;

/// The one form that kubectl reads version 2 in: gnostic's `openapi.v2.Document` as protobuf.
pub const V2_CONTENT_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// `/openapi/v2`: a document without definitions. kubectl asks for it where version 3 says nothing of a kind, as for the
/// `List` that `kubectl get -o yaml` prints, and passes over what it does not find there.
pub fn v2() -> Vec<u8> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Info {
        #[prost(string, tag = "1")]
        title: String,
        #[prost(string, tag = "2")]
        version: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Document {
        #[prost(string, tag = "1")]
        swagger: String,
        #[prost(message, optional, tag = "2")]
        info: Option<Info>,
    }
    let info = Info { title: "Kubernetes".to_owned(), version: "unversioned".to_owned() };
    prost::Message::encode_to_vec(&Document { swagger: "2.0".to_owned(), info: Some(info) })
}

/// `/openapi/v3`: paths of the documents, each with a hash of its content so that clients may keep it.
pub fn index(kinds: &[&'static KindInfo]) -> Value {
    let mut paths = Map::new();
    for (group, version) in discovery::groups(kinds) {
        let name = document_name(&group, &version);
        let mut hasher = DefaultHasher::new();
        document(kinds, &name).unwrap_or(Value::Null).to_string().hash(&mut hasher);
        let url = format!("/openapi/v3/{name}?hash={:016X}", hasher.finish());
        paths.insert(name, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

fn document_name(group: &str, version: &str) -> String {
    match group {
        "" => format!("api/{version}"),
        _ => format!("apis/{group}/{version}"),
    }
}

/// The document `api/v1`, `apis/batch/v1`; `None` for what is not served.
pub fn document(kinds: &[&'static KindInfo], name: &str) -> Option<Value> {
    let (group, version) = discovery::groups(kinds).into_iter().find(|(g, v)| document_name(g, v) == name)?;
    let mut paths = Map::new();
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    for info in kinds.iter().filter(|i| i.group == group && i.version == version) {
        let base = match info.namespaced {
            true => format!("/{name}/namespaces/{{namespace}}/{}", info.resource),
            false => format!("/{name}/{}", info.resource),
        };
        let gvk = json!({"group": info.group, "version": info.version, "kind": info.kind});
        let message = message_of(info);
        let reference = message.map_or_else(|| json!({}), |message| reference(message.name));
        paths.insert(base.clone(), collection_path(&gvk, &reference));
        paths.insert(format!("{base}/{{name}}"), object_path(&gvk, &reference));
        if let Some(message) = message {
            collect(message, Some(&gvk), &mut schemas);
        }
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

/// The message whose JSON is the kind's.
pub fn message_of(info: &KindInfo) -> Option<&'static MessageSchema> {
    let root = format!("{}/{}", info.api_version(), info.kind);
    proto::schema::messages().iter().find(|message| message.root == root)
}

fn operation(action: &str, gvk: &Value, parameters: &[&str], body: Option<Value>, answer: &Value) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    let content = |schema: &Value| json!({"application/json": {"schema": schema}});
    let mut operation = json!({
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": content(answer)}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    });
    if let Some(body) = body {
        operation["requestBody"] = json!({"content": body});
    }
    operation
}

const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETE: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];

fn collection_path(gvk: &Value, reference: &Value) -> Value {
    let body = json!({"*/*": {"schema": reference}});
    json!({
        "get": operation("list", gvk, LIST, None, &json!({"type": "object"})),
        "post": operation("post", gvk, WRITE, Some(body), reference),
    })
}

fn object_path(gvk: &Value, reference: &Value) -> Value {
    let body = json!({"*/*": {"schema": reference}});
    let patch = json!({
        "application/json-patch+json": {"schema": {"type": "array"}},
        "application/merge-patch+json": {"schema": {"type": "object"}},
        "application/strategic-merge-patch+json": {"schema": {"type": "object"}},
    });
    json!({
        "get": operation("get", gvk, &[], None, reference),
        "put": operation("put", gvk, WRITE, Some(body), reference),
        "patch": operation("patch", gvk, PATCH, Some(patch), reference),
        "delete": operation("delete", gvk, DELETE, None, &json!({"type": "object"})),
    })
}

/// `k8s.io.api.batch.v1.Job` is `io.k8s.api.batch.v1.Job` in OpenAPI.
fn schema_name(message: &str) -> String {
    match message.strip_prefix("k8s.io.") {
        Some(rest) => format!("io.k8s.{rest}"),
        None => message.to_string(),
    }
}

fn reference(message: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{}", schema_name(message))})
}

/// Adds the schema of `message` and of all messages that it reaches.
fn collect(message: &'static MessageSchema, gvk: Option<&Value>, schemas: &mut BTreeMap<String, Value>) {
    let name = schema_name(message.name);
    if schemas.contains_key(&name) {
        return;
    }
    schemas.insert(name.clone(), Value::Null);
    let mut schema = json!({"description": message.doc});
    if message.scalar {
        describe_scalar(message.name, &mut schema);
    } else {
        let mut properties = Map::new();
        let mut required = Vec::new();
        if !message.root.is_empty() {
            let text = json!({"type": "string"});
            properties.insert("apiVersion".to_string(), text.clone());
            properties.insert("kind".to_string(), text);
        }
        add_properties(message, &mut properties, &mut required, schemas);
        schema["type"] = json!("object");
        schema["properties"] = Value::Object(properties);
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
    }
    if let Some(gvk) = gvk {
        schema["x-kubernetes-group-version-kind"] = json!([gvk]);
    }
    schemas.insert(name, schema);
}

fn add_properties(
    message: &'static MessageSchema,
    properties: &mut Map<String, Value>,
    required: &mut Vec<&'static str>,
    schemas: &mut BTreeMap<String, Value>,
) {
    for field in message.fields {
        let inner = proto::schema::message(field.message_name);
        if field.inline {
            if let Some(inner) = inner {
                add_properties(inner, properties, required, schemas);
            }
            continue;
        }
        if let Some(inner) = inner {
            collect(inner, None, schemas);
        }
        if field.required {
            required.push(field.json_name);
        }
        properties.insert(field.json_name.to_string(), property(field, inner));
    }
}

fn property(field: &FieldSchema, inner: Option<&'static MessageSchema>) -> Value {
    let one = match inner {
        Some(inner) if inner.wrapper => json!({"type": "array", "items": {"type": "string"}}),
        Some(inner) => reference(inner.name),
        None => scalar(field.scalar),
    };
    let mut value = match (field.map, field.repeated) {
        (true, _) => json!({"type": "object", "additionalProperties": one}),
        (_, true) => json!({"type": "array", "items": one}),
        // Beside a `$ref` nothing else counts, so it goes into an `allOf`.
        _ if one.get("$ref").is_some() => json!({"allOf": [one], "default": {}}),
        _ => one,
    };
    value["description"] = json!(field.doc);
    if !field.patch_strategy.is_empty() {
        value["x-kubernetes-patch-strategy"] = json!(field.patch_strategy);
    }
    if !field.patch_merge_key.is_empty() {
        value["x-kubernetes-patch-merge-key"] = json!(field.patch_merge_key);
    }
    value
}

fn scalar(name: &str) -> Value {
    match name {
        "bool" => json!({"type": "boolean"}),
        "int32" | "int64" => json!({"type": "integer", "format": name}),
        "bytes" => json!({"type": "string", "format": "byte"}),
        _ => json!({"type": "string"}),
    }
}

/// Messages whose JSON is no object of fields.
fn describe_scalar(name: &str, schema: &mut Value) {
    match name.rsplit('.').next().unwrap_or_default() {
        "Time" | "MicroTime" => {
            schema["type"] = json!("string");
            schema["format"] = json!("date-time");
        }
        "IntOrString" => {
            schema["format"] = json!("int-or-string");
            schema["oneOf"] = json!([{"type": "integer"}, {"type": "string"}]);
        }
        "Quantity" => schema["oneOf"] = json!([{"type": "string"}, {"type": "number"}]),
        _ => schema["type"] = json!("object"),
    }
}
