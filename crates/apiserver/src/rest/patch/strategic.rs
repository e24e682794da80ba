//! Strategic merge patch: a merge patch that knows which lists are maps in disguise.
//!
//! ```text
//! current  containers: [{name: a, image: 1}, {name: b, image: 2}]        merge key: name
//! patch    containers: [{name: b, image: 3}, {name: a, $patch: delete}]
//! result   containers: [{name: b, image: 3}]
//! ```
//!
//! Directives: `$patch: merge|replace|delete`, `$retainKeys: [..]` beside the fields that stay,
//! `$setElementOrder/<list>: [..]` and `$deleteFromPrimitiveList/<list>: [..]` beside the list.
//! Merge keys come from the proto files through [`proto::schema`]; a list without one is replaced.

use serde_json::{Map, Value};

use super::PatchError;
use super::schema::{Shape, lookup};

type Fields = Map<String, Value>;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// Applies `patch` to `target`, an object of the message `message`
/// (`k8s.io.api.batch.v1.Job`).
pub fn apply(target: Value, patch: &Value, message: &str) -> Result<Value, PatchError> {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => merge_map(target, patch, Some(message)).map(Value::Object),
        (_, patch) if !patch.is_object() => Err(PatchError::BadRequest(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            super::go_kind(patch)
        ))),
        _ => Err(PatchError::BadRequest("invalid JSON document".to_string())),
    }
}

fn merge_map(mut target: Fields, patch: &Fields, message: Option<&str>) -> Result<Fields, PatchError> {
    match patch.get(PATCH).map(Value::as_str) {
        None | Some(Some("merge")) => {}
        Some(Some("replace")) => return Ok(without_directives(patch)),
        Some(Some("delete")) => return Ok(Fields::new()),
        Some(_) => return Err(unknown_directive(patch)),
    }
    retain_keys(&mut target, patch)?;
    for (name, change) in patch {
        if name == PATCH || name == RETAIN_KEYS {
            continue;
        }
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            let gone = change
                .as_array()
                .ok_or_else(|| PatchError::BadRequest("invalid patch format of primitive list".to_string()))?;
            if let Some(Value::Array(items)) = target.get_mut(list) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if let Some(list) = name.strip_prefix(SET_ORDER) {
            // Where the list itself is patched too, its order is set after the merge below.
            if !patch.contains_key(list) {
                set_order_alone(&mut target, list, change, message)?;
            }
            continue;
        }
        merge_field(&mut target, name, change, patch, message)?;
    }
    Ok(target)
}

fn merge_field(
    target: &mut Fields,
    name: &str,
    change: &Value,
    patch: &Fields,
    message: Option<&str>,
) -> Result<(), PatchError> {
    let shape = message.and_then(|message| lookup(message, name)).unwrap_or_default();
    match (target.remove(name), change) {
        (_, Value::Null) => {}
        (before, Value::Object(change)) => {
            let before = match before {
                Some(Value::Object(before)) => before,
                None | Some(Value::Null) => Fields::new(),
                Some(_) => Fields::new(),
            };
            // Deleting a map by its directive leaves it empty, as Kubernetes does.
            let merged = merge_map(before, change, shape.message)?;
            target.insert(name.to_string(), Value::Object(merged));
        }
        (before, Value::Array(change)) => {
            let before = match before {
                Some(Value::Array(before)) => before,
                _ => Vec::new(),
            };
            let order = patch.get(&format!("{SET_ORDER}{name}"));
            let merged = merge_list(before, change, &shape, order)?;
            target.insert(name.to_string(), Value::Array(merged));
        }
        (_, change) => {
            target.insert(name.to_string(), change.clone());
        }
    }
    Ok(())
}

fn merge_list(
    before: Vec<Value>,
    change: &[Value],
    shape: &Shape,
    order: Option<&Value>,
) -> Result<Vec<Value>, PatchError> {
    if !shape.merge {
        return Ok(change.iter().map(stripped).collect());
    }
    let Some(key) = shape.merge_key else {
        let mut merged = before;
        for item in change {
            if item.is_array() {
                return Err(PatchError::Unprocessable("lists of lists are not supported".to_string()));
            }
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return match order {
            Some(order) => Ok(ordered(merged, order_list(order)?, Clone::clone)),
            None => Ok(merged),
        };
    };
    let merged = merge_by_key(before, change, key, shape.message)?;
    match order {
        Some(order) => Ok(ordered_by_key(merged, order_list(order)?, key)),
        None => Ok(merged),
    }
}

fn merge_by_key(
    before: Vec<Value>,
    change: &[Value],
    key: &str,
    message: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    let mut patches = Vec::with_capacity(change.len());
    let mut replace = false;
    let mut merged = before;
    for item in change {
        let Value::Object(fields) = item else {
            return Err(PatchError::Internal(format!("expected a map, but received a {}", super::go_kind(item))));
        };
        match fields.get(PATCH).map(Value::as_str) {
            Some(Some("delete")) => {
                let at = merge_value(fields, key)?;
                merged.retain(|item| item.get(key) != Some(at));
            }
            // `- $patch: replace` alone says: the other elements are the whole list.
            Some(Some("replace")) => {
                replace = true;
                if fields.len() > 1 {
                    patches.push(fields);
                }
            }
            None | Some(Some("merge")) => patches.push(fields),
            Some(_) => return Err(unknown_directive(fields)),
        }
    }
    if replace {
        return Ok(patches.into_iter().map(|fields| Value::Object(without_directives(fields))).collect());
    }
    for fields in patches {
        let at = merge_value(fields, key)?;
        match merged.iter().position(|item| item.get(key) == Some(at)) {
            Some(found) => {
                let Value::Object(before) = merged[found].take() else { continue };
                merged[found] = Value::Object(merge_map(before, fields, message)?);
            }
            None => merged.push(Value::Object(merge_map(Fields::new(), fields, message)?)),
        }
    }
    Ok(merged)
}

fn merge_value<'a>(fields: &'a Fields, key: &str) -> Result<&'a Value, PatchError> {
    fields.get(key).ok_or_else(|| {
        PatchError::Internal(format!("map: {} does not contain declared merge key: {key}", go_map(fields)))
    })
}

