//! Request bodies: read with a limit, brought to JSON, decoded strictly or not.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use api::kind::KindInfo;
use api::status::{self, StatusError};

use super::envelope;
use super::negotiate::Encoding;
use super::query::FieldValidation;
use super::served::Served;
use super::yaml;
use crate::object::AnyObject;
use crate::strategy;

/// The largest body that is read.
pub const MAX_BYTES: usize = 3 * 1024 * 1024;

/// No more than this is read of a larger one.
const MAX_DRAINED: usize = 8 * MAX_BYTES;

/// Deeper JSON is refused as Go's decoder refuses it.
pub const MAX_DEPTH: usize = 10_000;

/// Deeper patches are refused: they are handled as values, by recursion.
pub const MAX_PATCH_DEPTH: usize = 500;

/// The whole body. Of one that is too large the rest is read too, up to a bound: a client that is still
/// sending would not see the answer.
pub async fn read(mut body: Body) -> Result<Bytes, StatusError> {
    let (mut whole, mut seen) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| status::bad_request(format!("unable to read the body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        if seen <= MAX_BYTES {
            whole.extend_from_slice(&data);
        } else {
            whole = BytesMut::new();
        }
        if seen > MAX_DRAINED {
            break;
        }
    }
    match seen > MAX_BYTES {
        true => Err(status::request_entity_too_large(format!("limit is {MAX_BYTES}"))),
        false => Ok(whole.freeze()),
    }
}

/// The body's encoding, or 415.
pub fn encoding(content_type: &str) -> Result<Encoding, StatusError> {
    Encoding::of_body(content_type).ok_or_else(|| {
        let supported: Vec<&str> = super::negotiate::MEDIA_TYPES.split(", ").collect();
        status::unsupported_media_type(&supported)
    })
}

/// JSON from a body in JSON or YAML. Bytes that are no UTF-8 become U+FFFD, one each, as in Go.
pub fn to_json(encoding: Encoding, body: &Bytes) -> Result<Bytes, String> {
    let text = valid_utf8(body);
    let json = match encoding {
        Encoding::Yaml => yaml::to_json(&text)?,
        _ => text,
    };
    match depth(&json) > MAX_DEPTH {
        true => Err("exceeded max depth".to_string()),
        false => Ok(json),
    }
}

fn valid_utf8(body: &Bytes) -> Bytes {
    if std::str::from_utf8(body).is_ok() {
        return body.clone();
    }
    let mut text = String::with_capacity(body.len() + 16);
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Bytes::from(text)
}

