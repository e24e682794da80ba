//! Protobuf's JSON form, as etcd's gateway reads and writes it: fields under the names of the `.proto` file (or in camel
//! case, when read), bytes in base64, numbers of 64 bits as text, enumerations by name. What is unknown is passed over,
//! what is 0 or empty is not written.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};
use serde_json::Value as Json;

/// Padding is told apart by the length; bits behind the last byte may be anything.
const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// Reads a message.
pub fn read(descriptor: &MessageDescriptor, json: &Json) -> Result<DynamicMessage, String> {
    let Json::Object(fields) = json else {
        return Err(format!("proto: syntax error: unexpected token {}", token(json)));
    };
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, json) in fields {
        let field = descriptor.get_field_by_json_name(name).or_else(|| descriptor.get_field_by_name(name));
        let Some(field) = field.filter(|_| !json.is_null()) else { continue };
        let oneof = field.containing_oneof();
        if let Some(oneof) = oneof.filter(|oneof| oneof.fields().any(|other| message.has_field(&other))) {
            return Err(format!("proto: error parsing {name:?}, oneof {} is already set", oneof.full_name()));
        }
        if field.is_list() {
            let Json::Array(items) = json else {
                return Err(format!("proto: syntax error: unexpected token {}", token(json)));
            };
            let items = items.iter().filter_map(|item| value(&field, item).transpose());
            message.set_field(&field, Value::List(items.collect::<Result<_, _>>()?));
        } else if let Some(value) = value(&field, json)? {
            message.set_field(&field, value);
        }
    }
    Ok(message)
}

fn token(json: &Json) -> String {
    match json {
        Json::Array(_) => "[".into(),
        Json::Object(_) => "{".into(),
        json => json.to_string(),
    }
}

/// A field's value; `None` is a name that its enumeration does not have.
fn value(field: &FieldDescriptor, json: &Json) -> Result<Option<Value>, String> {
    let kind = field.kind();
    let read = match (&kind, json) {
        (Kind::Message(descriptor), json) => {
            return read(descriptor, json).map(|message| Some(Value::Message(message)));
        }
        (Kind::Enum(names), Json::String(name)) => {
            return Ok(names.get_value_by_name(name).map(|value| Value::EnumNumber(value.number())));
        }
        (Kind::Enum(_), json) => integer(json).and_then(|number| number.try_into().ok()).map(Value::EnumNumber),
        (Kind::Bool, Json::Bool(is)) => Some(Value::Bool(*is)),
        (Kind::String, Json::String(text)) => Some(Value::String(text.clone())),
        (Kind::Bytes, Json::String(text)) => bytes(text).map(|bytes| Value::Bytes(bytes.into())),
        (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64, json) => {
            integer(json).and_then(|number| number.try_into().ok()).map(Value::I64)
        }
        (Kind::Uint64 | Kind::Fixed64, json) => integer(json).and_then(|number| number.try_into().ok()).map(Value::U64),
        (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, json) => {
            integer(json).and_then(|number| number.try_into().ok()).map(Value::I32)
        }
        (Kind::Uint32 | Kind::Fixed32, json) => integer(json).and_then(|number| number.try_into().ok()).map(Value::U32),
        // No message of ours has fields of other kinds.
        _ => None,
    };
    let kind = if matches!(kind, Kind::Enum(_)) { "enum".to_owned() } else { format!("{kind:?}") };
    let wrong = || format!("proto: invalid value for {kind} field {}: {}", field.json_name(), token(json));
    read.map(Some).ok_or_else(wrong)
}

/// A whole number, also as text and with an exponent or a fraction of 0.
fn integer(json: &Json) -> Option<i128> {
    let text = match json {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.clone(),
        _ => return None,
    };
    if let Ok(number) = text.parse::<i128>() {
        return (!text.starts_with('+')).then_some(number);
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number = text.parse::<f64>().ok().filter(|number| is_number && number.fract() == 0.0)?;
    // Beyond 2^53 a fraction or exponent would have lost digits.
    (number.abs() <= 9_007_199_254_740_992.0).then_some(number as i128)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    let whole = text.len().is_multiple_of(4) || !text.contains('=');
    engine.decode(text).ok().filter(|_| whole)
}

/// Writes a message.
pub fn write(message: &DynamicMessage) -> String {
    let mut text = String::new();
    write_message(message, &mut text);
    text
}

fn write_message(message: &DynamicMessage, text: &mut String) {
    text.push('{');
    let mut first = true;
    for field in message.descriptor().fields().filter(|field| message.has_field(field)) {
        if !std::mem::take(&mut first) {
            text.push(',');
        }
        text.push('"');
        text.push_str(field.name());
        text.push_str("\":");
        write_value(&field, &message.get_field(&field), text);
    }
    text.push('}');
}

fn write_value(field: &FieldDescriptor, value: &Value, text: &mut String) {
    match value {
        Value::Message(message) => write_message(message, text),
        Value::List(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_value(field, item, text);
            }
            text.push(']');
        }
        Value::EnumNumber(number) => {
            let kind = field.kind();
            let name = kind.as_enum().and_then(|names| names.get_value(*number));
            text.push_str(&name.map_or_else(|| number.to_string(), |name| format!("\"{}\"", name.name())));
        }
        Value::Bytes(bytes) => {
            text.push('"');
            BASE64_STANDARD.encode_string(bytes, text);
            text.push('"');
        }
        Value::String(string) => text.push_str(&Json::from(string.as_str()).to_string()),
        Value::I64(number) => text.push_str(&format!("\"{number}\"")),
        Value::U64(number) => text.push_str(&format!("\"{number}\"")),
        Value::I32(number) => text.push_str(&number.to_string()),
        Value::U32(number) => text.push_str(&number.to_string()),
        Value::Bool(is) => text.push_str(&is.to_string()),
        // No message of ours has fields of other kinds.
        Value::F32(_) | Value::F64(_) | Value::Map(_) => text.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;
    use serde_json::json;

    use super::*;

    fn message(name: &str) -> MessageDescriptor {
        DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap().get_message_by_name(name).unwrap()
    }

    #[test]
    fn messages_are_read_in_every_form_and_written_in_one() {
        let txn = message("etcdserverpb.TxnRequest");
        let read = read(
            &txn,
            &json!({
                "compare": [{ "target": "VALUE", "key": "Zm9v", "value": "YmF_" }, { "target": 2, "mod_revision": "7" }],
                "success": [{ "requestRange": { "key": "Zg", "limit": 1e1, "sortOrder": "NONE", "serializable": true } }],
                "failure": null,
                "unknown": 1,
            }),
        );
        let written = r#"{"compare":[{"target":"VALUE","key":"Zm9v","value":"YmF/"},{"target":"MOD","mod_revision":"7"}],"success":[{"request_range":{"key":"Zg==","limit":"10","serializable":true}}]}"#;
        assert_eq!(write(&read.unwrap()), written);
    }

    #[test]
    fn what_does_not_fit_its_field_is_refused() {
        let range = message("etcdserverpb.RangeRequest");
        for json in [
            json!(null),
            json!([]),
            json!({ "key": 5 }),
            json!({ "key": "Z" }),
            json!({ "key": "Zm9=v" }),
            json!({ "limit": 1.5 }),
            json!({ "limit": "x" }),
            json!({ "limit": "9223372036854775808" }),
            json!({ "serializable": "true" }),
        ] {
            assert!(read(&range, &json).is_err(), "{json}");
        }
        let compare = message("etcdserverpb.Compare");
        assert!(read(&compare, &json!({ "version": 1, "value": "" })).is_err());
    }
}
