//! A watch: changes as they happen, in batches of whole revisions.

use http::uri::PathAndQuery;
use proto::meta_v1::Status;
use proto::raftsman_v1::{ProgressRequest, ProgressResponse, WatchRequest};

use crate::client::{Client, Stream};
use crate::error::Error;
use crate::resource::Resource;
use crate::servers::Server;
use crate::wire::{WatchEvent, WatchResponse};

/// The annotation of the bookmark that ends the initial objects.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What to watch. Empty strings are absent.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Empty: all namespaces.
    pub namespace: String,
    pub label_selector: String,
    pub field_selector: String,
    /// The events after this revision; empty: the present objects first.
    pub resource_version: String,
}

/// One change, or a mark.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<K> {
    Added(K),
    Modified(K),
    Deleted(K),
    /// Nothing more up to the batch's revision. `initial_end`: the present objects have all been sent.
    Bookmark {
        initial_end: bool,
    },
}

/// Events of whole revisions. `revision` is that of the last event; 0 while the present objects are being sent.
#[derive(Clone, Debug)]
pub struct Batch<K> {
    pub revision: i64,
    pub events: Vec<Event<K>>,
}

/// A running watch.
pub struct Watch<K: Resource> {
    stream: Stream<WatchResponse<K>>,
}

impl Client {
    /// Opens a watch. Without a resourceVersion it begins with the present objects, consistently, and a bookmark after them.
    pub async fn watch<K: Resource>(&self, options: WatchOptions) -> Result<Watch<K>, Error> {
        let request = WatchRequest {
            namespace: options.namespace,
            label_selector: options.label_selector,
            field_selector: options.field_selector,
            send_initial_events: options.resource_version.is_empty(),
            resource_version: options.resource_version,
            allow_bookmarks: true,
            ..Default::default()
        };
        Ok(Watch { stream: self.stream(K::path("Watch"), request).await? })
    }

    /// Asks `server` to send every watch of this connection a bookmark at the store's current revision, which is answered.
    pub(crate) async fn progress(&self, server: &Server) -> Result<i64, Error> {
        let path = PathAndQuery::from_static("/raftsman.v1.WatchService/Progress");
        let answer: ProgressResponse = self.call_on(server, path, ProgressRequest::default()).await?;
        Ok(answer.revision)
    }

    /// The same, for all who wait for up to `revision` at the same time: one asks, the others share the answer.
    pub(crate) async fn progress_to(&self, server: &Server, revision: i64) -> Result<(), Error> {
        let mut told = server.progress.lock().await;
        if *told < revision {
            *told = self.progress(server).await?;
        }
        Ok(())
    }
}

impl<K: Resource> Watch<K> {
    /// The next batch; None when the server ended the watch (resume from the last revision). An error with
    /// [`Error::is_expired`] means that the revision is gone: start anew.
    pub async fn next(&mut self) -> Result<Option<Batch<K>>, Error> {
        let Some(answer) = self.stream.next().await? else {
            return Ok(None);
        };
        let events = answer.events.into_iter().map(decode).collect::<Result<_, _>>()?;
        Ok(Some(Batch { revision: answer.revision, events }))
    }

    pub(crate) fn server(&self) -> &Server {
        self.stream.server()
    }
}

fn decode<K: Resource>(event: WatchEvent<K>) -> Result<Event<K>, Error> {
    let object = event.object.unwrap_or_default();
    match event.r#type.as_str() {
        "ADDED" => Ok(Event::Added(object)),
        "MODIFIED" => Ok(Event::Modified(object)),
        "DELETED" => Ok(Event::Deleted(object)),
        "BOOKMARK" => {
            let annotations = object.metadata().map(|metadata| &metadata.annotations);
            let initial_end = annotations.is_some_and(|annotations| annotations.contains_key(INITIAL_EVENTS_END));
            Ok(Event::Bookmark { initial_end })
        }
        "ERROR" => Err(Error::Api { status: Box::new(event.status.unwrap_or_default()) }),
        other => {
            let message = format!("a watch event of type {other:?}, which this client does not know");
            Err(Error::Api { status: Box::new(Status { message, ..Default::default() }) })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use proto::raftsman_v1::watch_service_server::{WatchService, WatchServiceServer};
    use tonic::transport::server::TcpIncoming;
    use tonic::{Request, Response};

    use super::*;
    use crate::config::Config;

    /// Answers each question with the next number, after a while.
    #[derive(Clone, Default)]
    struct Counter(Arc<AtomicI64>);

    #[tonic::async_trait]
    impl WatchService for Counter {
        async fn progress(
            &self,
            _request: Request<ProgressRequest>,
        ) -> Result<Response<ProgressResponse>, tonic::Status> {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(Response::new(ProgressResponse { revision: self.0.fetch_add(1, Ordering::SeqCst) + 1 }))
        }
    }

    #[tokio::test]
    async fn those_who_wait_together_ask_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = vec![format!("http://{}", listener.local_addr().unwrap())];
        let counter = Counter::default();
        let service = WatchServiceServer::new(counter.clone());
        let incoming = TcpIncoming::from(listener);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        let client = Client::connect(&Config { servers, ..Default::default() }).unwrap();
        let server = client.server().clone();
        let all = (0..20).map(|_| client.progress_to(&server, 1));
        assert!(futures::future::join_all(all).await.iter().all(Result::is_ok));
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
        client.progress_to(&server, 2).await.unwrap();
        assert_eq!(counter.0.load(Ordering::SeqCst), 2, "what is newer is asked for");
    }
}
