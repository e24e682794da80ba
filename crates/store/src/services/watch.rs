//! `etcdserverpb.Watch`. Its service is written by hand where the others' is generated, for one reason: responses come
//! from the hub with their events already encoded, and are copied out as they are.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use http::Request as HttpRequest;
use prost::Message;
use proto::etcdserverpb::WatchRequest;
use proto::etcdserverpb::watch_request::RequestUnion;
use tokio::sync::oneshot;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use super::{Context, status};
use crate::machine::Failure;
use crate::watch::{self, StreamHandle};

/// How long there may be no leader before streams that require one end: three elections.
const LEADERLESS_MAX: Duration = Duration::from_millis(2400);
/// The only method.
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// The watch service.
#[derive(Clone)]
pub struct WatchService(pub Arc<Context>);

type Responses = Pin<Box<dyn Stream<Item = Result<watch::Response, Status>> + Send>>;

impl NamedService for WatchService {
    const NAME: &'static str = "etcdserverpb.Watch";
}

impl Service<HttpRequest<Body>> for WatchService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let method = self.clone();
        async move {
            if request.uri().path() != WATCH {
                return Ok(Status::unimplemented("").into_http());
            }
            Ok(Grpc::new(WatchCodec).streaming(method, request).await)
        }
        .boxed()
    }
}

impl StreamingService<WatchRequest> for WatchService {
    type Response = watch::Response;
    type ResponseStream = Responses;
    type Future = std::future::Ready<Result<Response<Responses>, Status>>;

    fn call(&mut self, request: Request<Streaming<WatchRequest>>) -> Self::Future {
        std::future::ready(match self.0.is_corrupt() {
            true => Err(status::failure(Failure::Corrupt)),
            false => Ok(Response::new(self.watch(request))),
        })
    }
}

impl WatchService {
    fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Responses {
        let needs_leader = request.metadata().get("hasleader").is_some_and(|value| value == "true");
        let (stream, responses) = self.0.hub.open();
        // A client that has nothing more to ask is told the events of its watches as before: they end with the responses.
        let stream = Arc::new(stream);
        let (failed, failure) = oneshot::channel();
        tokio::spawn(serve(stream.clone(), request.into_inner(), failed));
        let context = self.0.clone();
        let responses = ReceiverStream::new(responses).flat_map(move |mut response| {
            let _kept = &stream;
            let head = &mut response.head;
            // A canceled watch of a compacted revision has no revision to tell.
            if head.compact_revision == 0 {
                context.sign(&mut head.header);
            } else {
                head.header = Some(context.header(0));
            }
            futures::stream::iter(response.fragments())
        });
        let context = self.0.clone();
        let end = async move {
            let lost = async {
                match needs_leader {
                    true => leader_lost(context).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                Ok(status) = failure => status,
                status = lost => status,
            }
        };
        Box::pin(until(responses, end))
    }
}

/// Requests are decoded as usual; responses bring their events encoded.
#[derive(Debug, Clone, Copy, Default)]
struct WatchCodec;

impl Codec for WatchCodec {
    type Encode = watch::Response;
    type Decode = WatchRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for WatchCodec {
    type Item = watch::Response;
    type Error = Status;

    fn encode(&mut self, response: watch::Response, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(response.encoded_len());
        response.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for WatchCodec {
    type Item = WatchRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<WatchRequest>, Status> {
        WatchRequest::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Takes a client's requests until there are no more of them, or one that can't be read.
async fn serve(stream: Arc<StreamHandle>, mut requests: Streaming<WatchRequest>, failed: oneshot::Sender<Status>) {
    while let Some(request) = requests.next().await {
        let request = match request {
            Ok(request) => request,
            Err(status) => {
                // Nobody hears it where the client has gone away.
                let _gone = failed.send(status).is_err();
                return;
            }
        };
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

/// The stream until it ends, or up to the error that `end` comes to.
fn until<T: Send>(
    stream: impl Stream<Item = T> + Send,
    end: impl Future<Output = Status> + Send,
) -> impl Stream<Item = Result<T, Status>> + Send {
    let end = Box::pin(end.into_stream().map(Err));
    let both = (Box::pin(stream), Some(end));
    futures::stream::unfold(both, |(mut stream, end)| async {
        let mut end = end?;
        tokio::select! {
            biased;
            item = stream.next() => Some((Ok(item?), (stream, Some(end)))),
            Some(error) = end.next() => Some((error, (stream, None))),
        }
    })
}
