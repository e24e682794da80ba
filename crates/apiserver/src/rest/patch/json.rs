//! JSON patch (RFC 6902) on a value.
//!
//! ```text
//! [{"op":"test","path":"/spec/parallelism","value":2},
//!  {"op":"replace","path":"/spec/parallelism","value":4}]
//! ```
//!
//! All operations hold or none: the caller applies them to a copy. Error texts
//! are those that Kubernetes answers, which clients have been seen to match on.

use serde_json::Value;

use super::PatchError;

/// More operations than this in one patch are refused with 413.
pub const MAX_OPERATIONS: usize = 10_000;

#[derive(Debug, Clone, PartialEq)]
enum Operation {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

/// Applies `patch` (an array of operations) to `target`.
pub fn apply(target: Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Array(items) = patch else {
        return Err(PatchError::BadRequest(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
            super::go_kind(patch)
        )));
    };
    if items.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            items.len()
        )));
    }
    let mut document = target;
    for item in items {
        let operation = parse(item)?;
        step(&mut document, operation).map_err(PatchError::Unprocessable)?;
    }
    Ok(document)
}

fn parse(item: &Value) -> Result<Operation, PatchError> {
    let Value::Object(fields) = item else {
        return Err(PatchError::BadRequest(format!(
            "json: cannot unmarshal {} into Go value of type jsonpatch.Operation",
            super::go_kind(item)
        )));
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_string);
    let operation = text("op").unwrap_or_else(|| "unknown".to_string());
    let missing = |verb: &str, what: &str| {
        PatchError::Unprocessable(format!("{verb} operation failed to decode {what}: missing value"))
    };
    let path = || text("path").ok_or_else(|| missing(&operation, "path"));
    let from = || text("from").ok_or_else(|| missing(&operation, "from"));
    // An absent value means null, as in Kubernetes.
    let value = fields.get("value").cloned().unwrap_or(Value::Null);
    Ok(match operation.as_str() {
        "add" => Operation::Add { path: path()?, value },
        "remove" => Operation::Remove { path: path()? },
        "replace" => Operation::Replace { path: path()?, value },
        "move" => Operation::Move { from: from()?, path: path()? },
        "copy" => Operation::Copy { from: from()?, path: path()? },
        "test" => Operation::Test { path: path()?, value },
        other => return Err(PatchError::Unprocessable(format!("Unexpected kind: {other}"))),
    })
}

fn step(document: &mut Value, operation: Operation) -> Result<(), String> {
    match operation {
        Operation::Add { path, value } => add(document, &path, value),
        Operation::Remove { path } => remove(document, &path).map(drop),
        Operation::Replace { path, value } => replace(document, &path, value),
        Operation::Move { from, path } => {
            if path.starts_with(&format!("{from}/")) {
                return Err(format!("error in move for path: '{path}': a value cannot move into itself"));
            }
            let value = lookup(document, &from).cloned().ok_or_else(|| {
                format!("move operation does not apply: doc is missing from path: {from}: missing value")
            })?;
            remove(document, &from)?;
            insert(document, &path, value).map_err(|problem| match problem {
                Problem::NoParent => {
                    format!("move operation does not apply: doc is missing destination path: {path}: missing value")
                }
                Problem::Text(text) => format!("error in move for path: '{path}': {text}"),
            })
        }
        Operation::Copy { from, path } => {
            let value = lookup(document, &from).cloned().ok_or_else(|| {
                format!("copy operation does not apply: doc is missing from path: {from}: missing value")
            })?;
            insert(document, &path, value).map_err(|problem| match problem {
                Problem::NoParent => {
                    format!("copy operation does not apply: doc is missing destination path: {path}: missing value")
                }
                Problem::Text(text) => format!("error while adding value during copy: {text}"),
            })
        }
        Operation::Test { path, value } => match lookup(document, &path) {
            Some(found) if same(found, &value) => Ok(()),
            None if value.is_null() => Ok(()),
            _ => Err(format!("testing value {path} failed: test failed")),
        },
    }
}

enum Problem {
    NoParent,
    Text(String),
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    insert(document, path, value).map_err(|problem| match problem {
        Problem::NoParent => {
            format!("add operation does not apply: doc is missing path: \"{path}\": missing value")
        }
        Problem::Text(text) => format!("error in add for path: '{path}': {text}"),
    })
}

fn insert(document: &mut Value, path: &str, value: Value) -> Result<(), Problem> {
    let Some((parent, key)) = split(path) else {
        *document = value;
        return Ok(());
    };
    match document.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.insert(unescape(key), value);
            Ok(())
        }
        Some(Value::Array(items)) => {
            let at = match key {
                "-" => items.len(),
                _ => index(key, items.len() + 1).map_err(Problem::Text)?,
            };
            items.insert(at, value);
            Ok(())
        }
        _ => Err(Problem::NoParent),
    }
}

