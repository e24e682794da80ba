//! A kind as the client sees it.

use api::kind::Kind;

/// Every kind that has a service; implemented for all of them by the API's own description of kinds.
pub trait Resource: Kind + std::fmt::Debug {
    /// The path of a method of this kind's service, `/raftsman.v1.JobService/Create`.
    fn path(method: &str) -> http::uri::PathAndQuery {
        let path = format!("/raftsman.v1.{}Service/{method}", Self::INFO.kind);
        path.parse().expect("kinds and methods are identifiers")
    }

    /// `namespace/name`, or the name alone where the kind has no namespaces; what queues and messages use.
    fn key(&self) -> String {
        self.metadata().map_or_else(String::new, |metadata| object_key(&metadata.namespace, &metadata.name))
    }
}

impl<K: Kind + std::fmt::Debug> Resource for K {}

/// `namespace/name`, or `name`.
pub fn object_key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// The reverse of [`object_key`]: (namespace, name).
pub fn split_key(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}
