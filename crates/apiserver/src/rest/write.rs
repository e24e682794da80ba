//! POST, PUT and PATCH of objects.

use api::status::{self, StatusError};
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use parking_lot::Mutex;
use proto::json::Document;
use serde_json::Value;

use super::answer::Wanted;
use super::patch::{PatchError, PatchType, strategic};
use super::query::{FieldValidation, write_options};
use super::served::{Place, Served};
use super::{Call, answer, body, openapi};
use crate::object::AnyObject;
use crate::registry::{Modify, Registry, Target, WriteOptions, Written};

pub async fn create(call: Call, place: Place<'_>) -> Result<Response, StatusError> {
    let wanted = call.wanted()?;
    let (options, validation) = write_options(&call.query, "CreateOptions")?;
    let encoding = body::encoding(call.header(CONTENT_TYPE))?;
    let Call { face, ctx, body: sent, .. } = call;
    let sent = body::read(sent).await?;
    let decoded = body::decode(place.served, encoding, &sent, validation)?;
    let written = face.registry.create(&ctx, place.target, decoded.object, &options).await;
    Ok(told(&wanted, place, 201, written, decoded.warnings))
}

/// What became of a write. The decoder's warnings go along with a refusal, too.
fn told(
    wanted: &Wanted,
    place: Place<'_>,
    code: u16,
    written: Result<Written, StatusError>,
    mut warnings: Vec<String>,
) -> Response {
    let response = match written {
        Ok(written) => {
            warnings.extend(written.warnings);
            answer::object(wanted, place.served, code, &written.object)
        }
        Err(error) => answer::error(&error),
    };
    answer::with_warnings(response, &warnings)
}

pub async fn update(call: Call, place: Place<'_>, subresource: &str) -> Result<Response, StatusError> {
    let wanted = call.wanted()?;
    let (options, validation) = write_options(&call.query, "UpdateOptions")?;
    let encoding = body::encoding(call.header(CONTENT_TYPE))?;
    let Call { face, ctx, body: sent, .. } = call;
    let sent = body::read(sent).await?;
    let decoded = body::decode(place.served, encoding, &sent, validation)?;
    let object = decoded.object;
    check_names(&object, place.target)?;
    let modify = |_: &AnyObject| Ok(object.clone_box());
    let written = store(&face.registry, &ctx, place.target, subresource, &modify, &options).await;
    Ok(told(&wanted, place, 200, written, decoded.warnings))
}

async fn store(
    registry: &Registry,
    ctx: &crate::context::RequestContext,
    target: Target<'_>,
    subresource: &str,
    modify: Modify<'_>,
    options: &WriteOptions,
) -> Result<Written, StatusError> {
    match subresource {
        "status" => registry.update_status(ctx, target, modify, options).await,
        "finalize" => registry.finalize(ctx, target, modify, options).await,
        _ => registry.update(ctx, target, modify, options).await,
    }
}

/// Name and namespace in the body must be those of the path.
fn check_names(object: &AnyObject, target: Target<'_>) -> Result<(), StatusError> {
    let metadata = object.metadata();
    if metadata.name.is_empty() {
        return Err(status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        )));
    }
    if metadata.name != target.name {
        return Err(status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            metadata.name, target.name
        )));
    }
    if !metadata.namespace.is_empty() && metadata.namespace != target.namespace {
        return Err(status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

const PATCH_TYPES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

pub async fn patch(call: Call, place: Place<'_>, subresource: &str) -> Result<Response, StatusError> {
    let media_type = call.header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let patch_type = match PatchType::from_media_type(media_type) {
        None => return Err(status::unknown_patch_type()),
        // Known, and not served: server-side apply.
        Some(PatchType::Apply) => return Err(status::unsupported_media_type(PATCH_TYPES)),
        Some(patch_type) => patch_type,
    };
    let wanted = call.wanted()?;
    let (options, validation) = write_options(&call.query, "PatchOptions")?;
    let Call { face, ctx, body: sent, .. } = call;
    let sent = body::read(sent).await?;
    let patch = parse(patch_type, &sent)?;
    let warnings = Mutex::new(Vec::new());
    let modify = |current: &AnyObject| {
        let (object, minded) = patched(place.served, patch_type, current, &patch, validation)?;
        *warnings.lock() = minded;
        check_names(&object, place.target)?;
        Ok(object)
    };
    let written = store(&face.registry, &ctx, place.target, subresource, &modify, &options).await;
    Ok(told(&wanted, place, 200, written, warnings.into_inner()))
}

fn parse(patch_type: PatchType, sent: &Bytes) -> Result<Value, StatusError> {
    let refused = |problem: String| {
        status::bad_request(match patch_type {
            PatchType::Strategic => problem,
            _ => format!("error decoding patch: {problem}"),
        })
    };
    let json = body::to_json(super::negotiate::Encoding::Json, sent).map_err(refused)?;
    if body::depth(&json) > body::MAX_PATCH_DEPTH {
        return Err(refused("exceeded max depth".to_string()));
    }
    let document: Result<Document, _> = serde_json::from_slice(&json);
    document.map(|document| document.0).map_err(|error| refused(body::syntax_error(&error, &json)))
}

/// The object that `patch` makes of `current`, and the fields that a strict decoder minds.
fn patched(
    served: Served,
    patch_type: PatchType,
    current: &AnyObject,
    patch: &Value,
    validation: FieldValidation,
) -> Result<(AnyObject, Vec<String>), StatusError> {
    let before: Value = serde_json::from_slice(&served.json(current)).map_err(status::internal_error)?;
    let message = openapi::message_of(served.info).map_or("", |message| message.name);
    let after = patch_type.apply(before, patch, message).map_err(refusal)?;
    let json = after.to_string();
    // What Kubernetes shows as the invalid value: the result, or for strategic patches the patch.
    let shown = || match (patch_type, patch) {
        (PatchType::Strategic, Value::Object(fields)) => strategic::go_map(fields),
        _ => json.clone(),
    };
    let invalid = |problem: String| {
        let field = api::field::Path::new("patch");
        let error = api::field::Error::invalid(&field, shown().as_str(), &problem);
        status::invalid_kind("", "", "", &[error])
    };
    let decoded = served.decode_json(json.as_bytes()).map_err(|error| invalid(error.to_string()))?;
    body::check_kind(served.info, &decoded.api_version, &decoded.kind)?;
    let minded = decoded.problems;
    match validation {
        FieldValidation::Ignore => Ok((decoded.object, Vec::new())),
        FieldValidation::Strict if !minded.is_empty() => {
            Err(invalid(format!("strict decoding error: {}", minded.join(", "))))
        }
        _ => Ok((decoded.object, minded)),
    }
}

fn refusal(error: PatchError) -> StatusError {
    match error {
        PatchError::BadRequest(text) => status::bad_request(text),
        PatchError::TooLarge(text) => status::request_entity_too_large(text),
        PatchError::Unprocessable(text) => {
            let mut refused =
                status::failure(422, "Invalid", "the server rejected our request due to an error in our request")
                    .into_status();
            refused.details = Some(proto::meta_v1::StatusDetails {
                causes: vec![proto::meta_v1::StatusCause {
                    reason: "UnexpectedServerResponse".to_string(),
                    message: text,
                    field: String::new(),
                }],
                ..Default::default()
            });
            refused.into()
        }
        PatchError::Internal(text) => status::failure(500, "InternalError", text),
    }
}