fn remove(document: &mut Value, path: &str) -> Result<Value, String> {
    let absent = || format!("remove operation does not apply: doc is missing path: \"{path}\": missing value");
    let (parent, key) = split(path).ok_or_else(absent)?;
    match document.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            let name = unescape(key);
            fields.remove(&name).ok_or_else(|| {
                format!("error in remove for path: '{path}': Unable to remove nonexistent key: {name}: missing value")
            })
        }
        Some(Value::Array(items)) => {
            let at = index(key, items.len()).map_err(|text| format!("error in remove for path: '{path}': {text}"))?;
            Ok(items.remove(at))
        }
        _ => Err(absent()),
    }
}

fn replace(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let Some((parent, _)) = split(path) else {
        *document = value;
        return Ok(());
    };
    if !document.pointer(parent).is_some_and(|at| at.is_object() || at.is_array()) {
        return Err(format!("replace operation does not apply: doc is missing path: {path}: missing value"));
    }
    match document.pointer_mut(path) {
        Some(found) => {
            *found = value;
            Ok(())
        }
        None => Err(format!("replace operation does not apply: doc is missing key: {path}: missing value")),
    }
}

fn lookup<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    document.pointer(path)
}

/// `/a/b` is (`/a`, `b`); the whole document has no parent.
fn split(path: &str) -> Option<(&str, &str)> {
    path.rfind('/').map(|at| (&path[..at], &path[at + 1..]))
}

fn unescape(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

fn index(key: &str, end: usize) -> Result<usize, String> {
    let at: i64 = key.parse().map_err(|_| {
        format!("value was not a proper array index: '{key}': strconv.Atoi: parsing \"{key}\": invalid syntax")
    })?;
    usize::try_from(at)
        .ok()
        .filter(|at| *at < end)
        .ok_or_else(|| format!("Unable to access invalid index: {at}: invalid index referenced"))
}

/// Equality of JSON values: numbers by value, not by how they are written.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(target: Value, patch: Value) -> Result<Value, PatchError> {
        apply(target, &patch)
    }

    #[test]
    fn every_operation_of_the_rfc() {
        let target = json!({"a": {"b": [1, 2]}, "c/d": 1, "e~f": 2});
        let patch = json!([
            {"op": "add", "path": "/a/b/1", "value": 9},
            {"op": "add", "path": "/a/b/-", "value": 8},
            {"op": "remove", "path": "/c~1d"},
            {"op": "replace", "path": "/e~0f", "value": {"x": null}},
            {"op": "copy", "from": "/a/b/0", "path": "/g"},
            {"op": "move", "from": "/g", "path": "/h"},
            {"op": "test", "path": "/h", "value": 1.0},
        ]);
        let want = json!({"a": {"b": [1, 9, 2, 8]}, "e~f": {"x": null}, "h": 1});
        assert_eq!(run(target, patch), Ok(want));
    }

    #[test]
    fn refusals_say_what_kubernetes_says() {
        let unprocessable = |patch: Value| match run(json!({"a": [1]}), patch) {
            Err(PatchError::Unprocessable(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            unprocessable(json!([{"op": "test", "path": "/a", "value": 2}])),
            "testing value /a failed: test failed"
        );
        assert_eq!(
            unprocessable(json!([{"op": "remove", "path": "/b"}])),
            "error in remove for path: '/b': Unable to remove nonexistent key: b: missing value"
        );
        assert_eq!(
            unprocessable(json!([{"op": "replace", "path": "/b/c", "value": 1}])),
            "replace operation does not apply: doc is missing path: /b/c: missing value"
        );
        assert_eq!(
            unprocessable(json!([{"op": "add", "path": "/a/7", "value": 1}])),
            "error in add for path: '/a/7': Unable to access invalid index: 7: invalid index referenced"
        );
        assert_eq!(unprocessable(json!([{"op": "fly", "path": "/a"}])), "Unexpected kind: fly");
    }

    #[test]
    fn an_object_is_no_patch_and_too_many_operations_are_refused() {
        assert!(matches!(run(json!({}), json!({})), Err(PatchError::BadRequest(_))));
        let many = Value::Array(vec![json!({"op": "test", "path": "", "value": {}}); MAX_OPERATIONS + 1]);
        assert!(matches!(run(json!({}), many), Err(PatchError::TooLarge(_))));
    }
}
