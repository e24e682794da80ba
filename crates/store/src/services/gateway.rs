//! The services as JSON over plain HTTP, as etcd's gRPC gateway has them: `POST /v3/kv/put` with a request in
//! protobuf's JSON (bytes in base64, numbers of 64 bits as text) is the call `etcdserverpb.KV/Put`.
//!
//! A stream of responses is one line `{"result":...}` each; a refusal is `{"code":...,"message":...}` under the HTTP
//! status that goes with its code, within a stream a line `{"error":...}`. Each request goes through the gRPC routes
//! with all their layers, so what holds for them holds here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::any;
use bytes::{Buf, BufMut, Bytes};
use futures::{Stream, StreamExt, TryStreamExt};
use prost::Message;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use proto::json::Document;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status, Streaming};

use super::proto_json;

/// Bytes of a body; base64 and JSON make a message of 2 MiB larger.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Headers that begin so go along as metadata.
const METADATA: &str = "grpc-metadata-";

/// Path behind `/v3/`, and the method that it calls.
#[rustfmt::skip]
const PATHS: &[(&str, &str)] = &[
    ("auth/authenticate", "etcdserverpb.Auth.Authenticate"),
    ("auth/disable", "etcdserverpb.Auth.AuthDisable"),
    ("auth/enable", "etcdserverpb.Auth.AuthEnable"),
    ("auth/role/add", "etcdserverpb.Auth.RoleAdd"),
    ("auth/role/delete", "etcdserverpb.Auth.RoleDelete"),
    ("auth/role/get", "etcdserverpb.Auth.RoleGet"),
    ("auth/role/grant", "etcdserverpb.Auth.RoleGrantPermission"),
    ("auth/role/list", "etcdserverpb.Auth.RoleList"),
    ("auth/role/revoke", "etcdserverpb.Auth.RoleRevokePermission"),
    ("auth/status", "etcdserverpb.Auth.AuthStatus"),
    ("auth/user/add", "etcdserverpb.Auth.UserAdd"),
    ("auth/user/changepw", "etcdserverpb.Auth.UserChangePassword"),
    ("auth/user/delete", "etcdserverpb.Auth.UserDelete"),
    ("auth/user/get", "etcdserverpb.Auth.UserGet"),
    ("auth/user/grant", "etcdserverpb.Auth.UserGrantRole"),
    ("auth/user/list", "etcdserverpb.Auth.UserList"),
    ("auth/user/revoke", "etcdserverpb.Auth.UserRevokeRole"),
    ("cluster/member/add", "etcdserverpb.Cluster.MemberAdd"),
    ("cluster/member/list", "etcdserverpb.Cluster.MemberList"),
    ("cluster/member/promote", "etcdserverpb.Cluster.MemberPromote"),
    ("cluster/member/remove", "etcdserverpb.Cluster.MemberRemove"),
    ("cluster/member/update", "etcdserverpb.Cluster.MemberUpdate"),
    ("election/campaign", "v3electionpb.Election.Campaign"),
    ("election/leader", "v3electionpb.Election.Leader"),
    ("election/observe", "v3electionpb.Election.Observe"),
    ("election/proclaim", "v3electionpb.Election.Proclaim"),
    ("election/resign", "v3electionpb.Election.Resign"),
    ("kv/compaction", "etcdserverpb.KV.Compact"),
    ("kv/deleterange", "etcdserverpb.KV.DeleteRange"),
    ("kv/lease/leases", "etcdserverpb.Lease.LeaseLeases"),
    ("kv/lease/revoke", "etcdserverpb.Lease.LeaseRevoke"),
    ("kv/lease/timetolive", "etcdserverpb.Lease.LeaseTimeToLive"),
    ("kv/put", "etcdserverpb.KV.Put"),
    ("kv/range", "etcdserverpb.KV.Range"),
    ("kv/txn", "etcdserverpb.KV.Txn"),
    ("lease/grant", "etcdserverpb.Lease.LeaseGrant"),
    ("lease/keepalive", "etcdserverpb.Lease.LeaseKeepAlive"),
    ("lease/leases", "etcdserverpb.Lease.LeaseLeases"),
    ("lease/revoke", "etcdserverpb.Lease.LeaseRevoke"),
    ("lease/timetolive", "etcdserverpb.Lease.LeaseTimeToLive"),
    ("lock/lock", "v3lockpb.Lock.Lock"),
    ("lock/unlock", "v3lockpb.Lock.Unlock"),
    ("maintenance/alarm", "etcdserverpb.Maintenance.Alarm"),
    ("maintenance/defragment", "etcdserverpb.Maintenance.Defragment"),
    ("maintenance/downgrade", "etcdserverpb.Maintenance.Downgrade"),
    ("maintenance/hash", "etcdserverpb.Maintenance.Hash"),
    ("maintenance/hashkv", "etcdserverpb.Maintenance.HashKV"),
    ("maintenance/snapshot", "etcdserverpb.Maintenance.Snapshot"),
    ("maintenance/status", "etcdserverpb.Maintenance.Status"),
    ("maintenance/transfer-leadership", "etcdserverpb.Maintenance.MoveLeader"),
    ("watch", "etcdserverpb.Watch.Watch"),
];

