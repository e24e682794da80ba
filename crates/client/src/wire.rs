//! The per-kind request and answer messages, once for all kinds.
//!
//! `proto/raftsman/v1` has one service a kind, with messages of equal shape and field numbers (`JobCreateRequest`,
//! `PodCreateRequest` ...). On the wire they differ in the object's type alone, so here they are one generic message each.
//! A test compares them with the generated ones.

use proto::meta_v1::Status;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WriteRequest<K: prost::Message + Default + std::fmt::Debug> {
    #[prost(message, optional, tag = "1")]
    pub object: Option<K>,
    #[prost(string, repeated, tag = "2")]
    pub dry_run: Vec<String>,
    #[prost(string, tag = "3")]
    pub field_manager: String,
}

/// A oneof of the object as it is now, and a Status when it is gone: on the wire two optional fields.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DeleteResponse<K: prost::Message + Default + std::fmt::Debug> {
    #[prost(message, optional, tag = "1")]
    pub object: Option<K>,
    #[prost(message, optional, tag = "2")]
    pub status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WatchResponse<K: prost::Message + Default + std::fmt::Debug> {
    #[prost(int64, tag = "1")]
    pub revision: i64,
    #[prost(message, repeated, tag = "2")]
    pub events: Vec<WatchEvent<K>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WatchEvent<K: prost::Message + Default + std::fmt::Debug> {
    #[prost(string, tag = "1")]
    pub r#type: String,
    #[prost(message, optional, tag = "2")]
    pub object: Option<K>,
    #[prost(message, optional, tag = "3")]
    pub status: Option<Status>,
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::batch_v1::{Job, JobSpec};
    use proto::raftsman_v1 as generated;

    use super::*;

    fn job() -> Job {
        Job { spec: Some(JobSpec { parallelism: Some(3), ..Default::default() }), ..Default::default() }
    }

    #[test]
    fn the_generic_messages_are_the_generated_ones_on_the_wire() {
        let generic = WriteRequest { object: Some(job()), dry_run: vec!["All".into()], field_manager: "me".into() };
        let create = generated::JobCreateRequest::decode(&*generic.encode_to_vec()).unwrap();
        assert_eq!((create.job, create.dry_run, create.field_manager), (Some(job()), vec!["All".into()], "me".into()));
        let update = generated::JobUpdateRequest::decode(&*generic.encode_to_vec()).unwrap();
        assert_eq!(update.job, Some(job()));

        let status = Status { reason: "Expired".into(), ..Default::default() };
        let event = generated::JobEvent { r#type: "ERROR".into(), job: Some(job()), status: Some(status.clone()) };
        let watch = generated::JobWatchResponse { revision: 7, events: vec![event] };
        let generic = WatchResponse::<Job>::decode(&*watch.encode_to_vec()).unwrap();
        let event = WatchEvent { r#type: "ERROR".into(), object: Some(job()), status: Some(status.clone()) };
        assert_eq!(generic, WatchResponse { revision: 7, events: vec![event] });

        let result = generated::job_delete_response::Result::Job(job());
        let delete = generated::JobDeleteResponse { result: Some(result) };
        let generic = DeleteResponse::<Job>::decode(&*delete.encode_to_vec()).unwrap();
        assert_eq!(generic, DeleteResponse { object: Some(job()), status: None });
        let result = generated::job_delete_response::Result::Status(status.clone());
        let delete = generated::JobDeleteResponse { result: Some(result) };
        let generic = DeleteResponse::<Job>::decode(&*delete.encode_to_vec()).unwrap();
        assert_eq!(generic, DeleteResponse { object: None, status: Some(status) });
    }
}
