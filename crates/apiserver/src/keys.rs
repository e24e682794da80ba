//! Every key that the API server uses in the store.
//!
//! ```text
//!  /registry/jobs/default/pi                 objects: Kubernetes' own layout (api::storage)
//!  /registry/raftsman.io/claims/NAME         leadership (design D4); value: the holder
//!  /registry/raftsman.io/guards/NAMESPACE    one writer of dependencies at a time (design D12)
//!  compact_rev_key                           which API server compacts next
//! ```

use bytes::Bytes;
use proto::etcdserverpb::RangeRequest;

use crate::registry::Resource;

/// Everything that the watch cache holds lies under this.
pub(crate) const ROOT: &str = "/registry/";
/// Keys that are no objects.
pub(crate) const SIDE: &str = "/registry/raftsman.io/";

/// The key of one object.
pub(crate) fn object(resource: &Resource, namespace: &str, name: &str) -> String {
    api::storage::key(api::storage::DEFAULT_PREFIX, resource.info, namespace, name)
}

/// The key of the claim `name`.
pub(crate) fn claim(name: &str) -> String {
    format!("{SIDE}claims/{name}")
}

/// The key that serializes changes of dependencies in a namespace.
pub(crate) fn guard(namespace: &str) -> String {
    format!("{SIDE}guards/{namespace}")
}

/// The first key after all keys with this prefix.
pub(crate) fn end_of(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    // Prefixes end in '/', never in 0xff.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

/// A read that finds nothing: only its header counts, the store's revision.
pub(crate) fn nothing() -> RangeRequest {
    RangeRequest { key: Bytes::from_static(b"/registry/raftsman.io/none"), count_only: true, ..Default::default() }
}
