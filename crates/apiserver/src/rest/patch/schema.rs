//! What a patch must know of a field, read from the proto descriptors.

/// A field as strategic merge sees it. The default is an unknown field: replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// The list merges (by `merge_key`, or as a set of primitives) instead of being replaced.
    pub merge: bool,
    pub merge_key: Option<&'static str>,
    /// The message of the value or of the list's elements.
    pub message: Option<&'static str>,
}

/// The field `name` of `message`, inlined messages included.
pub fn lookup(message: &str, name: &str) -> Option<Shape> {
    let field = proto::schema::message(message)?.field(name)?;
    let present = |text: &'static str| Some(text).filter(|text| !text.is_empty());
    Some(Shape {
        merge: field.patch_strategy.split(',').any(|part| part == "merge"),
        merge_key: present(field.patch_merge_key),
        message: present(field.message_name).filter(|_| !field.map),
    })
}
