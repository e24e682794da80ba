//! What a call can end in: the API's answer, or no answer.

use prost::Message;
use proto::meta_v1::Status;
use tonic::Code;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused; `status` is Kubernetes' Status object, as REST clients get it.
    #[error("{}", .status.message)]
    Api { status: Box<Status> },
    /// No answer, or none of this API: whether a write happened is unknown.
    #[error("{server}: {status}", server = .server, status = describe(.status))]
    Transport { server: String, status: Box<tonic::Status> },
    /// The configuration can't lead to a connection.
    #[error("{0}")]
    Config(String),
    /// The request breaks a limit and was not sent.
    #[error("{0}")]
    Limit(String),
}

impl Error {
    /// Kubernetes' machine-readable reason (`NotFound`, `Conflict`, `AlreadyExists`, `Expired` ...); empty without an answer.
    pub fn reason(&self) -> &str {
        match self {
            Error::Api { status } => &status.reason,
            _ => "",
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.reason() == "NotFound"
    }

    pub fn is_already_exists(&self) -> bool {
        self.reason() == "AlreadyExists"
    }

    pub fn is_conflict(&self) -> bool {
        self.reason() == "Conflict"
    }

    /// The revision that was asked for is compacted away, or the watch fell behind: list again.
    pub fn is_expired(&self) -> bool {
        matches!(self.reason(), "Expired" | "Gone")
    }

    pub fn is_unauthorized(&self) -> bool {
        matches!(self.reason(), "Unauthorized" | "Forbidden")
    }

    /// No server could be reached, or it went away during the call.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::Transport { .. })
    }

    /// Another server may do better: this one could not be reached, or it can't reach the store.
    pub(crate) fn is_servers_fault(&self) -> bool {
        match self {
            Error::Transport { status, .. } => {
                matches!(status.code(), Code::Unavailable | Code::Unknown | Code::DeadlineExceeded | Code::Cancelled)
            }
            Error::Api { status } => crate::commit::is_stores_fault(status),
            Error::Config(_) | Error::Limit(_) => false,
        }
    }

    /// No connection could be made, so nothing was sent.
    pub(crate) fn is_unsent(&self) -> bool {
        let Error::Transport { status, .. } = self else { return false };
        let mut source = std::error::Error::source(&**status);
        while let Some(error) = source {
            if error.is::<tonic::ConnectError>() {
                return true;
            }
            source = error.source();
        }
        false
    }

    pub(crate) fn timeout(server: &str) -> Error {
        let status = Box::new(tonic::Status::deadline_exceeded("no answer in time"));
        Error::Transport { server: server.to_owned(), status }
    }

    pub(crate) fn from_grpc(server: &str, status: tonic::Status) -> Error {
        if let Some(status) = decode_details(status.details()) {
            return Error::Api { status: Box::new(status) };
        }
        if let Some(reason) = answered(status.code()) {
            let status = Status { reason: reason.into(), message: status.message().to_owned(), ..Default::default() };
            return Error::Api { status: Box::new(status) };
        }
        Error::Transport { server: server.to_owned(), status: Box::new(status) }
    }
}

/// The reason that stands for a code by which a server answers; None where it may be that none did.
fn answered(code: Code) -> Option<&'static str> {
    match code {
        Code::InvalidArgument => Some("BadRequest"),
        Code::NotFound => Some("NotFound"),
        Code::AlreadyExists => Some("AlreadyExists"),
        Code::PermissionDenied => Some("Forbidden"),
        Code::Unauthenticated => Some("Unauthorized"),
        Code::Aborted | Code::FailedPrecondition => Some("Conflict"),
        Code::OutOfRange => Some("Expired"),
        Code::Unimplemented => Some("MethodNotAllowed"),
        _ => None,
    }
}

fn describe(status: &tonic::Status) -> String {
    // tonic hides the reason of a failed connection ("transport error") in the chain of sources.
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    if text.is_empty() { status.code().to_string() } else { text }
}

/// google.rpc.Status, the envelope of gRPC's error details.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: bytes::Bytes,
}

fn decode_details(details: &[u8]) -> Option<Status> {
    let envelope = RpcStatus::decode(details).ok()?;
    let detail = envelope.details.into_iter().find(|detail| detail.type_url.ends_with(".meta.v1.Status"))?;
    Status::decode(detail.value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_status_object_among_the_details() {
        let status = Status { reason: "Conflict".into(), message: "stale".into(), ..Default::default() };
        let detail = Any {
            type_url: "type.googleapis.com/k8s.io.apimachinery.pkg.apis.meta.v1.Status".into(),
            value: status.encode_to_vec().into(),
        };
        let details = RpcStatus { details: vec![detail] }.encode_to_vec();
        let error = Error::from_grpc("x", tonic::Status::with_details(Code::Aborted, "stale", details.into()));
        assert!(error.is_conflict());
        assert_eq!(error.to_string(), "stale");
    }

    #[test]
    fn a_refusal_without_details_is_an_answer() {
        let error = Error::from_grpc("x", tonic::Status::failed_precondition("not yours"));
        assert!(error.is_conflict() && !error.is_unreachable());
        assert_eq!(error.to_string(), "not yours");
    }

    #[test]
    fn without_details_it_is_a_transport_error() {
        let error = Error::from_grpc("https://a:1", tonic::Status::unavailable("connection refused"));
        assert!(error.is_unreachable());
        assert_eq!(error.to_string(), "https://a:1: connection refused");
    }
}