fn retain_keys(target: &mut Fields, patch: &Fields) -> Result<(), PatchError> {
    let Some(retained) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let retained =
        retained.as_array().ok_or_else(|| PatchError::BadRequest("invalid patch format of retainKeys".to_string()))?;
    let keeps = |name: &str| retained.iter().any(|kept| kept.as_str() == Some(name));
    let listed = |name: &str| name.starts_with('$') || keeps(name);
    if patch.iter().any(|(name, change)| !change.is_null() && !listed(name)) {
        return Err(PatchError::Unprocessable("patch content doesn't match retainKeys list".to_string()));
    }
    target.retain(|name, _| keeps(name));
    Ok(())
}

fn set_order_alone(target: &mut Fields, list: &str, order: &Value, message: Option<&str>) -> Result<(), PatchError> {
    let order = order_list(order)?;
    let shape = message.and_then(|message| lookup(message, list)).unwrap_or_default();
    let Some(Value::Array(items)) = target.get_mut(list) else { return Ok(()) };
    let items_before = std::mem::take(items);
    *items = match (shape.merge, shape.merge_key) {
        (true, Some(key)) => ordered_by_key(items_before, order, key),
        (true, None) => ordered(items_before, order, Clone::clone),
        (false, _) => items_before,
    };
    Ok(())
}

fn order_list(order: &Value) -> Result<&[Value], PatchError> {
    order
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| PatchError::BadRequest("invalid patch format of setElementOrder list".to_string()))
}

fn ordered_by_key(items: Vec<Value>, order: &[Value], key: &str) -> Vec<Value> {
    let wanted: Vec<Value> = order.iter().filter_map(|item| item.get(key).cloned()).collect();
    ordered(items, &wanted, |item| item.get(key).cloned().unwrap_or(Value::Null))
}

/// Elements that the order names come in that order; a server-only element stays
/// before the first named one that followed it.
fn ordered(items: Vec<Value>, order: &[Value], key: impl Fn(&Value) -> Value) -> Vec<Value> {
    let rank = |item: &Value| order.iter().position(|wanted| *wanted == key(item));
    let mut named: Vec<(usize, usize, Value)> = Vec::new();
    let mut others: Vec<(usize, Value)> = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        match rank(&item) {
            Some(rank) => named.push((rank, at, item)),
            None => others.push((at, item)),
        }
    }
    named.sort_by_key(|(rank, at, _)| (*rank, *at));
    let mut result = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, at, item) in named {
        while let Some((_, other)) = others.next_if(|(place, _)| *place < at) {
            result.push(other);
        }
        result.push(item);
    }
    result.extend(others.map(|(_, other)| other));
    result
}

fn without_directives(fields: &Fields) -> Fields {
    fields
        .iter()
        .filter(|(name, value)| !name.starts_with('$') && !value.is_null())
        .map(|(name, value)| (name.clone(), stripped(value)))
        .collect()
}

/// What a patch's new subtree is as content: directives out, nulls out of maps.
fn stripped(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(without_directives(fields)),
        Value::Array(items) => Value::Array(items.iter().map(stripped).collect()),
        other => other.clone(),
    }
}

fn unknown_directive(fields: &Fields) -> PatchError {
    match fields.get(PATCH).and_then(Value::as_str) {
        Some(directive) => PatchError::Internal(format!("unknown patch type: {directive} in map: {}", go_map(fields))),
        None => PatchError::Internal(format!("unknown patch type: <nil> in map: {}", go_map(fields))),
    }
}

/// A map as Go prints it: `map[a:1 b:x]`.
pub fn go_map(fields: &Fields) -> String {
    let mut parts: Vec<(&String, String)> = fields.iter().map(|(k, v)| (k, go_value(v))).collect();
    parts.sort();
    let parts: Vec<String> = parts.into_iter().map(|(k, v)| format!("{k}:{v}")).collect();
    format!("map[{}]", parts.join(" "))
}

fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_string(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => go_map(fields),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "strategic_tests.rs"]
mod tests;
