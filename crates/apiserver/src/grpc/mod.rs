//! The gRPC face: one service a kind, and the few that are about more than one object. It contains no rule.

mod agent;
mod codec;
mod commit;
mod election;
mod kinds;
mod messages;
mod output;
pub(crate) mod progress;
mod status;

use std::sync::Arc;

use axum::Router;
use chrono::Utc;
use proto::raftsman_v1::agent_service_server::AgentServiceServer;
use proto::raftsman_v1::commit_service_server::CommitServiceServer;
use proto::raftsman_v1::election_service_server::ElectionServiceServer;
use proto::raftsman_v1::output_service_server::OutputServiceServer;
use proto::raftsman_v1::watch_service_server::WatchServiceServer;
use tonic::Status;
use tonic::service::Routes;

pub(crate) use status::grpc;

use crate::context::{Identity, RequestContext};
use crate::registry::Registry;

/// All gRPC services as routes of the API port.
///
/// # Errors
/// When the descriptors of reflection are damaged, which is a fault of the build.
pub fn router(registry: &Arc<Registry>) -> Result<Router, tonic_reflection::server::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    tokio::spawn(async move { health.set_service_status("", tonic_health::ServingStatus::Serving).await });
    let big = 4 << 20;
    let routes = Routes::new(health_service)
        .add_service(reflection(registry).build_v1()?)
        .add_service(reflection(registry).build_v1alpha()?)
        .add_service(CommitServiceServer::new(commit::Service(registry.clone())).max_decoding_message_size(big))
        .add_service(ElectionServiceServer::new(election::Service::new(registry)))
        .add_service(WatchServiceServer::new(progress::Service(registry.clone())))
        .add_service(OutputServiceServer::new(output::Service(registry.clone())))
        .add_service(AgentServiceServer::new(agent::Service(registry.clone())).max_decoding_message_size(big));
    Ok(routes.into_axum_router().reset_fallback().merge(kinds::router(registry)))
}

/// Reflection of what this port serves; the store's services have the same descriptors, but another port.
fn reflection(registry: &Registry) -> tonic_reflection::server::Builder<'static> {
    let mut builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health");
    for name in ["AgentService", "CommitService", "ElectionService", "OutputService", "WatchService"] {
        builder = builder.with_service_name(format!("raftsman.v1.{name}"));
    }
    for resource in registry.resources() {
        builder = builder.with_service_name(format!("raftsman.v1.{}Service", resource.info.kind));
    }
    builder
}

/// The request's surroundings: the listener has put the identity into the extensions.
fn context(extensions: &http::Extensions) -> RequestContext {
    let identity = extensions.get::<Arc<Identity>>().cloned().unwrap_or_else(|| Arc::new(Identity::anonymous()));
    RequestContext::new(identity, Utc::now())
}

/// `dry_run: ["All"]`.
fn dry_run(asked: &[String]) -> Result<bool, Status> {
    match asked.iter().find(|run| *run != "All") {
        Some(other) => Err(Status::invalid_argument(format!("dry_run: {other:?} is not supported: write \"All\""))),
        None => Ok(!asked.is_empty()),
    }
}
