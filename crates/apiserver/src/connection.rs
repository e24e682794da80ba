//! The port: accepts connections, finds out who is there, and hands requests to the router.
//!
//! One task a connection; HTTP/2 and HTTP/1.1 by what the client speaks. Each request gets its identity and its
//! connection into the extensions before any face sees it; a bad token is answered here.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use chrono::Utc;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::auth::{self, Authenticator};
use crate::context::Identity;
use crate::grpc::progress::Connection;

/// A client has this long for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Streams that one HTTP/2 connection may have open: controllers and agents watch many kinds over one.
const MAX_STREAMS: u32 = 1024;

/// What is served, and to whom.
pub(crate) struct Listen {
    pub listener: TcpListener,
    /// `None`: plaintext.
    pub acceptor: Option<TlsAcceptor>,
    pub router: Router,
    pub authenticator: Arc<Authenticator>,
    /// Whoever shows no credential is admin (`--insecure`).
    pub everybody: bool,
}

/// Serves until `shutdown`, then gives open requests `drain` to end.
pub(crate) async fn serve(listen: Listen, shutdown: impl Future<Output = ()>, drain: Duration) {
    let listen = Arc::new(listen);
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => break,
            accepted = listen.listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: others will be closed.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let watcher = graceful.watcher();
        let listen = listen.clone();
        tokio::spawn(async move {
            // A client that leaves in the middle is no news.
            if let Err(error) = connect(&listen, stream, watcher).await {
                tracing::debug!(error, "a connection ended");
            }
        });
    }
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::debug!("open streams were cut at the stop");
    }
}

type Watcher = hyper_util::server::graceful::Watcher;

async fn connect(listen: &Listen, stream: TcpStream, watcher: Watcher) -> Result<(), String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let Some(acceptor) = &listen.acceptor else {
        return converse(listen, stream, None, watcher).await;
    };
    let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream));
    let stream = handshake.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let identity = certificate.and_then(|certificate| auth::certificate_identity(certificate)).map(Arc::new);
    converse(listen, stream, identity, watcher).await
}

async fn converse<S>(
    listen: &Listen,
    stream: S,
    identity: Option<Arc<Identity>>,
    watcher: Watcher,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connection = Connection::new();
    let (router, authenticator, everybody) = (listen.router.clone(), listen.authenticator.clone(), listen.everybody);
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, connection) = (router.clone(), connection.clone());
        let identity = identify(&authenticator, &request, identity.as_ref(), everybody);
        async move {
            let mut request = request.map(Body::new);
            match identity {
                Ok(identity) => {
                    request.extensions_mut().insert(identity);
                    request.extensions_mut().insert(connection);
                    router.oneshot(request).await
                }
                Err(error) => Ok::<_, Infallible>(unauthorized(&request, error)),
            }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    watcher.watch(serving).await.map_err(|error| error.to_string())
}

fn identify(
    authenticator: &Authenticator,
    request: &Request<Incoming>,
    certificate: Option<&Arc<Identity>>,
    everybody: bool,
) -> Result<Arc<Identity>, api::status::StatusError> {
    let header = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    if everybody && header.is_none() && certificate.is_none() {
        return Ok(Arc::new(Identity::internal()));
    }
    authenticator.identify(header, certificate, Utc::now())
}

/// 401 in the form that the caller's protocol has.
fn unauthorized(request: &Request<Body>, error: api::status::StatusError) -> Response<Body> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("application/grpc") {
        return crate::grpc::grpc(error).into_http();
    }
    let body = proto::json::to_vec(error.status());
    (StatusCode::UNAUTHORIZED, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
