//! Emits the Kubernetes JSON code of each message of the kinds: an `impl Fields` that writes and reads its members,
//! and the `Root`/`RootList` impls of what has apiVersion and kind. The rules come from `raftsman/options.proto`.

use crate::descriptor::{rust_field, rust_path};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use std::fmt::Write;

const OBJECT_META: &str = "k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "k8s.io.apimachinery.pkg.apis.meta.v1.ListMeta";

/// The messages whose JSON is generated: everything of Kubernetes' packages but map entries.
pub fn messages(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    let mut all: Vec<_> =
        pool.all_messages().filter(|m| m.full_name().starts_with("k8s.io.") && !m.is_map_entry()).collect();
    all.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    all
}

/// What options.proto says of a field.
pub struct FieldRules {
    pub inline: bool,
    pub always: bool,
    pub pointer: bool,
    pub json: String,
    pub go: String,
    pub patch_strategy: String,
    pub patch_merge_key: String,
}

pub fn field_rules(field: &FieldDescriptor) -> FieldRules {
    let rules = extension(&field.options(), field.parent_pool(), "raftsman.field");
    let flag = |name: &str| rules.as_ref().is_some_and(|r| get_bool(r, name));
    let text = |name: &str| rules.as_ref().map(|r| get_text(r, name)).unwrap_or_default();
    let json = text("json");
    FieldRules {
        inline: flag("inline"),
        always: flag("always"),
        pointer: flag("pointer"),
        json: if json.is_empty() { field.name().to_owned() } else { json },
        go: text("go"),
        patch_strategy: text("patch_strategy"),
        patch_merge_key: text("patch_merge_key"),
    }
}

/// What options.proto says of a message: (root, wrapper, scalar).
pub fn message_rules(message: &MessageDescriptor) -> (String, bool, bool) {
    match extension(&message.options(), message.parent_pool(), "raftsman.message") {
        Some(r) => (get_text(&r, "root"), get_bool(&r, "wrapper"), get_bool(&r, "scalar")),
        None => Default::default(),
    }
}

fn extension(options: &DynamicMessage, pool: &DescriptorPool, name: &str) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(name)?;
    match options.has_extension(&extension).then(|| options.get_extension(&extension))?.into_owned() {
        Value::Message(message) => Some(message),
        _ => None,
    }
}

fn get_bool(message: &DynamicMessage, name: &str) -> bool {
    message.get_field_by_name(name).and_then(|v| v.as_bool()).unwrap_or(false)
}

