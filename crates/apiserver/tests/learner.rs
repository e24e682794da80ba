//! An API server beside a member that has no vote yet, and serves next to nothing.

mod plane;

use std::time::Duration;

use proto::raftsman_v1::ListRequest;
use proto::raftsman_v1::namespace_service_client::NamespaceServiceClient;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};

/// Refuses every call as etcd's learner does; gives its URL.
async fn learner() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let refusal = || async {
        Status::failed_precondition("etcdserver: rpc not supported for learner").into_http::<axum::body::Body>()
    };
    let routes = tonic::service::Routes::from(axum::Router::new().fallback(refusal));
    tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(TcpIncoming::from(listener)));
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_beside_a_learner_goes_to_another_member() {
    let plane = plane::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (ready, is_ready) = oneshot::channel();
    let config = apiserver::Config {
        store: apiserver::StoreEndpoint {
            endpoints: vec![learner().await],
            discover: true,
            others: vec![plane.store.clone()],
            ..Default::default()
        },
        insecure_admin: true,
        version: "v1.36.0+raftsman.test".into(),
        ready: Some(ready),
        ..apiserver::Config::default()
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(apiserver::run(config, listener, async move {
        stopped.await.ok();
    }));
    tokio::time::timeout(Duration::from_secs(30), is_ready).await.expect("in time").expect("it serves");
    let channel = Endpoint::from_shared(url).expect("a URL").connect().await.expect("connected");
    let mut namespaces = NamespaceServiceClient::new(channel);
    let listed = namespaces.list(ListRequest::default()).await.expect("served").into_inner();
    assert!(!listed.items.is_empty(), "what is stored is seen");
    stop.send(()).expect("it runs");
    running.await.expect("no panic").expect("a clean end");
}
