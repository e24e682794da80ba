//! `etcdserverpb.Watch`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::watch_server::Watch;
use proto::etcdserverpb::{WatchRequest, WatchResponse};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Context, status};
use crate::watch::StreamHandle;

/// How long there may be no leader before streams that require one end: three elections.
const LEADERLESS_MAX: Duration = Duration::from_millis(2400);

/// The watch service.
pub struct WatchService(pub Arc<Context>);

type Responses = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Watch for WatchService {
    type WatchStream = Responses;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Responses>, Status> {
        let needs_leader = request.metadata().get("hasleader").is_some_and(|value| value == "true");
        let (stream, responses) = self.0.hub.open();
        tokio::spawn(serve(stream, request.into_inner()));
        let context = self.0.clone();
        let responses = ReceiverStream::new(responses).map(move |mut response| {
            // A canceled watch of a compacted revision has no revision to tell.
            if response.compact_revision == 0 {
                context.sign(&mut response.header);
            } else {
                response.header = Some(context.header(0));
            }
            Ok(response)
        });
        if !needs_leader {
            return Ok(Response::new(Box::pin(responses)));
        }
        let lost = futures::stream::once(leader_lost(self.0.clone())).map(Err);
        Ok(Response::new(Box::pin(until_error(futures::stream::select(responses, lost)))))
    }
}

/// Takes a client's requests until it goes away; its watches end with `stream`.
async fn serve(stream: StreamHandle, mut requests: Streaming<WatchRequest>) {
    while let Some(Ok(request)) = requests.next().await {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => stream.create(create).await,
            Some(RequestUnion::CancelRequest(cancel)) => stream.cancel(cancel.watch_id).await,
            Some(RequestUnion::ProgressRequest(_)) => stream.progress(),
            None => {}
        }
    }
}

/// Returns when there has been no leader for too long.
async fn leader_lost(context: Arc<Context>) -> Status {
    let mut leadership = context.node.leadership();
    loop {
        if leadership.wait_for(|now| now.leader.is_none()).await.is_err() {
            return status::stopped();
        }
        let found = leadership.wait_for(|now| now.leader.is_some());
        match tokio::time::timeout(LEADERLESS_MAX, found).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return status::stopped(),
            Err(_) => return Status::unavailable("etcdserver: no leader"),
        }
    }
}

/// The stream up to and with its first error.
fn until_error<T: Send>(
    stream: impl Stream<Item = Result<T, Status>> + Send,
) -> impl Stream<Item = Result<T, Status>> + Send {
    stream.scan(false, |ended, item| {
        let next = (!*ended).then_some(item);
        *ended = next.as_ref().is_some_and(Result::is_err);
        std::future::ready(next)
    })
}
