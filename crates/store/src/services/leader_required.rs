//! Calls whose client wants a member that has a leader: metadata `hasleader: true`, as etcd's clients send it.
//! (Watches look for the leader for as long as they last, and by themselves.)

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;

use super::Context;

/// The layer over the services' routes.
pub async fn gate(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let led = context.node.leadership().borrow().leader.is_some();
    match led || !is_wanted(request.headers()) || request.uri().path() == "/etcdserverpb.Watch/Watch" {
        true => next.run(request).await,
        false => Status::unavailable("etcdserver: no leader").into_http(),
    }
}

/// Whether the client wants a leader.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get("hasleader").is_some_and(|value| value == "true")
}
