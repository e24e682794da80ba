//! Reading what a container printed.

use bytes::Bytes;
use http::uri::PathAndQuery;
use proto::raftsman_v1::{OutputChunk, OutputRequest};

use crate::client::{Client, Stream};
use crate::error::Error;

/// A container's output as it comes.
pub struct Output {
    stream: Stream<OutputChunk>,
}

impl Client {
    /// Opens the output of one container; the request says which, how much, and whether to follow.
    pub async fn read_output(&self, request: OutputRequest) -> Result<Output, Error> {
        let path = PathAndQuery::from_static("/raftsman.v1.OutputService/Read");
        Ok(Output { stream: self.stream(path, request).await? })
    }
}

impl Output {
    /// The next bytes; None at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.stream.next().await?.map(|chunk| Bytes::from(chunk.data)))
    }
}
