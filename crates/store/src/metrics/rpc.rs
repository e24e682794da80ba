//! Counting RPCs, whichever service answers them.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use tonic::Code;

use super::Metrics;

/// Labels of `grpc_server_handled_total`, as the Go libraries have them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Rpc {
    grpc_service: String,
    grpc_method: String,
    grpc_code: String,
}

/// Layer of a router: counts what is answered. The code of a call that fails stands in the answer's head; that of a
/// stream that fails later comes behind its messages and is not looked at.
pub async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let is_grpc =
        response.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if let Some((service, method)) = path.trim_start_matches('/').split_once('/').filter(|_| is_grpc) {
        let code = response.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        metrics.rpcs.get_or_create(&labels(service, method, code)).inc();
    }
    response
}

/// What no service of ours knows has no name here: names of clients' invention must not become series.
fn labels(service: &str, method: &str, code: Code) -> Rpc {
    let (service, method) = if code == Code::Unimplemented { ("", "") } else { (service, method) };
    Rpc { grpc_service: service.into(), grpc_method: method.into(), grpc_code: name(code) }
}

/// As the Go libraries write it.
fn name(code: Code) -> String {
    match code {
        Code::Ok => "OK".into(),
        Code::Cancelled => "Canceled".into(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_method_makes_no_series_of_its_own() {
        let known = labels("etcdserverpb.KV", "Put", Code::NotFound);
        assert_eq!((known.grpc_method.as_str(), known.grpc_code.as_str()), ("Put", "NotFound"));
        assert_eq!(labels("etcdserverpb.KV", "Nope", Code::Unimplemented).grpc_method, "");
        assert_eq!(labels("etcdserverpb.KV", "Put", Code::Ok).grpc_code, "OK");
    }
}
