//! The registry's errors as gRPC: the code that fits, the message of REST, and the Status object as a detail.

use api::status::StatusError;
use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

/// `google.rpc.Status`, as grpc-status-details-bin carries it.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

const STATUS_TYPE: &str = "type.googleapis.com/k8s.io.apimachinery.pkg.apis.meta.v1.Status";

/// The gRPC error.
#[allow(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
pub(crate) fn grpc(error: StatusError) -> Status {
    let code = code(&error);
    let value = Bytes::from(error.status().encode_to_vec());
    let details = RpcStatus {
        code: code.into(),
        message: error.message().to_string(),
        details: vec![Any { type_url: STATUS_TYPE.to_string(), value }],
    };
    Status::with_details(code, error.message(), details.encode_to_vec().into())
}

fn code(error: &StatusError) -> Code {
    match (error.code(), error.reason()) {
        (400 | 422, _) => Code::InvalidArgument,
        (401, _) => Code::Unauthenticated,
        (403, _) => Code::PermissionDenied,
        (404, _) => Code::NotFound,
        (409, "AlreadyExists") => Code::AlreadyExists,
        (409, _) => Code::Aborted,
        (410, _) => Code::OutOfRange,
        (413 | 429, _) => Code::ResourceExhausted,
        (405, _) => Code::Unimplemented,
        (503, _) => Code::Unavailable,
        (504, _) => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}
