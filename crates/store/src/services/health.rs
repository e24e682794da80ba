//! What is asked over plain HTTP, and the standard health service of gRPC.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{CLUSTER_VERSION, Context, ETCD_VERSION};

type Answer = ([(header::HeaderName, &'static str); 1], String);

/// The HTTP paths.
pub fn http(context: Arc<Context>) -> Router {
    Router::new()
        .route("/health", get(etcd_health))
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .with_state(context)
}

/// The gRPC health service: `""` and every service of ours are serving.
pub async fn health() -> tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health> {
    let (reporter, service) = tonic_health::server::health_reporter();
    for name in ["etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease", "etcdserverpb.Maintenance"] {
        reporter.set_service_status(name, tonic_health::ServingStatus::Serving).await;
    }
    service
}

fn json(text: String) -> Answer {
    ([(header::CONTENT_TYPE, "application/json")], text)
}

async fn etcd_health(State(context): State<Arc<Context>>) -> Response {
    let alarm = context.view.shared().group.read().alarms.iter().next().copied();
    let reason = match (alarm, context.read_barrier().await) {
        (Some((_, kind)), _) => {
            let alarm = proto::etcdserverpb::AlarmType::try_from(kind).unwrap_or_default();
            format!("ALARM {}", alarm.as_str_name())
        }
        (None, Err(status)) => format!("RANGE ERROR:{}", status.message()),
        (None, Ok(())) => return json(r#"{"health":"true","reason":""}"#.into()).into_response(),
    };
    let body = serde_json::json!({ "health": "false", "reason": reason });
    (StatusCode::SERVICE_UNAVAILABLE, json(body.to_string())).into_response()
}

async fn ready(State(context): State<Arc<Context>>) -> Response {
    match context.read_barrier().await {
        Ok(()) => "ok".into_response(),
        Err(status) => (StatusCode::SERVICE_UNAVAILABLE, status.message().to_owned()).into_response(),
    }
}

async fn version() -> Answer {
    json(format!(
        r#"{{"etcdserver":"{ETCD_VERSION}","etcdcluster":"{CLUSTER_VERSION}","storage":"{CLUSTER_VERSION}"}}"#
    ))
}

async fn metrics(State(context): State<Arc<Context>>) -> Answer {
    let raft = context.node.status();
    let shared = context.view.shared();
    let (total, in_use) = context.view.disk().sizes();
    let leads = i64::from(raft.leadership.leader == Some(context.node.id()));
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: i64| {
        // Writing to a string can't fail.
        let _infallible = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    };
    gauge("etcd_server_has_leader", "Whether a leader is known.", i64::from(raft.leadership.leader.is_some()));
    gauge("etcd_server_is_leader", "Whether this member leads.", leads);
    gauge("etcd_server_proposals_committed_total", "Last entry of the log.", raft.last_index as i64);
    gauge("etcd_server_proposals_applied_total", "Last entry applied.", raft.applied_index as i64);
    gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes of the state database.", total);
    gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of what is alive in it.", in_use);
    gauge("etcd_debugging_mvcc_keys_total", "Keys with any version.", shared.index.read().keys() as i64);
    gauge("etcd_debugging_mvcc_current_revision", "Newest revision.", shared.visible());
    gauge("etcd_debugging_mvcc_compact_revision", "Compacted revision.", shared.compacted());
    gauge("etcd_debugging_mvcc_watcher_total", "Watches.", context.hub.watchers() as i64);
    gauge("etcd_debugging_lease_total", "Leases.", shared.leases.read().iter().count() as i64);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
