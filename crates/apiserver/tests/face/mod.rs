//! A plain HTTP client for the REST face, one connection a request.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// An answer, read whole.
pub struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn content_type(&self) -> &str {
        self.headers.get("content-type").map_or("", |value| value.to_str().expect("text"))
    }

    /// The Status: code (which must be the answer's), reason and message.
    #[track_caller]
    pub fn status(&self) -> (u16, String, String) {
        let status = self.json();
        assert_eq!((&status["kind"], &status["status"]), (&Value::from("Status"), &Value::from("Failure")), "{status}");
        assert_eq!(status["code"], self.code, "{status}");
        let text = |name: &str| status[name].as_str().unwrap_or_default().to_string();
        (self.code, text("reason"), text("message"))
    }
}

/// Sends a request; the answer's body is still to be read.
pub async fn open(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response<hyper::body::Incoming> {
    let stream = tokio::net::TcpStream::connect(server).await.expect("connected");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", server.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).expect("a request");
    sender.send_request(request).await.expect("an answer")
}

/// Sends a request and reads all of the answer.
pub async fn send(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let response = open(server, method, path, headers, body).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Answer { code: parts.status.as_u16(), headers: parts.headers, body }
}

pub const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

pub async fn get(server: SocketAddr, path: &str) -> Answer {
    send(server, "GET", path, &[], "").await
}

pub async fn post(server: SocketAddr, path: &str, body: &Value) -> Answer {
    send(server, "POST", path, JSON, body.to_string()).await
}
