//! Everything generated from `proto/`: messages, services, descriptors and the Kubernetes JSON of the kinds (design D1).

pub mod json;
pub mod quantity;
pub mod schema;

#[allow(clippy::all, missing_docs)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/modules.rs"));
}

pub use generated::{authpb, etcdserverpb, k8s, mvccpb, raftsman, v3electionpb, v3lockpb};
pub use k8s::io::api::authentication::v1 as authentication_v1;
pub use k8s::io::api::authorization::v1 as authorization_v1;
pub use k8s::io::api::batch::v1 as batch_v1;
pub use k8s::io::api::coordination::v1 as coordination_v1;
pub use k8s::io::api::core::v1 as core_v1;
pub use k8s::io::api::events::v1 as events_v1;
pub use k8s::io::api::policy::v1 as policy_v1;
pub use k8s::io::apimachinery::pkg::api::resource;
pub use k8s::io::apimachinery::pkg::apis::meta::v1 as meta_v1;
pub use k8s::io::apimachinery::pkg::runtime;
pub use k8s::io::apimachinery::pkg::util::intstr;
pub use raftsman::store::v1 as raftsman_store_v1;
pub use raftsman::v1 as raftsman_v1;

/// All of `proto/` as an encoded FileDescriptorSet, comments included; what server reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// A kind with apiVersion, kind and metadata.
pub trait Root: prost::Message + json::Json + Default + Clone + PartialEq + Send + Sync + 'static {
    /// "batch"; empty for core.
    const GROUP: &'static str;
    const VERSION: &'static str;
    const KIND: &'static str;
    fn metadata(&self) -> Option<&meta_v1::ObjectMeta>;
    /// The metadata; an absent one is made.
    fn metadata_mut(&mut self) -> &mut meta_v1::ObjectMeta;
}

/// A list of objects of one kind.
pub trait RootList: prost::Message + json::Json + Default + Clone + Send + Sync + 'static {
    type Item;
    fn new(metadata: meta_v1::ListMeta, items: Vec<Self::Item>) -> Self;
    fn metadata(&self) -> Option<&meta_v1::ListMeta>;
    fn items(&self) -> &[Self::Item];
    fn into_items(self) -> Vec<Self::Item>;
}
