//! What the server says of itself: `GET /version`, which kubectl asks too, over the same connection.

use http::{Method, Request};
use http_body_util::BodyExt;
use serde::Deserialize;
use tonic::body::Body;
use tonic::client::GrpcService;

use crate::client::Client;
use crate::error::Error;

/// The part of `/version` that tells one build from another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerVersion {
    /// `v1.36.0+raftsman.0.1.0`.
    pub git_version: String,
}

impl Client {
    /// The version of the server in use, and that server's URL.
    pub async fn version(&self) -> Result<(ServerVersion, String), Error> {
        let server = self.server().clone();
        let failed = |status: tonic::Status| Error::from_grpc(&server.url, status);
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = http::Uri::from_static("/version");
        let mut channel = server.channel.clone();
        let transport = |error: tonic::transport::Error| failed(tonic::Status::from_error(Box::new(error)));
        std::future::poll_fn(|context| GrpcService::<Body>::poll_ready(&mut channel, context))
            .await
            .map_err(transport)?;
        let answer = channel.call(request).await.map_err(transport)?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(failed)?.to_bytes();
        let version = serde_json::from_slice(&body).map_err(|error| {
            failed(tonic::Status::unknown(format!("/version answered {status}, not a version: {error}")))
        })?;
        Ok((version, server.url.to_string()))
    }
}
