//! Answers: objects, lists and errors, in the form that the client asked for.

use std::io::Write;

use api::status::StatusError;
use api::time::Instant;
use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use proto::meta_v1::{ListMeta, Status};
use serde_json::{Value, json};

use super::negotiate::{Encoding, Form, View};
use super::served::Served;
use super::table::{self, Include, TableMeta};
use super::{envelope, yaml};
use crate::object::AnyObject;
use crate::registry::Listed;

/// Smaller answers are not worth compressing.
const GZIP_FROM: usize = 128 * 1024;

/// How this request wants its answer.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub form: Form,
    pub include: Include,
    pub gzip: bool,
    pub now: Instant,
}

/// An answer of ready bytes.
pub fn bytes(code: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub fn json(code: u16, value: &Value) -> Response {
    bytes(code, Encoding::Json.media_type(), value.to_string())
}

/// The plain text that Kubernetes answers to paths that it does not know.
pub fn page_not_found() -> Response {
    let mut response = bytes(404, "text/plain; charset=utf-8", "404 page not found\n");
    let name = HeaderName::from_static("x-content-type-options");
    response.headers_mut().insert(name, HeaderValue::from_static("nosniff"));
    response
}

/// A Status as the body of an error, always in JSON, which every client reads.
pub fn error(error: &StatusError) -> Response {
    let mut response = status(error.code(), error.status());
    let seconds = error.retry_after_seconds();
    if seconds > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub fn status(code: u16, status: &Status) -> Response {
    bytes(code, Encoding::Json.media_type(), status_json(status))
}

/// A Status with its apiVersion and kind.
pub fn status_json(status: &Status) -> Vec<u8> {
    proto::json::to_vec(status)
}

/// How many characters all warnings may have together, and each of them where they have more.
const WARNINGS_MAX: usize = 4096;
const WARNING_MAX: usize = 256;

/// `Warning: 299 - "text"`, once for each.
pub fn with_warnings(mut response: Response, warnings: &[String]) -> Response {
    for text in told(warnings) {
        if let Ok(value) = HeaderValue::from_bytes(warning_header(&text).as_bytes()) {
            response.headers_mut().append("warning", value);
        }
    }
    response
}

/// Each text once, those with control characters not at all. Where they are too long together, each is cut; and the last
/// ones are left out, if it does not help.
fn told(warnings: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let telling = |text: &&str| !text.is_empty() && !text.contains(char::is_control);
    let texts: Vec<&str> =
        warnings.iter().map(String::as_str).filter(telling).filter(|text| seen.insert(*text)).collect();
    let mut whole = 0;
    let fit = texts.iter().take_while(|text| {
        whole += text.chars().count();
        whole <= WARNINGS_MAX
    });
    let fit = fit.count();
    if fit == texts.len() {
        return texts.into_iter().map(str::to_string).collect();
    }
    let mut length = 0;
    let mut cut = Vec::new();
    for (i, text) in texts.into_iter().enumerate() {
        if i > fit && length >= WARNINGS_MAX {
            break;
        }
        let text: String = text.chars().take(WARNING_MAX).collect();
        length += text.chars().count();
        cut.push(text);
    }
    cut
}

fn warning_header(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 10);
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    format!("299 - \"{quoted}\"")
}

/// One object.
pub fn object(wanted: &Wanted, served: Served, code: u16, object: &AnyObject) -> Response {
    let info = served.info;
    let body = match (&wanted.form.view, wanted.form.encoding) {
        (View::Object, Encoding::Protobuf) => {
            let body = envelope::wrap(&info.api_version(), info.kind, served.message(object));
            return bytes(code, Encoding::Protobuf.media_type(), body);
        }
        (View::Object, _) => Bytes::from(served.json(object)),
        (View::Table(version), _) => {
            let meta =
                TableMeta { resource_version: object.metadata().resource_version.clone(), ..TableMeta::default() };
            let shown = (wanted.include, version.as_str());
            let one = std::iter::once(object);
            let table = table::table((info.group, info.kind), one, &meta, shown, true, wanted.now);
            Bytes::from(table.to_string())
        }
        (View::PartialMetadata(version), _) => Bytes::from(table::partial_metadata(object, version).to_string()),
    };
    text(wanted, code, body)
}

/// A list.
pub fn list(wanted: &Wanted, served: Served, listed: &Listed) -> Response {
    let info = served.info;
    let meta = ListMeta {
        resource_version: listed.revision.to_string(),
        r#continue: listed.continue_token.clone(),
        remaining_item_count: listed.remaining,
        ..ListMeta::default()
    };
    let kind = format!("{}List", info.kind);
    let body = match (&wanted.form.view, wanted.form.encoding) {
        (View::Object, Encoding::Protobuf) => {
            let body = envelope::wrap(&info.api_version(), &kind, envelope::list(&meta, served, &listed.items));
            return bytes(200, Encoding::Protobuf.media_type(), body);
        }
        (View::Object, _) => list_json(served, &kind, &meta, listed),
        (View::Table(version), _) => {
            let meta = TableMeta {
                resource_version: meta.resource_version,
                continue_token: meta.r#continue,
                remaining: meta.remaining_item_count,
            };
            let objects: Vec<AnyObject> = listed.items.iter().map(|item| item.decode()).collect();
            let shown = (wanted.include, version.as_str());
            let table = table::table((info.group, info.kind), &objects, &meta, shown, true, wanted.now);
            Bytes::from(table.to_string())
        }
        (View::PartialMetadata(version), _) => {
            let items: Vec<Value> =
                listed.items.iter().map(|item| table::partial_metadata(&item.decode(), version)).collect();
            let api_version = format!("meta.k8s.io/{version}");
            let list = json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": api_version,
                "metadata": list_meta(&meta),
                "items": items,
            });
            Bytes::from(list.to_string())
        }
    };
    text(wanted, 200, body)
}

