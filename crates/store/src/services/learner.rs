//! What a learner does not serve: everything but its status, its snapshot and serializable reads.
//!
//! etcd's clients know the refusal and go to another member.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;

use super::Context;

/// Calls that a learner takes. The range service itself asks for a serializable one.
const SERVED: [&str; 3] =
    ["/etcdserverpb.Maintenance/Status", "/etcdserverpb.Maintenance/Snapshot", "/etcdserverpb.KV/Range"];
/// Services of etcd; others (health, reflection) are nobody's data.
const GUARDED: [&str; 3] = ["/etcdserverpb.", "/v3lockpb.", "/v3electionpb."];

/// The layer over the services' routes.
pub async fn gate(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    match is_guarded(request.uri().path()) && context.node.is_learner() {
        true => refusal().into_http(),
        false => next.run(request).await,
    }
}

fn is_guarded(path: &str) -> bool {
    GUARDED.iter().any(|service| path.starts_with(service)) && !SERVED.contains(&path)
}

/// etcd's words.
pub fn refusal() -> Status {
    Status::failed_precondition("etcdserver: rpc not supported for learner")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learner_serves_what_etcds_does() {
        for served in ["/etcdserverpb.KV/Range", "/etcdserverpb.Maintenance/Status", "/grpc.health.v1.Health/Check"] {
            assert!(!is_guarded(served), "{served}");
        }
        for refused in ["/etcdserverpb.KV/Put", "/etcdserverpb.Watch/Watch", "/v3lockpb.Lock/Lock"] {
            assert!(is_guarded(refused), "{refused}");
        }
    }
}
