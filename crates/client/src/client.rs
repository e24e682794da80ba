//! The typed client: one method a verb, for every kind alike.

use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;

use proto::RootList;
use proto::meta_v1::{DeleteOptions, ListMeta};
use proto::raftsman_v1::{DeleteRequest, GetRequest, ListRequest};

use crate::config::Config;
use crate::error::Error;
use crate::resource::Resource;
use crate::servers::{Server, Servers};
use crate::wire;

/// A list of 10,000 Pods is one message; the server bounds what it sends.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// How long a call that is no stream may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A handle to the API; clones share its connections.
///
/// Reads are tried on each server before they fail, and so is a write that could not even be sent. A write that was sent is
/// not repeated: when its answer is lost, its outcome is unknown, and the caller must look again (which is why every write of
/// a controller carries a precondition).
#[derive(Clone)]
pub struct Client {
    servers: Arc<Servers>,
}

/// Which objects, and how fresh. Empty strings are absent.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Empty: all namespaces.
    pub namespace: String,
    pub label_selector: String,
    pub field_selector: String,
    /// Objects per page; 0 is all of them.
    pub limit: i64,
    /// `metadata.continue` of the page before.
    pub r#continue: String,
    /// Empty: at least as new as anything acknowledged before the call.
    pub resource_version: String,
}

impl ListOptions {
    pub fn namespace(namespace: &str) -> Self {
        ListOptions { namespace: namespace.to_owned(), ..Default::default() }
    }
}

/// One page of a list.
pub struct Page<K> {
    pub metadata: ListMeta,
    pub items: Vec<K>,
}

/// What a create or update may say beside the object.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub field_manager: String,
}

impl Client {
    /// Makes the handle. Connections are made when they are needed, so this fails on a bad configuration alone.
    /// Must be called within a tokio runtime.
    pub fn connect(config: &Config) -> Result<Client, Error> {
        Ok(Client { servers: Arc::new(Servers::new(config)?) })
    }

    /// Each server by itself, for streams that must reach all of them.
    pub fn each_server(&self) -> &[Server] {
        self.servers.all()
    }

    /// The server that calls go to now.
    pub fn server(&self) -> &Server {
        self.servers.current()
    }

    /// `failed` does not serve, or not in time: calls go to another one from now on.
    pub fn move_on(&self, failed: &Server) {
        self.servers.move_on(failed);
    }

    pub async fn get<K: Resource>(&self, namespace: &str, name: &str) -> Result<K, Error> {
        let request =
            GetRequest { namespace: namespace.to_owned(), name: name.to_owned(), resource_version: String::new() };
        self.read(K::path("Get"), request).await
    }

    pub async fn list<K: Resource>(&self, options: ListOptions) -> Result<Page<K>, Error> {
        let request = ListRequest {
            namespace: options.namespace,
            label_selector: options.label_selector,
            field_selector: options.field_selector,
            limit: options.limit,
            r#continue: options.r#continue,
            resource_version: options.resource_version,
            resource_version_match: String::new(),
        };
        let list: K::List = self.read(K::path("List"), request).await?;
        let metadata = list.metadata().cloned().unwrap_or_default();
        Ok(Page { metadata, items: list.into_items() })
    }

    pub async fn create<K: Resource>(&self, object: K) -> Result<K, Error> {
        self.create_with(object, WriteOptions::default()).await
    }

    pub async fn create_with<K: Resource>(&self, object: K, options: WriteOptions) -> Result<K, Error> {
        self.write(K::path("Create"), object, options).await
    }

    /// Replaces the object. Its `metadata.resourceVersion`, where given, is the precondition.
    pub async fn update<K: Resource>(&self, object: K) -> Result<K, Error> {
        self.write(K::path("Update"), object, WriteOptions::default()).await
    }

    /// Replaces the object's status alone.
    pub async fn update_status<K: Resource>(&self, object: K) -> Result<K, Error> {
        self.write(K::path("UpdateStatus"), object, WriteOptions::default()).await
    }

