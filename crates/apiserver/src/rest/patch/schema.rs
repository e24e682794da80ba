//! What a patch must know of a field, read from the proto descriptors.

/// A field as strategic merge sees it. The default is an unknown field: replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// The list merges (by `merge_key`, or as a set of primitives) instead of being replaced.
    pub merge: bool,
    pub merge_key: Option<String>,
    /// The message of the value or of the list's elements.
    pub message: Option<String>,
}

/// The field `name` of `message`, inlined messages included.
pub fn lookup(message: &str, name: &str) -> Option<Shape> {
    let schema = proto::schema::message(message)?;
    for field in schema.fields {
        if field.inline {
            if let Some(found) = field.message_name.and_then(|inner| lookup(inner, name)) {
                return Some(found);
            }
        } else if field.json_name == name {
            let strategy = field.patch_strategy.unwrap_or_default();
            return Some(Shape {
                merge: strategy.split(',').any(|part| part == "merge"),
                merge_key: field.patch_merge_key.map(str::to_string),
                message: field.message_name.filter(|_| !field.map).map(str::to_string),
            });
        }
    }
    None
}
