//! Everything generated from `proto/`: messages, services, descriptors and the Kubernetes JSON of the kinds (design D1).

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
pub use raftsman::v1 as raftsman_v1;

/// All of `proto/` as an encoded FileDescriptorSet, comments included; what server reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