fn list_meta(meta: &ListMeta) -> Value {
    let mut value = json!({"resourceVersion": meta.resource_version});
    if !meta.r#continue.is_empty() {
        value["continue"] = json!(meta.r#continue);
    }
    if let Some(remaining) = meta.remaining_item_count {
        value["remainingItemCount"] = json!(remaining);
    }
    value
}

/// A list's JSON. Its items are those of a get without kind and apiVersion, which are the list's.
fn list_json(served: Served, kind: &str, meta: &ListMeta, listed: &Listed) -> Bytes {
    let head = json!({"kind": kind, "apiVersion": served.info.api_version(), "metadata": list_meta(meta)}).to_string();
    let mut body = BytesMut::with_capacity(head.len() + listed.items.len() * 2048);
    body.put_slice(&head.as_bytes()[..head.len() - 1]);
    body.put_slice(b",\"items\":[");
    let typed = format!(r#"{{"kind":"{}","apiVersion":"{}","#, served.info.kind, served.info.api_version());
    for (at, item) in listed.items.iter().enumerate() {
        if at > 0 {
            body.put_u8(b',');
        }
        let json = served.json(&item.decode());
        match json.strip_prefix(typed.as_bytes()) {
            Some(rest) => {
                body.put_u8(b'{');
                body.put_slice(rest);
            }
            None => body.put_slice(&json),
        }
    }
    body.put_slice(b"]}");
    body.freeze()
}

/// Finishes a JSON body: to YAML where asked, compressed where worth it.
fn text(wanted: &Wanted, code: u16, body: Bytes) -> Response {
    if wanted.form.encoding == Encoding::Yaml {
        return match yaml::from_json(&body) {
            Ok(yaml) => bytes(code, Encoding::Yaml.media_type(), yaml),
            Err(problem) => error(&api::status::internal_error(problem)),
        };
    }
    if wanted.gzip && body.len() >= GZIP_FROM {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        if encoder.write_all(&body).is_ok()
            && let Ok(small) = encoder.finish()
        {
            let mut response = bytes(code, Encoding::Json.media_type(), small);
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            return response;
        }
    }
    bytes(code, Encoding::Json.media_type(), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_once_and_not_at_length() {
        let short = ["a".to_string(), "b".to_string(), "a".to_string(), String::new(), "c\n".to_string()];
        assert_eq!(told(&short), ["a", "b"]);
        let long: Vec<String> = (0..20).map(|i| format!("{i:02}{}", "x".repeat(1000))).collect();
        let cut = told(&long);
        assert_eq!((cut.len(), cut[15].as_str()), (16, &long[15][..256]));
        assert_eq!(told(&long[..4]), long[..4]);
    }

    #[test]
    fn warnings_are_quoted() {
        assert_eq!(warning_header("unknown field \"spec.x\""), r#"299 - "unknown field \"spec.x\"""#);
    }
}
