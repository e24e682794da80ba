//! Counting RPCs, whichever service answers them.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tonic::Code;

/// Labels as the Go libraries have them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rpc {
    grpc_service: String,
    grpc_method: String,
    grpc_code: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Rpcs(Family<Rpc, Counter>);

impl Rpcs {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "RPCs that were answered, by code; a stream counts once, when it is opened or refused";
        registry.register("grpc_server_handled", help, self.0.clone());
    }
}

/// Layer of a router: counts what is answered. A call that fails tells its code in the answer's head.
pub(crate) async fn count(State(rpcs): State<Rpcs>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let code = response.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
    if let Some((service, method)) = path.trim_start_matches('/').split_once('/') {
        rpcs.0.get_or_create(&labels(service, method, code)).inc();
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
        assert_eq!(labels("raftsman.v1.JobService", "Get", Code::NotFound).grpc_method, "Get");
        assert_eq!(labels("raftsman.v1.JobService", "Nope", Code::Unimplemented).grpc_method, "");
    }
}
