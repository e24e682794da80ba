//! Binding ports, with errors that name the flag.

use std::io::ErrorKind;

use tokio::net::TcpListener;

use crate::failure::Failure;

/// A port that is bound, and the URL by which this machine reaches it.
pub struct Bound {
    pub listener: TcpListener,
    pub url: String,
}

/// Binds the port of `--listen-metrics`, where it is given.
pub async fn bind_metrics(address: Option<&str>) -> Result<Option<Bound>, Failure> {
    match address {
        Some(address) => bind("--listen-metrics", address).await.map(Some),
        None => Ok(None),
    }
}

/// Binds what `flag` names; port 0 draws one.
pub async fn bind(flag: &str, address: &str) -> Result<Bound, Failure> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "stop what listens there or choose another port",
            ErrorKind::PermissionDenied => "choose a port above 1023",
            _ => "give it HOST:PORT with an address of this machine",
        };
        Failure::Failed(format!("cannot listen on {address}: {error}; {advice} ({flag})"))
    })?;
    let local = listener.local_addr().map_err(Failure::failed)?;
    let host = match local.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        std::net::IpAddr::V4(ip) => ip.to_string(),
    };
    Ok(Bound { listener, url: format!("https://{host}:{}", local.port()) })
}
