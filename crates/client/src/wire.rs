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