    /// Deletes; the object is answered where it still exists (a grace period, finalizers), None where it is gone.
    pub async fn delete<K: Resource>(
        &self,
        namespace: &str,
        name: &str,
        options: DeleteOptions,
    ) -> Result<Option<K>, Error> {
        let request = DeleteRequest { namespace: namespace.to_owned(), name: name.to_owned(), options: Some(options) };
        let answer: wire::DeleteResponse<K> = self.call(K::path("Delete"), request).await?;
        Ok(answer.object)
    }

    async fn write<K: Resource>(&self, path: PathAndQuery, object: K, options: WriteOptions) -> Result<K, Error> {
        let dry_run = if options.dry_run { vec!["All".to_owned()] } else { Vec::new() };
        let request = wire::WriteRequest { object: Some(object), dry_run, field_manager: options.field_manager };
        self.call(path, request).await
    }

    /// A call that changes nothing: tried on every server.
    pub(crate) async fn read<Q, A>(&self, path: PathAndQuery, request: Q) -> Result<A, Error>
    where
        Q: Message + Clone + Default + 'static,
        A: Message + Default + 'static,
    {
        self.call_while(path, request, Error::is_servers_fault).await
    }

    /// A call that is sent once; a server that it can't even be sent to is left for the next.
    pub(crate) async fn call<Q, A>(&self, path: PathAndQuery, request: Q) -> Result<A, Error>
    where
        Q: Message + Clone + Default + 'static,
        A: Message + Default + 'static,
    {
        self.call_while(path, request, Error::is_unsent).await
    }

    /// Tries server after server, each once, while the failure is one that `again` says yes to.
    async fn call_while<Q, A>(&self, path: PathAndQuery, request: Q, again: fn(&Error) -> bool) -> Result<A, Error>
    where
        Q: Message + Clone + Default + 'static,
        A: Message + Default + 'static,
    {
        for _ in 1..self.servers.all().len() {
            match self.call_on(self.servers.current(), path.clone(), request.clone()).await {
                Err(error) if again(&error) => {}
                answer => return answer,
            }
        }
        self.call_on(self.servers.current(), path, request).await
    }

    /// A call to one server, sent once.
    pub(crate) async fn call_on<Q, A>(&self, server: &Server, path: PathAndQuery, request: Q) -> Result<A, Error>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let mut request = tonic::Request::new(request);
        request.set_timeout(CALL_TIMEOUT);
        server.authorize(&mut request);
        let mut grpc = grpc(server);
        let answer = match grpc.ready().await {
            Ok(()) => grpc.unary(request, path, tonic_prost::ProstCodec::<Q, A>::default()).await,
            Err(error) => Err(tonic::Status::from_error(Box::new(error))),
        };
        answer.map(tonic::Response::into_inner).map_err(|status| self.failed(server, status))
    }

    /// Opens a stream of answers, on the server in use.
    pub(crate) async fn stream<Q, A>(&self, path: PathAndQuery, request: Q) -> Result<Stream<A>, Error>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let server = self.servers.current();
        let mut request = tonic::Request::new(request);
        server.authorize(&mut request);
        let mut grpc = grpc(server);
        let answer = match grpc.ready().await {
            Ok(()) => grpc.server_streaming(request, path, tonic_prost::ProstCodec::<Q, A>::default()).await,
            Err(error) => Err(tonic::Status::from_error(Box::new(error))),
        };
        match answer {
            Ok(answer) => Ok(Stream { client: self.clone(), server: server.clone(), answers: answer.into_inner() }),
            Err(status) => Err(self.failed(server, status)),
        }
    }

    fn failed(&self, server: &Server, status: tonic::Status) -> Error {
        let error = Error::from_grpc(&server.url, status);
        if error.is_servers_fault() {
            self.servers.move_on(server);
        }
        error
    }
}

fn grpc(server: &Server) -> tonic::client::Grpc<tonic::transport::Channel> {
    tonic::client::Grpc::new(server.channel.clone())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// Answers that come as they happen.
pub(crate) struct Stream<A> {
    client: Client,
    server: Server,
    answers: tonic::Streaming<A>,
}

impl<A> Stream<A> {
    /// The server that answers.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The next answer; None when the server ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<A>, Error> {
        let next = self.answers.message().await;
        next.map_err(|status| self.client.failed(&self.server, status))
    }
}