/// The deepest nesting of objects and arrays; strings are skipped.
pub fn depth(json: &[u8]) -> usize {
    let (mut now, mut most, mut quoted, mut escaped) = (0usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// A decoded body and what the user should hear of it.
pub struct Decoded {
    pub object: AnyObject,
    pub warnings: Vec<String>,
}

/// Decodes `body` into an object of `served`.
pub fn decode(
    served: Served,
    encoding: Encoding,
    body: &Bytes,
    validation: FieldValidation,
) -> Result<Decoded, StatusError> {
    if encoding == Encoding::Protobuf {
        let unknown = envelope::unwrap(body).map_err(|error| unrecognized(served.info, body, &error))?;
        let type_meta = unknown.type_meta.unwrap_or_default();
        check_kind(served.info, &type_meta.api_version, &type_meta.kind)?;
        return Ok(Decoded { object: served.decode_proto(&unknown.raw)?, warnings: Vec::new() });
    }
    let json = to_json(encoding, body).map_err(|error| unrecognized(served.info, body, &no_kind(encoding, &error)))?;
    let decoded = match served.decode_json(&json) {
        Ok(decoded) => decoded,
        Err(error) => return Err(undecodable(served.info, &json, &error.to_string())),
    };
    check_kind(served.info, &decoded.api_version, &decoded.kind)?;
    let minded = decoded.problems;
    let warnings = match validation {
        FieldValidation::Ignore => Vec::new(),
        FieldValidation::Warn => minded,
        FieldValidation::Strict if minded.is_empty() => Vec::new(),
        FieldValidation::Strict => {
            let problem = format!("strict decoding error: {}", minded.join(", "));
            return Err(unhandled(served.info, &problem));
        }
    };
    Ok(Decoded { object: decoded.object, warnings })
}

/// Whether a body's apiVersion and kind, where it has them, are those of its path.
///
/// # Errors
/// 400 in the words of a kube-apiserver, which first looks for a kind of that name and then for a conversion.
pub fn check_kind(info: &KindInfo, api_version: &str, kind: &str) -> Result<(), StatusError> {
    let wanted = info.api_version();
    let api_version = if api_version.is_empty() { wanted.as_str() } else { api_version };
    let kind = if kind.is_empty() { info.kind } else { kind };
    if (api_version, kind) == (wanted.as_str(), info.kind) {
        return Ok(());
    }
    let version = api_version.rsplit('/').next().unwrap_or(api_version);
    let known = strategy::resources()
        .iter()
        .any(|served| (served.info.api_version().as_str(), served.info.kind) == (api_version, kind));
    let problem = match known {
        true => {
            let group = info.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
            format!("converting ({version}.{kind}) to ({group}.{}): unknown conversion", info.kind)
        }
        false => format!(
            "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
            api::field::quote(kind),
            api::field::quote(api_version)
        ),
    };
    Err(status::bad_request(format!(
        "{kind} in version {} cannot be handled as a {}: {problem}",
        api::field::quote(version),
        info.kind
    )))
}

/// JSON that is no object of this kind; where it is no JSON at all, its kind could not be read.
fn undecodable(info: &KindInfo, json: &Bytes, problem: &str) -> StatusError {
    // Its kind is read first, which what is no object can't have.
    let other = match json.trim_ascii_start().first() {
        Some(b'{' | b'n') => None,
        Some(b'[') => Some("array"),
        Some(b'"') => Some("string"),
        Some(b't' | b'f') => Some("bool"),
        _ => Some("number"),
    };
    match (serde_json::from_slice::<serde::de::IgnoredAny>(json), other) {
        (Ok(_), Some(other)) => {
            let meta = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
            let problem = format!("json: cannot unmarshal {other} into Go value of type {meta}");
            unrecognized(info, json, &no_kind(Encoding::Json, &problem))
        }
        (Ok(_), None) => unhandled(info, problem),
        (Err(error), _) => unrecognized(info, json, &no_kind(Encoding::Json, &syntax_error(&error, json))),
    }
}

fn no_kind(encoding: Encoding, problem: &str) -> String {
    match encoding {
        Encoding::Json => format!("couldn't get version/kind; json parse error: {problem}"),
        _ => problem.to_string(),
    }
}

/// A syntax error in the words of Go's decoder.
pub fn syntax_error(error: &serde_json::Error, json: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_string();
    }
    let line = json.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1));
    let found = line.and_then(|line| line.get(error.column().saturating_sub(1)));
    match found {
        Some(byte) => format!("invalid character '{}' looking for beginning of value", char::from(*byte)),
        None => error.to_string(),
    }
}

fn unhandled(info: &KindInfo, problem: &str) -> StatusError {
    status::bad_request(format!(
        "{} in version {} cannot be handled as a {}: {problem}",
        info.kind,
        api::field::quote(info.version),
        info.kind
    ))
}

fn unrecognized(info: &KindInfo, body: &Bytes, problem: &str) -> StatusError {
    status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {problem} ({})",
        info.kind,
        summary(body)
    ))
}

/// The beginning of a body for an error: text when it looks like JSON, else hexadecimal.
pub fn summary(body: &[u8]) -> String {
    let start = &body[..body.len().min(30)];
    let shown = match body.first() {
        None => return "<empty>".to_string(),
        Some(b'{') => String::from_utf8_lossy(start).into_owned(),
        Some(_) => start.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    match body.len() > start.len() {
        true => format!("{shown} ..."),
        false => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_invalid_byte_becomes_one_replacement() {
        let body = Bytes::from_static(b"{\"a\":\"x\xff\xfey\"}");
        let json = to_json(Encoding::Json, &body).expect("JSON");
        assert_eq!(json, "{\"a\":\"x\u{fffd}\u{fffd}y\"}".as_bytes());
    }

    #[test]
    fn depth_counts_outside_strings() {
        assert_eq!(depth(br#"{"a":[{"b":"[[[\"{{"}]}"#), 3);
        assert_eq!(depth(b"1"), 0);
        let deep = Bytes::from("[".repeat(MAX_DEPTH + 1));
        assert!(to_json(Encoding::Json, &deep).expect_err("too deep").contains("exceeded max depth"));
    }

    #[test]
    fn summaries_are_short() {
        assert_eq!(summary(b""), "<empty>");
        assert_eq!(summary(b"{}"), "{}");
        assert_eq!(summary(b"abc"), "616263");
        assert!(summary(&[b'{'; 40]).ends_with("{ ..."));
    }

    #[tokio::test]
    async fn four_mebibytes_are_too_many() {
        let error = read(Body::from(vec![b' '; 4 << 20])).await.expect_err("too large");
        assert_eq!(error.code(), 413);
        assert_eq!(error.message(), "Request entity too large: limit is 3145728");
        assert_eq!(read(Body::from("{}")).await.expect("small"), "{}");
    }
}
