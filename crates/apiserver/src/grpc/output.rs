//! `OutputService/Read`: what a container printed.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use proto::raftsman_v1::output_service_server::OutputService;
use proto::raftsman_v1::{OutputChunk, OutputRequest};
use tonic::{Request, Response, Status};

use super::{context, grpc};
use crate::registry::Registry;

pub(super) struct Service(pub Arc<Registry>);

#[tonic::async_trait]
impl OutputService for Service {
    type ReadStream = BoxStream<'static, Result<OutputChunk, Status>>;

    async fn read(&self, request: Request<OutputRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let ctx = context(request.extensions());
        let output = self.0.read_output(&ctx, request.into_inner()).await.map_err(grpc)?;
        let chunks = output.map(|chunk| match chunk {
            Ok(data) => Ok(OutputChunk { data: data.into() }),
            Err(error) => Err(grpc(error)),
        });
        Ok(Response::new(chunks.boxed()))
    }
}
