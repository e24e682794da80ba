//! `etcdserverpb.KV`.

use std::sync::Arc;

use proto::etcdserverpb::kv_server::Kv;
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse, request_op::Request as Op,
    response_op::Response as OpResponse,
};
use proto::raftsman_store_v1::command::Change;
use tonic::{Request, Response, Status};

use super::{Context, check_size, learner, status};
use crate::machine::{Reply, check};

/// The KV service.
pub struct KvService(pub Arc<Context>);

impl KvService {
    async fn read(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        if !request.serializable {
            self.0.read_barrier().await?;
        }
        self.0.range(request).await
    }

    /// Runs a transaction that only reads without a place in the log.
    async fn read_only(&self, request: &TxnRequest) -> Result<Option<TxnResponse>, Status> {
        // Compares are the machine's; without them the success branch is taken. As etcd: a branch that is not taken makes
        // a transaction one that writes, too, which an alarm may forbid.
        if !request.compare.is_empty() || request.success.is_empty() || !request.failure.iter().all(reads) {
            return Ok(None);
        }
        let mut ranges = Vec::with_capacity(request.success.len());
        for op in &request.success {
            match &op.request {
                Some(Op::RequestRange(range)) => ranges.push(range.clone()),
                _ => return Ok(None),
            }
        }
        if ranges.iter().any(|range| !range.serializable) {
            self.0.read_barrier().await?;
        }
        let answer = self.0.read(move |view| view.ranges(&ranges)).await?;
        let responses = answer
            .into_iter()
            .map(|range| proto::etcdserverpb::ResponseOp { response: Some(OpResponse::ResponseRange(range)) });
        Ok(Some(TxnResponse { header: None, succeeded: true, responses: responses.collect() }))
    }
}

#[tonic::async_trait]
impl Kv for KvService {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let request = request.into_inner();
        if !request.serializable && self.0.node.is_learner() {
            return Err(learner::refusal());
        }
        self.0.metrics.ranges.inc();
        check::range(&request).map_err(status::failure)?;
        let mut response = self.read(request).await?;
        self.0.sign(&mut response.header);
        Ok(Response::new(response))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let request = request.into_inner();
        self.0.metrics.puts.inc();
        check::put(&request).map_err(status::failure)?;
        check_size(&request)?;
        let Reply::Put(mut response) = self.0.propose(Change::Put(request)).await? else {
            return Err(status::mismatch());
        };
        self.0.sign(&mut response.header);
        Ok(Response::new(response))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let request = request.into_inner();
        self.0.metrics.deletes.inc();
        check::delete_range(&request).map_err(status::failure)?;
        check_size(&request)?;
        let Reply::DeleteRange(mut response) = self.0.propose(Change::DeleteRange(request)).await? else {
            return Err(status::mismatch());
        };
        self.0.sign(&mut response.header);
        Ok(Response::new(response))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let request = request.into_inner();
        self.0.metrics.txns.inc();
        check::txn(&request).map_err(status::failure)?;
        // As etcd: what can only read may be larger.
        if !request.success.iter().chain(&request.failure).all(reads) {
            check_size(&request)?;
        }
        if let Some(mut response) = self.read_only(&request).await? {
            self.0.sign(&mut response.header);
            return Ok(Response::new(response));
        }
        let Reply::Txn(mut response) = self.0.propose(Change::Txn(request)).await? else {
            return Err(status::mismatch());
        };
        self.0.sign(&mut response.header);
        Ok(Response::new(response))
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        let request = request.into_inner();
        let Reply::Compact(mut response) = self.0.propose(Change::Compact(request)).await? else {
            return Err(status::mismatch());
        };
        if request.physical {
            let mut pruned = self.0.pruned.clone();
            pruned.wait_for(|pruned| *pruned >= request.revision).await.map_err(|_| status::stopped())?;
        }
        self.0.sign(&mut response.header);
        Ok(Response::new(response))
    }
}

fn reads(op: &RequestOp) -> bool {
    matches!(op.request, Some(Op::RequestRange(_)))
}

/// A put as an operation of a transaction.
pub fn put_op(put: PutRequest) -> RequestOp {
    RequestOp { request: Some(Op::RequestPut(put)) }
}

/// A range as an operation of a transaction.
pub fn range_op(range: RangeRequest) -> RequestOp {
    RequestOp { request: Some(Op::RequestRange(range)) }
}
