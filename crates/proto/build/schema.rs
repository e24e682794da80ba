//! Emits the schema table: what strategic merge patches and OpenAPI documents need to know of each message.

use crate::json::{field_rules, go_type, message_rules, messages};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use std::fmt::Write;

pub fn generate(pool: &DescriptorPool) -> String {
    let mut out = String::from("pub(super) static MESSAGES: &[MessageSchema] = &[\n");
    for message in messages(pool) {
        let (root, wrapper, scalar) = message_rules(&message);
        writeln!(
            out,
            "MessageSchema {{ name: {:?}, root: {root:?}, wrapper: {wrapper}, scalar: {scalar}, doc: {:?}, fields: &[",
            message.full_name(),
            comment(&message, message.path()),
        )
        .expect("write to a String");
        for field in message.fields() {
            let rules = field_rules(&field);
            let value = match field.is_map() {
                true => match field.kind() {
                    Kind::Message(entry) => entry.map_entry_value_field().kind(),
                    kind => kind,
                },
                false => field.kind(),
            };
            let name = match &value {
                Kind::Message(m) => m.full_name().to_owned(),
                _ => String::new(),
            };
            writeln!(
                out,
                "FieldSchema {{ json_name: {:?}, go_type: {:?}, scalar: {:?}, message_name: {name:?}, repeated: {}, map: {}, inline: {}, \
                 required: {}, patch_strategy: {:?}, patch_merge_key: {:?}, doc: {:?} }},",
                rules.json,
                go_type(&field, &rules),
                if name.is_empty() { format!("{value:?}").to_lowercase() } else { String::new() },
                field.is_list(),
                field.is_map(),
                rules.inline,
                rules.always && !rules.pointer,
                rules.patch_strategy,
                rules.patch_merge_key,
                comment(&message, field.path()),
            )
            .expect("write to a String");
        }
        out.push_str("] },\n");
    }
    out.push_str("];\n");
    out
}

/// The comment above a message or field in its .proto file, as one line.
fn comment(message: &MessageDescriptor, path: &[i32]) -> String {
    let file = message.parent_file();
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    info.and_then(|info| info.location.iter().find(|location| location.path == path))
        .map(|location| location.leading_comments().split_whitespace().collect::<Vec<_>>().join(" "))
        .unwrap_or_default()
}
