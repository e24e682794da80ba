//! The only client of the store: plain etcd v3 over one channel per member.
//!
//! ```text
//!  read, grant, keep alive   sent to the next member when one does not answer, until patience ends
//!  write                     the same as long as it is certain that it was not taken (no connection, no leader);
//!                            once it may have been taken it is never repeated: only the caller can tell what that would do
//! ```
//!
//! Calls say that they need a leader, so that a member that is cut off from its quorum refuses them at once.

pub(crate) mod discovery;
mod endpoints;

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use api::status::StatusError;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::watch_client::WatchClient;
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::metrics::Store;
use endpoints::Endpoints;
pub(crate) use endpoints::StoreServer;
pub use endpoints::{ConnectError, StoreEndpoint};

/// How long a write may take; it lies above the store's own limit, whose answer tells more.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one member may take for a read.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call is repeated over all members; a change of leader fits in.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The client. Shared by everything in the API server.
pub struct Storage {
    endpoints: Endpoints,
    metrics: Store,
}

/// Whether a failed call may be sent again.
#[derive(Clone, Copy)]
enum Repeat {
    /// It does no harm.
    Always,
    /// When it was certainly not taken.
    NotTaken,
}

impl Storage {
    /// Prepares a channel to each endpoint; connecting happens at first use.
    ///
    /// # Errors
    /// [`ConnectError`], which names the flag and what to do.
    pub(crate) fn connect(config: &StoreEndpoint, metrics: Store) -> Result<Self, ConnectError> {
        Ok(Storage { endpoints: Endpoints::new(config)?, metrics })
    }

    /// The member that is in use.
    pub(crate) fn server(&self) -> StoreServer {
        self.endpoints.current()
    }

    /// `failed` does not serve; the next call goes elsewhere.
    pub(crate) fn move_on(&self, failed: &StoreServer) {
        self.endpoints.move_on(failed);
    }

    /// A linearizable read unless the request says otherwise.
    pub(crate) async fn range(&self, request: pb::RangeRequest) -> Result<pb::RangeResponse, Status> {
        let call = |channel| {
            let request = needing_leader(request.clone());
            async move { kv(channel).range(request).await }
        };
        self.send("range", READ_TIMEOUT, Repeat::Always, call).await
    }

    /// One atomic write.
    pub(crate) async fn txn(&self, request: pb::TxnRequest) -> Result<pb::TxnResponse, Status> {
        let call = |channel| {
            let request = needing_leader(request.clone());
            async move { kv(channel).txn(request).await }
        };
        self.send("txn", WRITE_TIMEOUT, Repeat::NotTaken, call).await
    }

    /// Forgets history before `revision`.
    pub(crate) async fn compact(&self, revision: i64) -> Result<(), Status> {
        let request = pb::CompactionRequest { revision, physical: false };
        let call = |channel| async move { kv(channel).compact(needing_leader(request)).await };
        self.send("compact", WRITE_TIMEOUT, Repeat::NotTaken, call).await.map(|_| ())
    }

    /// A new store lease of `ttl` seconds. One that was granted unheard ends by itself.
    pub(crate) async fn grant(&self, ttl: i64) -> Result<i64, Status> {
        let request = pb::LeaseGrantRequest { ttl, id: 0 };
        let call = |channel| async move { LeaseClient::new(channel).lease_grant(needing_leader(request)).await };
        self.send("lease_grant", WRITE_TIMEOUT, Repeat::Always, call).await.map(|answer| answer.id)
    }