struct Gateway {
    grpc: Router,
    methods: HashMap<&'static str, MethodDescriptor>,
}

/// The paths, over the routes of the gRPC services.
pub fn routes(grpc: Router) -> Result<Router, DescriptorError> {
    let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET)?;
    let all: Vec<_> = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let method = |name: &str| all.iter().find(|method| method.full_name() == name).cloned();
    let methods = PATHS.iter().filter_map(|(path, name)| Some((*path, method(name)?))).collect();
    let gateway = Arc::new(Gateway { grpc, methods });
    Ok(Router::new()
        .route("/v3", any(|| async { Redirect::temporary("/v3/") }))
        .route("/v3/", any(|| async { not_found() }))
        .route("/v3/{*path}", any(answer))
        .route("/v3beta/{*path}", any(answer))
        .with_state(gateway))
}

fn not_found() -> Response {
    refusal(&Status::not_found("Not Found"))
}

async fn answer(State(gateway): State<Arc<Gateway>>, Path(path): Path<String>, request: Request) -> Response {
    let Some(method) = gateway.methods.get(path.as_str()) else { return not_found() };
    // Sent by browsers only, whose pages have no business here: with --insecure nothing else would keep them out.
    if request.headers().contains_key(header::ORIGIN) {
        return refusal(&Status::permission_denied("requests of web pages are not taken"));
    }
    if request.method() != Method::POST {
        return refusal(&Status::unimplemented("Method Not Allowed"));
    }
    let (head, body) = request.into_parts();
    let outcome = match axum::body::to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => gateway.call(method, &head.headers, &body).await,
        Err(error) => {
            Err(Status::resource_exhausted(format!("larger than {BODY_BYTES_MAX} bytes, or cut off: {error}")))
        }
    };
    outcome.unwrap_or_else(|status| refusal(&status))
}

impl Gateway {
    async fn call(&self, method: &MethodDescriptor, headers: &HeaderMap, body: &[u8]) -> Result<Response, Status> {
        let requests = requests(&method.input(), body, method.is_client_streaming())?;
        let mut request = tonic::Request::new(futures::stream::iter(requests));
        for (name, value) in headers {
            if let Some(name) = name.as_str().strip_prefix(METADATA)
                && let Ok(name) = header::HeaderName::try_from(name)
            {
                let mut metadata = std::mem::take(request.metadata_mut()).into_headers();
                metadata.append(name, value.clone());
                *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(metadata);
            }
        }
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path = PathAndQuery::try_from(path).map_err(|error| Status::internal(error.to_string()))?;
        let mut grpc = Grpc::with_origin(self.grpc.clone(), Uri::from_static("http://gateway"))
            .max_decoding_message_size(usize::MAX);
        let answered = grpc.streaming(request, path, Raw).await;
        if method.is_server_streaming() {
            // Also where the call itself is refused.
            return Ok(lines(method.output(), answered.map(tonic::Response::into_inner)).await);
        }
        let message = answered?.into_inner().message().await?;
        let text = text(&method.output(), message.ok_or_else(|| Status::internal("no answer"))?)?;
        Ok((JSON, METADATA_CONTENT, text).into_response())
    }
}