fn get_text(message: &DynamicMessage, name: &str) -> String {
    message.get_field_by_name(name).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The Go type as an error names it: "int32", "[]v1.Container", "map[string]string".
pub fn go_type(field: &FieldDescriptor, rules: &FieldRules) -> String {
    if field.is_map() {
        if !rules.go.is_empty() {
            return rules.go.clone();
        }
        let Kind::Message(entry) = field.kind() else { unreachable!("a map field has an entry message") };
        return format!("map[string]{}", go_kind(&entry.map_entry_value_field().kind()));
    }
    let one = if rules.go.is_empty() { go_kind(&field.kind()) } else { rules.go.clone() };
    if field.is_list() { format!("[]{one}") } else { one }
}

pub fn go_message(message: &MessageDescriptor) -> String {
    let package = message.package_name().rsplit('.').next().unwrap_or_default();
    format!("{package}.{}", message.name())
}

fn go_kind(kind: &Kind) -> String {
    match kind {
        Kind::String => "string".into(),
        Kind::Bool => "bool".into(),
        Kind::Int32 => "int32".into(),
        Kind::Int64 => "int64".into(),
        Kind::Bytes => "[]uint8".into(),
        Kind::Message(m) => go_message(m),
        other => panic!("no JSON form for {other:?}"),
    }
}

pub fn generate(pool: &DescriptorPool) -> String {
    let mut out = String::new();
    for message in messages(pool) {
        let (root, wrapper, scalar) = message_rules(&message);
        if scalar {
            continue;
        }
        if wrapper {
            writeln!(out, "wrapper!({});", rust_path(message.full_name())).expect("write to a String");
            continue;
        }
        fields_impl(&mut out, &message, &root);
        root_impl(&mut out, &message, &root);
    }
    out
}

fn fields_impl(out: &mut String, message: &MessageDescriptor, root: &str) {
    let path = rust_path(message.full_name());
    let mut encode = String::new();
    let mut decode = String::new();
    let mut inlined = String::new();
    for field in message.fields() {
        let rules = field_rules(&field);
        let rust = rust_field(field.name());
        if rules.inline {
            writeln!(encode, "if let Some(inner) = &self.{rust} {{ inner.encode_fields(object); }}").expect("write");
            writeln!(
                inlined,
                "if let Some(known) = inline(&mut self.{rust}, key, map, at)? {{ return Ok(Some(known)); }}"
            )
            .expect("write");
            continue;
        }
        let json = &rules.json;
        writeln!(encode, "{}", encode_field(&field, &rules, &rust)).expect("write");
        let go = go_type(&field, &rules);
        let assign = if wrapped(&field) { "Some(value)" } else { "value" };
        writeln!(
            decode,
            "{json:?} => {{ if let Some(value) = member(map, at, {json:?}, {go:?})? {{ self.{rust} = {assign}; }} Ok(Some({json:?})) }}"
        )
        .expect("write");
    }
    let go = go_message(message);
    let root = match root.rsplit_once('/') {
        Some((version, kind)) => format!("Some(({version:?}, {kind:?}))"),
        None => "None".into(),
    };
    writeln!(
        out,
        "impl Fields for {path} {{ const GO: &'static str = {go:?}; const ROOT: Option<(&'static str, &'static str)> = {root};\n\
         fn encode_fields(&self, object: &mut Object<'_>) {{\n{encode}let _ = object; }}\n\
         fn decode_field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A, at: &mut Cursor) -> Result<Option<&'static str>, A::Error> {{\n\
         match key {{\n{decode}_ => {{ {inlined} let _ = (map, at); Ok(None) }} }} }} }}"
    )
    .expect("write to a String");
}

/// Whether prost holds the field in an Option.
fn wrapped(field: &FieldDescriptor) -> bool {
    !field.is_map()
        && !field.is_list()
        && (matches!(field.kind(), Kind::Message(_)) || field.field_descriptor_proto().proto3_optional())
}

fn encode_field(field: &FieldDescriptor, rules: &FieldRules, rust: &str) -> String {
    let (json, always) = (&rules.json, rules.always);
    let put = format!("object.put({json:?}, &self.{rust})");
    if field.is_map() || field.is_list() {
        let empty = if json == "items" {
            "object.raw(\"items\", \"[]\")".into()
        } else {
            format!("object.raw({json:?}, \"null\")")
        };
        return match always {
            true => format!("if self.{rust}.is_empty() {{ {empty}; }} else {{ {put}; }}"),
            false => format!("if !self.{rust}.is_empty() {{ {put}; }}"),
        };
    }
    if let Kind::Message(message) = field.kind() {
        let some = if rules.pointer || always { "!value.is_no_value()" } else { "!value.is_unset()" };
        let none = match (always, rules.pointer) {
            (false, _) => String::new(),
            (true, true) => format!("else {{ object.raw({json:?}, \"null\"); }}"),
            (true, false) => {
                format!("else {{ object.put({json:?}, &<{}>::default()); }}", rust_path(message.full_name()))
            }
        };
        return format!(
            "if let Some(value) = self.{rust}.as_ref().filter(|value| {some}) {{ object.put({json:?}, value); }} {none}"
        );
    }
    if wrapped(field) {
        let none = if always { format!("else {{ object.raw({json:?}, \"null\"); }}") } else { String::new() };
        return format!("if let Some(value) = &self.{rust} {{ object.put({json:?}, value); }} {none}");
    }
    if always {
        return format!("{put};");
    }
    match field.kind() {
        Kind::Bool => format!("if self.{rust} {{ {put}; }}"),
        Kind::Int32 | Kind::Int64 => format!("if self.{rust} != 0 {{ {put}; }}"),
        _ => format!("if !self.{rust}.is_empty() {{ {put}; }}"),
    }
}

fn root_impl(out: &mut String, message: &MessageDescriptor, root: &str) {
    let Some((group_version, kind)) = root.rsplit_once('/') else { return };
    let (group, version) = group_version.rsplit_once('/').unwrap_or(("", group_version));
    let path = rust_path(message.full_name());
    let metadata = message.get_field_by_name("metadata").and_then(|f| match f.kind() {
        Kind::Message(m) => Some(m.full_name().to_owned()),
        _ => None,
    });
    match metadata.as_deref() {
        Some(OBJECT_META) => writeln!(out, "root!({path}, {group:?}, {version:?}, {kind:?});"),
        Some(LIST_META) => {
            // A Status has list metadata, too.
            let Some(items) = message.get_field_by_name("items") else { return };
            let Kind::Message(item) = items.kind() else { return };
            writeln!(out, "root_list!({path}, {});", rust_path(item.full_name()))
        }
        _ => Ok(()),
    }
    .expect("write to a String");
}
