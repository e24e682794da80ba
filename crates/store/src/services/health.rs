//! What is asked over plain HTTP, and the standard health service of gRPC.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt;
use futures::stream::BoxStream;
use prometheus_client::encoding::prometheus_text;
use proto::etcdserverpb::{AlarmType, RangeRequest};
use tonic::{Request as GrpcRequest, Response as GrpcResponse, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{CLUSTER_VERSION, Context, ETCD_VERSION};

type Answer = ([(header::HeaderName, &'static str); 1], String);
/// A query's parameters, in order; one may come several times.
type Parameters = Query<Vec<(String, String)>>;

const PLAIN: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

/// What `/livez` and `/readyz` look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

const LIVE: [Check; 1] = [Check::SerializableRead];
const READY: [Check; 4] = [Check::DataCorruption, Check::SerializableRead, Check::LinearizableRead, Check::NonLearner];

/// The HTTP paths.
pub fn http(context: Arc<Context>) -> Router {
    Router::new()
        .route("/health", get(etcd_health))
        .route("/livez", get(|state: State<_>, query: Parameters| checked(state, None, query, &LIVE)))
        .route(
            "/livez/{check}",
            get(|state: State<_>, check: Path<_>, query| checked(state, Some(check.0), query, &LIVE)),
        )
        .route("/readyz", get(|state: State<_>, query: Parameters| checked(state, None, query, &READY)))
        .route(
            "/readyz/{check}",
            get(|state: State<_>, check: Path<_>, query| checked(state, Some(check.0), query, &READY)),
        )
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .with_state(context)
}

/// What is said where there is nothing: in gRPC to a client that calls, in HTTP to all others.
pub async fn nothing(request: Request) -> Response {
    let is_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    if request.headers().get(header::CONTENT_TYPE).is_some_and(is_grpc) {
        let path = request.uri().path();
        return match names(path) {
            Some((service, _)) => Status::unimplemented(format!("unknown service {service}")).into_http(),
            None => Status::unimplemented(format!("malformed method name: {path:?}")).into_http(),
        };
    }
    (StatusCode::NOT_FOUND, PLAIN, "404 page not found\n").into_response()
}

/// Service and method of a gRPC path.
fn names(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/').unwrap_or(path).rsplit_once('/')
}

/// What our library says to a call without a message, as it is in a header.
const NO_MESSAGE: &[u8] = b"Missing%20request%20message.";

/// The layer over the services' routes that words refusals of what is no call as Go's library does: an unknown method, and
/// no message at all.
pub async fn method(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let headers = response.headers();
    if headers.get(Status::GRPC_MESSAGE).is_some_and(|message| message.as_bytes() == NO_MESSAGE) {
        return Status::unknown("EOF").into_http();
    }
    let unimplemented = headers.get(Status::GRPC_STATUS).is_some_and(|code| code.as_bytes() == b"12");
    match names(&path) {
        Some((service, method)) if unimplemented && !headers.contains_key(Status::GRPC_MESSAGE) => {
            Status::unimplemented(format!("unknown method {method} for service {service}")).into_http()
        }
        _ => response,
    }
}

/// The gRPC health service. As etcd's it knows the server as a whole, which serves, and none of its services by name.
pub struct HealthService;

fn health_of(service: &str) -> ServingStatus {
    if service.is_empty() { ServingStatus::Serving } else { ServingStatus::ServiceUnknown }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: GrpcRequest<HealthCheckRequest>,
    ) -> Result<GrpcResponse<HealthCheckResponse>, Status> {
        match health_of(&request.into_inner().service) {
            ServingStatus::ServiceUnknown => Err(Status::not_found("unknown service")),
            status => Ok(GrpcResponse::new(HealthCheckResponse { status: status.into() })),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(&self, request: GrpcRequest<HealthCheckRequest>) -> Result<GrpcResponse<Self::WatchStream>, Status> {
        let status = health_of(&request.into_inner().service).into();
        // It never changes, and the stream ends with the server.
        let once = futures::stream::once(std::future::ready(Ok(HealthCheckResponse { status })));
        Ok(GrpcResponse::new(once.chain(futures::stream::pending()).boxed()))
    }
}

/// The gRPC health service.
pub fn health() -> HealthServer<HealthService> {
    HealthServer::new(HealthService)
}

fn json(text: String) -> Answer {
    ([(header::CONTENT_TYPE, "application/json")], text)
}

async fn etcd_health(State(context): State<Arc<Context>>, Query(query): Parameters) -> Response {
    let asked = |name: &str, value: &str| query.iter().any(|(key, given)| key == name && given == value);
    let alarms = context.view.shared().group.read().alarms.clone();
    let alarms =
        alarms.iter().map(|(_, kind)| AlarmType::try_from(*kind).map_or("UNKNOWN", |alarm| alarm.as_str_name()));
    let alarm = alarms.into_iter().find(|name| !asked("exclude", name));
    let local = asked("serializable", "true");
    let reason = match alarm {
        Some(name) => format!("ALARM {name}"),
        None if !local && context.node.status().leadership.leader.is_none() => "RAFT NO LEADER".into(),
        None => match Check::read(&context, local).await {
            Ok(()) => return json(r#"{"health":"true","reason":""}"#.into()).into_response(),
            Err(error) => format!("RANGE ERROR:{error}"),
        },
    };
    let body = serde_json::json!({ "health": "false", "reason": reason });
    unavailable(&body.to_string())
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    async fn read(context: &Context, serializable: bool) -> Result<(), String> {
        if !serializable {
            context.read_barrier().await.map_err(|status| status.message().to_owned())?;
        }
        let any = RangeRequest { key: [0].to_vec().into(), keys_only: true, limit: 1, ..Default::default() };
        // Beside the refusal of a member that is accused of damage, which has a check of its own.
        let view = context.view.clone();
        let read = tokio::task::spawn_blocking(move || view.range(&any)).await;
        read.map_err(|error| error.to_string())?.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn run(self, context: &Context) -> Result<(), String> {
        match self {
            Self::DataCorruption if context.view.shared().group.read().alarmed(AlarmType::Corrupt) => {
                Err("alarm activated: CORRUPT".into())
            }
            Self::NonLearner if context.node.status().learner => Err("not supported for learner".into()),
            Self::DataCorruption | Self::NonLearner => Ok(()),
            Self::SerializableRead => Self::read(context, true).await,
            Self::LinearizableRead => Self::read(context, false).await,
        }
    }
}

/// Runs one of the checks, or all but those that the query excludes.
async fn checked(
    State(context): State<Arc<Context>>,
    only: Option<String>,
    Query(query): Parameters,
    checks: &'static [Check],
) -> Response {
    if only.as_deref().is_some_and(|name| checks.iter().all(|check| check.name() != name)) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let excluded = |check: &Check| query.iter().any(|(key, name)| key == "exclude" && name == check.name());
    let (mut said, mut failed) = (String::new(), false);
    for check in checks {
        if only.as_deref().map_or_else(|| excluded(check), |name| check.name() != name) {
            continue;
        }
        let name = check.name();
        match check.run(&context).await {
            Ok(()) => said += &format!("[+]{name} ok\n"),
            Err(error) => {
                failed = true;
                said += &format!("[-]{name} failed: {error}\n");
            }
        }
    }
    if failed {
        return unavailable(&said);
    }
    let verbose = query.iter().any(|(key, _)| key == "verbose");
    (PLAIN, format!("{}ok\n", if verbose { &said } else { "" })).into_response()
}

/// A failure as Go's HTTP library tells it: in plain text with a line end behind it, whatever it is.
fn unavailable(text: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{text}\n")).into_response()
}

async fn version() -> Answer {
    json(format!(
        r#"{{"etcdserver":"{ETCD_VERSION}","etcdcluster":"{CLUSTER_VERSION}","storage":"{CLUSTER_VERSION}"}}"#
    ))
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let mut text = String::new();
    // Reading sizes and counts takes locks and asks RocksDB, but for microseconds.
    match prometheus_text::encode(&mut text, &context.registry.lock()) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
