//! Rust names for proto names, and the copy of the descriptors that carries them.

use heck::ToSnakeCase;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Makes plural abbreviations one word, so that `podIPs` becomes `pod_ips` and not `pod_i_ps`.
pub fn one_word(name: &str) -> String {
    name.replace("IPs", "Ips").replace("CIDRs", "Cidrs").replace("URLs", "Urls")
}

/// The Rust field that prost makes of a proto field.
pub fn rust_field(name: &str) -> String {
    let snake = one_word(name).to_snake_case();
    match snake.as_str() {
        "type" | "continue" | "match" | "ref" | "loop" | "move" | "static" => format!("r#{snake}"),
        _ => snake,
    }
}

/// The Rust path of a message, from the crate's root.
pub fn rust_path(full_name: &str) -> String {
    let mut parts: Vec<String> = full_name.split('.').map(str::to_owned).collect();
    let last = parts.len() - 1;
    for part in &mut parts[..last] {
        *part = part.to_snake_case();
    }
    parts[last] = heck::ToUpperCamelCase::to_upper_camel_case(parts[last].as_str());
    format!("crate::{}", parts.join("::"))
}

pub fn rename(set: &mut FileDescriptorSet) {
    for file in &mut set.file {
        for message in &mut file.message_type {
            rename_message(message);
        }
    }
}

fn rename_message(message: &mut DescriptorProto) {
    for field in &mut message.field {
        field.name = field.name.as_deref().map(one_word);
    }
    for nested in &mut message.nested_type {
        rename_message(nested);
    }
}
