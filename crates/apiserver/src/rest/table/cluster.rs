//! Namespaces, Leases, and the columns of kinds that have none of their own.

use api::time::Instant;
use proto::coordination_v1::Lease;
use proto::core_v1::Namespace;
use proto::meta_v1::ObjectMeta;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, column, format};

pub const NAMESPACE_COLUMNS: &[Column] =
    &[NAME, column("Status", "string", "Active, or Terminating while it is being emptied."), AGE];

pub fn namespace_cells(namespace: &Namespace, now: Instant) -> Vec<Value> {
    let phase = namespace.status.as_ref().map_or("", |status| status.phase.as_str());
    vec![format::name(&namespace.metadata), json!(phase), format::age(&namespace.metadata, now)]
}

pub const LEASE_COLUMNS: &[Column] = &[NAME, column("Holder", "string", "Who holds it."), AGE];

pub fn lease_cells(lease: &Lease, now: Instant) -> Vec<Value> {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
    vec![format::name(&lease.metadata), json!(holder.unwrap_or_default()), format::age(&lease.metadata, now)]
}

pub const DEFAULT_COLUMNS: &[Column] = &[NAME, column("Created At", "date", "When the object was created.")];

pub fn default_cells(metadata: &ObjectMeta) -> Vec<Value> {
    let created = api::time::opt(&metadata.creation_timestamp).map(api::time::rfc3339);
    vec![json!(metadata.name), json!(created.unwrap_or_default())]
}
