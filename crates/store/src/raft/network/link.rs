//! Connections to the other members: made when they are needed, made again when they broke, and kept over changes
//! of the leader, so that an election finds them open.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::raft::types::Peer;

/// How long a connection may take, with its handshake: an unreachable member must not hold up a retry for long.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How often an idle connection is asked whether it lives, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes that may be under way, per call and per connection.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What a connection is for. Each has one of its own, so that a big one of these can't hold up a small one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Votes and entries.
    Log,
    /// Heartbeats, which keep the leader's lease.
    Heartbeat,
    /// Snapshots.
    Snapshot,
    /// What a follower asks of the leader.
    Leader,
}

/// All connections of this member.
pub struct Links {
    tls: Option<Arc<rustls::ClientConfig>>,
    open: Mutex<HashMap<(u64, Lane), Link>>,
    /// Where tests want connections to go instead.
    #[cfg(test)]
    via: HashMap<String, String>,
}

struct Link {
    /// Shared with the connection, which reads it whenever it is made anew.
    urls: Urls,
    channel: Channel,
}

type Urls = Arc<Mutex<Vec<String>>>;

impl Links {
    /// Connections with the member's certificate, or in plaintext.
    pub fn new(tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        Self {
            tls,
            open: Mutex::default(),
            #[cfg(test)]
            via: HashMap::new(),
        }
    }

    /// Connections in plaintext, which go to other addresses than they name.
    #[cfg(test)]
    pub fn via(via: HashMap<String, String>) -> Self {
        Self { via, ..Self::new(None) }
    }

    /// The connection to a member; it is made by the first call on it.
    pub fn channel(&self, id: u64, peer: &Peer, lane: Lane) -> Channel {
        let mut open = self.open.lock();
        let link = open.entry((id, lane)).or_insert_with(|| {
            let urls = Urls::default();
            Link { channel: self.connect_to(urls.clone()), urls }
        });
        *link.urls.lock() = self.found(&peer.peer_urls);
        link.channel.clone()
    }

    /// A member is reached elsewhere from now on: connections that break are made to there.
    pub fn moved(&self, id: u64, urls: &[String]) {
        let open = self.open.lock();
        for link in open.iter().filter(|((member, _), _)| *member == id).map(|(_, link)| link) {
            *link.urls.lock() = self.found(urls);
        }
    }

    /// A connection to the first of `urls` that takes it.
    pub fn connect(&self, urls: Vec<String>) -> Channel {
        self.connect_to(Arc::new(Mutex::new(self.found(&urls))))
    }

    #[cfg(not(test))]
    fn found(&self, urls: &[String]) -> Vec<String> {
        urls.to_vec()
    }

    #[cfg(test)]
    fn found(&self, urls: &[String]) -> Vec<String> {
        urls.iter().map(|url| self.via.get(url).unwrap_or(url).clone()).collect()
    }

    fn connect_to(&self, urls: Urls) -> Channel {
        let tls = self.tls.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let (urls, tls) = (urls.lock().clone(), tls.clone());
            async move { dial(&urls, tls).await }
        });
        // The address is the connector's matter; the name only fills the requests' authority.
        Endpoint::from_static("http://member")
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect_with_connector_lazy(connector)
    }
}

/// A byte stream, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn dial(urls: &[String], tls: Option<Arc<rustls::ClientConfig>>) -> io::Result<TokioIo<Box<dyn Stream>>> {
    let mut failure = io::Error::other("the member has no peer URL");
    for url in urls {
        let attempt = tokio::time::timeout(CONNECT_MAX, reach(url, tls.clone())).await;
        match attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(TokioIo::new(stream)),
            Err(error) => failure = io::Error::new(error.kind(), format!("{url}: {error}")),
        }
    }
    Err(failure)
}

async fn reach(url: &str, tls: Option<Arc<rustls::ClientConfig>>) -> io::Result<Box<dyn Stream>> {
    let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidInput, reason.to_owned());
    let uri: Uri = url.parse().map_err(|_| invalid("it is no URL"))?;
    let host = uri.host().ok_or_else(|| invalid("it has no host"))?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().ok_or_else(|| invalid("it has no port"))?;
    let socket = TcpStream::connect((host.as_str(), port)).await?;
    socket.set_nodelay(true)?;
    match (uri.scheme_str(), tls) {
        (Some("https"), Some(tls)) => {
            let name = ServerName::try_from(host).map_err(|_| invalid("its host is no name"))?;
            Ok(Box::new(TlsConnector::from(tls).connect(name, socket).await?))
        }
        (Some("http"), None) => Ok(Box::new(socket)),
        (Some("https"), None) => Err(invalid("it needs TLS, which this member was started without")),
        _ => Err(invalid("it is not https, which this member speaks")),
    }
}
