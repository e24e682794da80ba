//! The client port: HTTP/1.1 and HTTP/2, in TLS or (where the configuration allows it) in plaintext.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Requests at a time on one connection.
const STREAMS_MAX: u32 = 65_536;
/// Bytes that a client may send ahead, per stream and per connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Pings of idle connections, and how long their answer may take.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a failed accept, as when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests may take to end after the stop.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// Serves `router` until `stop`, then lets requests end. No connection outlives this: what is still open when it
/// returns or is dropped is cut off, and lets go of what its requests held.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: axum::Router,
    stop: impl Future<Output = ()>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((socket, _)) => {
                connections.spawn(connection(socket, acceptor.clone(), router.clone(), graceful.watcher()));
                // Those that have ended need not be remembered; a panic was logged by the runtime.
                while connections.try_join_next().is_some() {}
            }
            Err(error) => {
                tracing::warn!("a client can't be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    if tokio::time::timeout(DRAIN_MAX, graceful.shutdown()).await.is_err() {
        tracing::info!("requests still open are cut off");
    }
}

async fn connection(socket: TcpStream, acceptor: Option<TlsAcceptor>, router: axum::Router, graceful: Watcher) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!("no TCP_NODELAY: {error}");
    }
    let Some(acceptor) = acceptor else {
        return http(socket, router, graceful).await;
    };
    match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => http(stream, router, graceful).await,
        Ok(Err(error)) => tracing::debug!("a client's handshake failed: {error}"),
        Err(_) => tracing::debug!("a client's handshake took too long"),
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: axum::Router, graceful: Watcher) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_MAX);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router));
    let serving = graceful.watch(serving.into_owned());
    if let Err(error) = serving.await {
        tracing::debug!("a connection ended: {error}");
    }
}
