//! Renewals of leases, on every member: the leader's clock is what counts, so all that wait are asked of the leader
//! in one call.

use std::time::Duration;

use proto::raftsman_store_v1::RenewLeasesRequest;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tonic::Status;

use crate::services::{Context, status};

/// Renewals that may wait; more wait for a place.
const WAITING_MAX: usize = 4096;
/// How long a renewal waits for a leader; etcd's.
const RENEW_TIMEOUT: Duration = Duration::from_secs(7);
/// How long the leader may take for one call.
const CALL_MAX: Duration = Duration::from_secs(2);
/// Pause before the leader is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

struct Renewal {
    id: i64,
    since: Instant,
    done: oneshot::Sender<Result<i64, Status>>,
}

/// The queue of renewals.
pub struct Renewals {
    queue: mpsc::Sender<Renewal>,
    waiting: tokio::sync::Mutex<mpsc::Receiver<Renewal>>,
}

impl Default for Renewals {
    fn default() -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        Self { queue, waiting: waiting.into() }
    }
}

impl Renewals {
    /// Gives a lease its whole TTL anew and answers that, in seconds; 0 if there is no such lease.
    pub async fn renew(&self, id: i64) -> Result<i64, Status> {
        let (done, answer) = oneshot::channel();
        let renewal = Renewal { id, since: Instant::now(), done };
        self.queue.send(renewal).await.map_err(|_| status::stopped())?;
        answer.await.map_err(|_| status::stopped())?
    }

    /// Serves the queue for as long as it is polled.
    pub async fn run(&self, context: &Context) {
        let mut waiting = self.waiting.lock().await;
        let mut batch: Vec<Renewal> = Vec::new();
        while waiting.recv_many(&mut batch, WAITING_MAX).await > 0 {
            let ids: Vec<i64> = batch.iter().map(|renewal| renewal.id).collect();
            match ask(context, ids).await {
                Ok(ttls) => batch.drain(..).zip(ttls).for_each(|(renewal, ttl)| tell(renewal, Ok(ttl))),
                Err(status) => {
                    let over = |renewal: &mut Renewal| renewal.since.elapsed() >= RENEW_TIMEOUT;
                    batch.extract_if(.., over).for_each(|renewal| tell(renewal, Err(status.clone())));
                    tokio::time::sleep(RETRY_PAUSE).await;
                    retry(&mut batch, &self.queue);
                }
            }
        }
    }
}

/// A client that has gone away needs no answer.
fn tell(renewal: Renewal, answer: Result<i64, Status>) {
    drop(renewal.done.send(answer));
}

/// Puts renewals back into the queue, where there is a place; who finds none is told.
fn retry(batch: &mut Vec<Renewal>, queue: &mpsc::Sender<Renewal>) {
    for renewal in batch.drain(..) {
        if let Err(error) = queue.try_send(renewal) {
            tell(error.into_inner(), Err(Status::unavailable("etcdserver: too many requests")));
        }
    }
}

async fn ask(context: &Context, ids: Vec<i64>) -> Result<Vec<i64>, Status> {
    let wanted = ids.len();
    let ttls = match context.node.leader_calls() {
        Some(calls) => {
            let request = calls.request(RenewLeasesRequest { ids }, CALL_MAX);
            calls.client().renew_leases(request).await.map_err(status::of_leader)?.into_inner().ttl_seconds
        }
        None => context.leases.renew(&context.node, &ids).await?,
    };
    if ttls.len() == wanted { Ok(ttls) } else { Err(status::mismatch()) }
}
