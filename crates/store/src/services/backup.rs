//! The stream of `Maintenance.Snapshot`: a backup of this member's state, as it is when it is asked for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use proto::etcdserverpb::SnapshotResponse;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{CLUSTER_VERSION, Context};
use crate::raft::state::archive;

/// Parts read ahead of the client.
const AHEAD: usize = 2;

/// Answers of the call.
pub type Blobs = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

/// Takes a snapshot and streams it. As with etcd, the state is this member's, whoever leads.
pub fn stream(context: &Arc<Context>) -> Blobs {
    let (parts, stream) = mpsc::channel(AHEAD);
    let context = context.clone();
    tokio::task::spawn_blocking(move || {
        let taken = context.snapshots.take(context.view.disk()).and_then(|folder| {
            archive::write(&folder, |blob, remaining_bytes| {
                let version = CLUSTER_VERSION.to_owned();
                let part = SnapshotResponse { header: None, remaining_bytes, blob, version };
                parts.blocking_send(Ok(part)).is_ok()
            })
        });
        if let Err(error) = taken {
            // Nobody may listen any more.
            let _unheard = parts.blocking_send(Err(refusal(&error))).is_err();
        }
    });
    Box::pin(ReceiverStream::new(stream))
}

fn refusal(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::InvalidData => Status::data_loss(format!("raftsman: {error}")),
        io::ErrorKind::StorageFull => Status::resource_exhausted(format!("raftsman: no space for a snapshot: {error}")),
        _ => Status::internal(format!("raftsman: the snapshot can't be taken: {error}")),
    }
}
