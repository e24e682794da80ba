//! Reading the store beside the machine: at the visible revision or an older one, never blocked by a batch.

use std::sync::Arc;

use proto::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use proto::mvccpb::KeyValue;

use super::{Disk, DiskError, Failure, Record, Revision, Shared, range, read};

/// Why a read has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// The request can't be answered.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The disk can't be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Read access to the store.
pub struct View<D: ?Sized> {
    shared: Arc<Shared>,
    disk: Arc<D>,
}

impl<D: ?Sized> Clone for View<D> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), disk: self.disk.clone() }
    }
}

impl<D: Disk + ?Sized> View<D> {
    /// A view of what `shared` describes and `disk` holds.
    pub fn new(shared: Arc<Shared>, disk: Arc<D>) -> Self {
        Self { shared, disk }
    }

    /// State in memory.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Answers a range request; its header has the revision only.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refused> {
        self.range_at(request, self.shared.visible())
    }

    /// Answers the range requests of a transaction, all of the same state.
    pub fn ranges(&self, requests: &[RangeRequest]) -> Result<Vec<RangeResponse>, Refused> {
        let current = self.shared.visible();
        for request in requests {
            range::check_in_transaction(request, current, self.shared.compacted())?;
        }
        requests.iter().map(|request| self.range_at(request, current)).collect()
    }

    fn range_at(&self, request: &RangeRequest, current: i64) -> Result<RangeResponse, Refused> {
        let answer = self.range_once(request, current);
        let at = if request.revision > 0 { request.revision } else { current };
        // What was read may have been forgotten meanwhile, by a compaction or by a state that took this one's place:
        // then the answer has holes.
        if self.shared.compacted() <= at {
            return answer;
        }
        match request.revision {
            ..=0 if self.shared.visible() > current => self.range(request),
            ..=0 => answer,
            _ => Err(Failure::Compacted.into()),
        }
    }

    fn range_once(&self, request: &RangeRequest, current: i64) -> Result<RangeResponse, Refused> {
        let _whole = self.shared.hold();
        let at = range::revision(request, current, self.shared.compacted())?;
        let selection = range::select(&self.shared.index.read(), request, at);
        let mut kvs = Vec::with_capacity(selection.found.len());
        for found in selection.found {
            kvs.push(self.value(found.version.at)?.ok_or(Failure::RecordMissing)?);
        }
        let mut response = range::finish(request, kvs, selection.count);
        response.header = Some(ResponseHeader { revision: current, ..Default::default() });
        Ok(response)
    }

    /// What the put at `at` wrote; `None` where it is gone.
    pub fn value(&self, at: Revision) -> Result<Option<KeyValue>, DiskError> {
        match read(&*self.disk, at)? {
            Some(Record::Put(kv)) => Ok(Some(kv)),
            Some(Record::Delete(_)) | None => Ok(None),
        }
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }
}