const JSON: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];
const METADATA_CONTENT: [(&str, &str); 1] = [("grpc-metadata-content-type", "application/grpc")];

/// The messages of a body: the first one, or all of a stream's. No body at all is a message without anything in it.
fn requests(input: &MessageDescriptor, body: &[u8], all: bool) -> Result<Vec<Bytes>, Status> {
    let mut messages = Vec::new();
    for value in serde_json::Deserializer::from_slice(body).into_iter::<Document>() {
        let value = value.map_err(|error| match error.is_eof() {
            true => Status::invalid_argument("unexpected EOF"),
            false => Status::invalid_argument(format!("invalid JSON: {error}")),
        });
        let message =
            value.and_then(|Document(value)| proto_json::read(input, &value).map_err(Status::invalid_argument));
        match message {
            Ok(message) => messages.push(message.encode_to_vec().into()),
            // As etcd: a stream's requests end there, and those before are answered.
            Err(_) if all => return Ok(messages),
            Err(status) => return Err(status),
        }
        if !all {
            return Ok(messages);
        }
    }
    if messages.is_empty() && !all {
        messages.push(Bytes::new());
    }
    Ok(messages)
}

/// A response in JSON.
fn text(output: &MessageDescriptor, message: Bytes) -> Result<String, Status> {
    let message =
        DynamicMessage::decode(output.clone(), message).map_err(|error| Status::internal(error.to_string()))?;
    Ok(proto_json::write(&message))
}

fn status_text(status: &Status) -> String {
    let message = serde_json::Value::from(status.message());
    format!(r#"{{"code":{},"message":{message}}}"#, status.code() as i32)
}

fn refusal(status: &Status) -> Response {
    (http_status(status.code()), JSON, status_text(status)).into_response()
}

/// A stream's responses as lines. The HTTP status waits for the first.
async fn lines(output: MessageDescriptor, answered: Result<Streaming<Bytes>, Status>) -> Response {
    let error_line = |status: &Status| format!("{{\"error\":{}}}\n", status_text(status));
    let refused = |status: Status| (http_status(status.code()), JSON, error_line(&status)).into_response();
    let mut stream = match answered {
        Ok(stream) => stream,
        Err(status) => return refused(status),
    };
    let first = match stream.message().await {
        Ok(first) => first,
        Err(status) => return refused(status),
    };
    let messages = futures::stream::iter(first).map(Ok).chain(stream.into_stream());
    let lines = messages.map(move |message| {
        let line = message.and_then(|message| text(&output, message));
        Ok::<_, Infallible>(match line {
            Ok(text) => format!("{{\"result\":{text}}}\n"),
            Err(status) => error_line(&status),
        })
    });
    (JSON, METADATA_CONTENT, body(lines)).into_response()
}

fn body(lines: impl Stream<Item = Result<String, Infallible>> + Send + 'static) -> Body {
    Body::from_stream(lines)
}

fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // nginx's, for a client that has gone away.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Messages as they are.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_calls_a_method() {
        let gateway = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
        for (path, name) in PATHS {
            let (service, method) = name.rsplit_once('.').unwrap();
            let service = gateway.get_service_by_name(service).unwrap();
            assert!(service.methods().any(|known| known.name() == method), "{path}");
        }
    }
}
