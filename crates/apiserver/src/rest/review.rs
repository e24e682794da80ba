//! Requests that store nothing: who am I, may I, what may I.

use api::status::{self, StatusError};
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use proto::authentication_v1::SelfSubjectReview;
use proto::authorization_v1::{SelfSubjectAccessReview, SelfSubjectRulesReview};

use super::negotiate::Encoding;
use super::path::ResourcePath;
use super::{Call, answer, body, envelope};

/// A review, by the resource that it is created as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    Subject,
    Access,
    Rules,
}

impl Review {
    pub fn find(path: &ResourcePath) -> Option<Review> {
        let collection = path.version == "v1" && path.name.is_empty() && path.namespace.is_empty();
        match (path.group.as_str(), path.resource.as_str()) {
            ("authentication.k8s.io", "selfsubjectreviews") if collection => Some(Review::Subject),
            ("authorization.k8s.io", "selfsubjectaccessreviews") if collection => Some(Review::Access),
            ("authorization.k8s.io", "selfsubjectrulesreviews") if collection => Some(Review::Rules),
            _ => None,
        }
    }

    pub async fn serve(self, call: super::Call, _path: &ResourcePath) -> Result<Response, StatusError> {
        let Call { face, ctx, headers, body: sent, .. } = call;
        let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let encoding = body::encoding(content_type)?;
        let sent = body::read(sent).await?;
        let registry = &face.registry;
        match self {
            Review::Subject => {
                let asked: SelfSubjectReview = message(encoding, sent)?;
                let mut answer = registry.self_subject_review(&ctx)?;
                answer.metadata = asked.metadata;
                Ok(created(&answer))
            }
            Review::Access => {
                let mut review: SelfSubjectAccessReview = message(encoding, sent)?;
                let spec = review.spec.clone().unwrap_or_default();
                review.status = Some(registry.access_review(&ctx, &spec));
                Ok(created(&review))
            }
            Review::Rules => {
                let mut review: SelfSubjectRulesReview = message(encoding, sent)?;
                review.status = Some(registry.rules_review(&ctx));
                Ok(created(&review))
            }
        }
    }
}

/// 201 with a message that has apiVersion and kind.
pub fn created<T: proto::json::Json>(message: &T) -> Response {
    answer::bytes(201, Encoding::Json.media_type(), proto::json::to_vec(message))
}

/// A message that is no stored kind, from a body of any encoding.
pub fn message<T>(encoding: Encoding, sent: Bytes) -> Result<T, StatusError>
where
    T: proto::json::Json + prost::Message + Default,
{
    if encoding == Encoding::Protobuf {
        let unknown = envelope::unwrap(&sent).map_err(status::bad_request)?;
        return T::decode(&unknown.raw[..]).map_err(|error| status::bad_request(error.to_string()));
    }
    from_json(encoding, &sent)
}

/// As [`message`], from JSON or YAML; unknown fields are ignored.
pub fn from_json<T: proto::json::Json + Default>(encoding: Encoding, sent: &Bytes) -> Result<T, StatusError> {
    let json = body::to_json(encoding, sent).map_err(status::bad_request)?;
    match proto::json::decode::<T>(&json) {
        Ok(decoded) => Ok(decoded.value),
        Err(error) => Err(status::bad_request(error.to_string())),
    }
}
