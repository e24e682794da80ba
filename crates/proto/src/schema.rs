//! What patches, OpenAPI and error texts need to know of each message of the kinds, generated from `proto/`.

/// One message.
#[derive(Debug, Clone, Copy)]
pub struct MessageSchema {
    /// The full protobuf name, "k8s.io.api.core.v1.PodSpec".
    pub name: &'static str,
    /// "batch/v1/Job" where the JSON has apiVersion and kind, else empty.
    pub root: &'static str,
    /// The JSON is the list `items` itself.
    pub wrapper: bool,
    /// The JSON is a string, number or free form (Time, Quantity, IntOrString, FieldsV1 ...).
    pub scalar: bool,
    pub doc: &'static str,
    pub fields: &'static [FieldSchema],
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub struct FieldSchema {
    pub json_name: &'static str,
    /// As errors name it: "int32", "[]v1.Container".
    pub go_type: &'static str,
    /// "string", "bool", "int32", "int64" or "bytes"; empty for messages.
    pub scalar: &'static str,
    /// The full name of the message (of the elements, of the map's values); empty for scalars.
    pub message_name: &'static str,
    pub repeated: bool,
    pub map: bool,
    /// The fields of the message appear in the object around it.
    pub inline: bool,
    pub required: bool,
    /// "merge", "replace", "retainKeys", comma separated; empty: a list is replaced as a whole.
    pub patch_strategy: &'static str,
    pub patch_merge_key: &'static str,
    pub doc: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/schema.rs"));

/// The message of this full protobuf name.
pub fn message(name: &str) -> Option<&'static MessageSchema> {
    MESSAGES.binary_search_by(|m| m.name.cmp(name)).ok().map(|i| &MESSAGES[i])
}

/// All messages, sorted by name.
pub fn messages() -> &'static [MessageSchema] {
    MESSAGES
}

impl MessageSchema {
    /// The field of this JSON name, inlined ones included.
    pub fn field(&self, json_name: &str) -> Option<&'static FieldSchema> {
        self.fields.iter().find(|f| !f.inline && f.json_name == json_name).or_else(|| {
            let mut inlined = self.fields.iter().filter(|f| f.inline);
            inlined.find_map(|f| message(f.message_name)?.field(json_name))
        })
    }
}
