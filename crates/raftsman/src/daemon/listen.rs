//! Binding ports, with errors that name the flag.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpListener;

use crate::failure::Failure;

/// A port that is bound, and the URL by which this machine reaches it.
pub struct Bound {
    pub listener: TcpListener,
    pub url: String,
    address: SocketAddr,
    secure: bool,
}

impl Bound {
    /// Whether it listens on all addresses, so that its URL is of use on this machine alone.
    pub fn is_unspecified(&self) -> bool {
        self.address.ip().is_unspecified()
    }

    /// The URL by which those reach it who know this machine as `host`.
    pub fn url_at(&self, host: &str) -> String {
        url(self.secure, host, self.address.port())
    }
}

/// Binds the port of `--listen-metrics`, where it is given. Metrics are plaintext by their nature.
pub async fn bind_metrics(address: Option<&str>) -> Result<Option<Bound>, Failure> {
    match address {
        Some(address) => bind("--listen-metrics", address, true).await.map(Some),
        None => Ok(None),
    }
}

/// Binds what `flag` names; port 0 draws one. Who is not `secure` gets a loopback address only.
pub async fn bind(flag: &str, address: &str, secure: bool) -> Result<Bound, Failure> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "stop what listens there or choose another port",
            ErrorKind::PermissionDenied => "choose a port above 1023",
            _ => "give it HOST:PORT with an address of this machine",
        };
        Failure::Failed(format!("cannot listen on {address}: {error}; {advice} ({flag})"))
    })?;
    let local = listener.local_addr().map_err(Failure::failed)?;
    if !secure && !local.ip().is_loopback() {
        return Err(Failure::Usage(format!(
            "--insecure allows plaintext on a loopback address only, not on {local} ({flag}); give --pki-dir"
        )));
    }
    let host = match local.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    };
    Ok(Bound { listener, url: url(secure, &host, local.port()), address: local, secure })
}

fn url(secure: bool, host: &str, port: u16) -> String {
    let scheme = if secure { "https" } else { "http" };
    format!("{scheme}://{host}:{port}")
}
