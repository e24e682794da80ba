//! An etcd client of one member, over the generated services. It sends a request once and tells what came of it; it
//! moves to no other member and repeats nothing, for a test wants to know.

use std::path::Path;
use std::time::Duration;

use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::{
    HashKvRequest, HashKvResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, StatusRequest, StatusResponse,
};
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A store gives a proposal up after seven seconds; one that was cut off or frozen says nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Certificates, PEM.
#[derive(Clone)]
pub struct Identity {
    authority: String,
    certificate: String,
    key: String,
}

impl Identity {
    /// Of the store's client in a member's folder.
    pub fn of(folder: &Path) -> Identity {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        Identity {
            authority: read("store-ca.crt"),
            certificate: read("store-client.crt"),
            key: read("store-client.key"),
        }
    }
}

/// One member's services.
#[derive(Clone)]
pub struct StoreClient {
    channel: Channel,
}

impl StoreClient {
    /// Connects when first used, and again whenever the connection is lost. Must be called in a runtime.
    pub fn new(url: &str, identity: &Identity) -> StoreClient {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&identity.authority))
            .identity(tonic::transport::Identity::from_pem(&identity.certificate, &identity.key));
        let endpoint = Endpoint::from_shared(url.to_owned())
            .and_then(|endpoint| endpoint.tls_config(tls))
            .unwrap_or_else(|error| panic!("{url}: {error}"))
            .connect_timeout(CONNECT_WITHIN)
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(4));
        StoreClient { channel: endpoint.connect_lazy() }
    }

    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub async fn put(&self, key: &str, value: &str) -> Result<PutResponse, Status> {
        let put = PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() };
        let mut kv = self.kv();
        limited(kv.put(put)).await
    }

    /// A linearizable read of one key.
    pub async fn get(&self, key: &str) -> Result<RangeResponse, Status> {
        let range = RangeRequest { key: key.to_owned().into(), ..Default::default() };
        let mut kv = self.kv();
        limited(kv.range(range)).await
    }

    pub async fn status(&self) -> Result<StatusResponse, String> {
        let mut maintenance = self.maintenance();
        limited(maintenance.status(StatusRequest::default())).await.map_err(|status| status.to_string())
    }

    /// The hash of everything up to `revision`; 0 is the newest.
    pub async fn hash_kv(&self, revision: i64) -> Result<HashKvResponse, Status> {
        let mut maintenance = self.maintenance();
        limited(maintenance.hash_kv(HashKvRequest { revision })).await
    }
}

/// Waits for an answer, but not for ever.
pub async fn limited<T>(call: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, Status> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, call).await;
    answer.map_err(|_| Status::deadline_exceeded("the test waits no longer"))?.map(tonic::Response::into_inner)
}

/// Runs a future to its end, from inside a runtime or outside.
pub fn block_on<T: Send>(body: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(body)
        };
        scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
