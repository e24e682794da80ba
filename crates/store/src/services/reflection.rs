//! Server reflection: the services of this port and what they need, nothing else of the project's messages.

use prost::Message;
use prost_types::FileDescriptorSet;
use tonic_reflection::server::{Builder, Error, v1, v1alpha};

/// Folder of etcd's files in the descriptor set.
const ETCD_FILES: &str = "etcd/";

/// Reflection in both versions that clients speak.
pub fn services() -> Result<
    (
        v1::ServerReflectionServer<impl v1::ServerReflection>,
        v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>,
    ),
    Error,
> {
    let mut etcd = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET)?;
    etcd.file.retain(|file| file.name().starts_with(ETCD_FILES));
    let builder = || {
        Builder::configure()
            .register_file_descriptor_set(etcd.clone())
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok((builder().build_v1()?, builder().build_v1alpha()?))
}