    /// Ends a store lease and what hangs on it. An unknown one is no error: it has ended.
    pub(crate) async fn revoke(&self, id: i64) -> Result<(), Status> {
        let request = pb::LeaseRevokeRequest { id };
        let call = |channel| async move { LeaseClient::new(channel).lease_revoke(needing_leader(request)).await };
        match self.send("lease_revoke", WRITE_TIMEOUT, Repeat::Always, call).await {
            Err(status) if status.code() == Code::NotFound => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Renews a store lease; answers the seconds that it lasts, 0 when it is gone.
    pub(crate) async fn keep_alive(&self, id: i64) -> Result<i64, Status> {
        let call = |channel| async move {
            let requests = needing_leader(tokio_stream::iter([pb::LeaseKeepAliveRequest { id }]));
            let mut answers = LeaseClient::new(channel).lease_keep_alive(requests).await?.into_inner();
            Ok(Response::new(answers.message().await?.map_or(0, |answer| answer.ttl)))
        };
        self.send("lease_keep_alive", READ_TIMEOUT, Repeat::Always, call).await
    }

    /// Sends a call until a member answers it, or it may not be sent again, or patience ends.
    async fn send<T, F>(
        &self,
        operation: &'static str,
        limit: Duration,
        repeat: Repeat,
        call: impl Fn(Channel) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let server = self.endpoints.current();
            let begun = Instant::now();
            let answer = in_time(limit, call(server.channel.clone())).await;
            self.metrics.called(operation, begun.elapsed(), answer.is_ok());
            let failed = match answer {
                Err(status) if is_away(&status) => status,
                other => return other,
            };
            self.endpoints.move_on(&server);
            let again = match repeat {
                Repeat::Always => true,
                Repeat::NotTaken => is_not_taken(&failed),
            };
            if !again || Instant::now() >= deadline {
                return Err(failed);
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// A client for the long-lived watch on one member.
pub(crate) fn watcher(server: &StoreServer) -> WatchClient<Channel> {
    WatchClient::new(server.channel.clone()).max_decoding_message_size(usize::MAX)
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(usize::MAX)
}

/// The request with etcd's mark that a member without a leader shall refuse it.
pub(crate) fn needing_leader<T>(request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    request
}

/// A call with a limit; etcd's own words where it passes.
async fn in_time<T>(limit: Duration, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("etcdserver: request timed out")),
    }
}

/// Whether this member, not the request, is at fault.
fn is_away(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled => true,
        // A connection that broke during the call; a fault that a member tells of itself has no source.
        Code::Internal => status.source().is_some(),
        _ => status.message() == LEARNER,
    }
}

/// etcd's word for what a member without a vote does not serve.
const LEARNER: &str = "etcdserver: rpc not supported for learner";

/// Whether it is certain that the store has not taken the request: it never left, or nobody was there to propose it.
fn is_not_taken(status: &Status) -> bool {
    if matches!(status.message(), "etcdserver: no leader" | LEARNER) {
        return true;
    }
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// What the user hears of a failed call to the store. 503 and 504 also mean that a write may have been taken; any other code is
/// a refusal, so nothing that a broken connection can end in may become one.
pub(crate) fn unavailable(status: &Status) -> StatusError {
    match status.code() {
        Code::DeadlineExceeded => api::status::timeout(status.message(), 1),
        Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Internal => {
            api::status::service_unavailable(status.message())
        }
        _ if status.message() == LEARNER => api::status::service_unavailable(status.message()),
        Code::ResourceExhausted => api::status::too_many_requests(status.message(), 1),
        Code::InvalidArgument if status.message().contains("too large") => {
            api::status::request_entity_too_large(status.message())
        }
        _ => api::status::internal_error(status.message()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_may_have_been_taken_is_never_told_as_refused() {
        // What tonic makes of a reset connection, and of a reset stream.
        for code in [Code::Unknown, Code::Internal, Code::Unavailable, Code::Cancelled] {
            assert_eq!(unavailable(&Status::new(code, "h2 protocol error")).status().code, 503, "{code:?}");
        }
        assert_eq!(unavailable(&Status::deadline_exceeded("late")).status().code, 504);
        let mut reset = Status::internal("h2 protocol error");
        reset.set_source(std::sync::Arc::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert!(is_away(&reset) && !is_not_taken(&reset));
        assert!(!is_away(&Status::internal("etcdserver: panic")), "another member would say the same");
        assert_eq!(unavailable(&Status::data_loss("etcdserver: corrupt cluster")).status().code, 500);
    }

    #[test]
    fn a_learner_is_left_for_another_member() {
        let learner = Status::failed_precondition("etcdserver: rpc not supported for learner");
        assert!(is_away(&learner) && is_not_taken(&learner));
        assert_eq!(unavailable(&learner).status().code, 503);
        assert!(!is_away(&Status::failed_precondition("etcdserver: no space")));
    }

    #[tokio::test]
    async fn only_what_was_certainly_not_taken_may_be_repeated() {
        let nobody = Endpoints::new(&StoreEndpoint {
            // Port 1 is nobody's: the connection is refused.
            endpoints: vec!["http://127.0.0.1:1".into()],
            ..StoreEndpoint::default()
        });
        let server = nobody.unwrap().current();
        let refused = kv(server.channel).txn(pb::TxnRequest::default()).await.unwrap_err();
        assert!(is_away(&refused) && is_not_taken(&refused), "{refused:?}");
        assert!(is_not_taken(&Status::unavailable("etcdserver: no leader")));
        for unknown in ["etcdserver: leader changed", "etcdserver: request timed out", "broken pipe"] {
            assert!(!is_not_taken(&Status::unavailable(unknown)), "{unknown}");
        }
    }
}
