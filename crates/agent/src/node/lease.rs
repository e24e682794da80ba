//! The nodes' Leases in kube-node-lease: renewed every ten seconds, many to a Commit; what the control plane and the shims
//! take for a sign of life.

use std::collections::HashMap;
use std::time::Duration;

use api::time::to_micro_time;
use chrono::Utc;
use client::{Client, GroupResult, Write};
use proto::coordination_v1::{Lease, LeaseSpec};
use proto::core_v1::Node;
use proto::meta_v1::{ObjectMeta, OwnerReference};

use super::alone;
use crate::fence;

pub const NAMESPACE: &str = "kube-node-lease";
pub const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Told to the control plane in the Lease.
const DURATION_S: i32 = 40;

/// Keeps the leases of some nodes.
pub struct LeaseKeeper {
    client: Client,
    names: Vec<String>,
    /// By node: a Lease that outlived its Node must go with it.
    owners: HashMap<String, OwnerReference>,
}

/// What one round of renewals came to.
#[derive(Debug, PartialEq)]
pub struct Renewed {
    /// Every lease was renewed, by a request sent at this time of the boot clock.
    pub all_at: Option<u64>,
    /// A Node object is missing: it was deleted, and has to be registered anew.
    pub error: Option<String>,
}

impl LeaseKeeper {
    pub fn new(client: Client, names: Vec<String>) -> LeaseKeeper {
        LeaseKeeper { client, names, owners: HashMap::new() }
    }

    /// Renews all leases once; those that don't exist are made.
    pub async fn renew(&mut self) -> Renewed {
        let sent = fence::boot_ns();
        let mut missing = Vec::new();
        let mut failure = None;
        for (name, result) in self.commit(&self.names, Write::update).await {
            match result {
                GroupResult::Committed { .. } => {}
                GroupResult::Refused { status, .. } if status.code == 404 => missing.push(name),
                GroupResult::Refused { status, .. } => failure = Some(status.message.clone()),
                GroupResult::Unknown { error } => failure = Some(error),
            }
        }
        for name in &missing {
            if let Ok(node) = self.client.get::<Node>("", name).await {
                self.owners.insert(name.clone(), owner(&node));
            }
        }
        for (_, result) in self.commit(&missing, Write::create).await {
            match result {
                GroupResult::Committed { .. } => {}
                GroupResult::Refused { status, .. } => failure = Some(status.message.clone()),
                GroupResult::Unknown { error } => failure = Some(error),
            }
        }
        Renewed { all_at: failure.is_none().then_some(sent), error: failure }
    }

    async fn commit(&self, names: &[String], write: impl Fn(Lease) -> Write + Copy) -> Vec<(String, GroupResult)> {
        let groups = names.iter().map(|name| alone(write, self.lease(name))).collect();
        match self.client.commit(groups).await {
            Ok(results) => names.iter().cloned().zip(results).collect(),
            Err(error) => {
                let unknown = GroupResult::Unknown { error: error.to_string() };
                names.iter().cloned().map(|name| (name, unknown.clone())).collect()
            }
        }
    }

    fn lease(&self, name: &str) -> Lease {
        Lease {
            metadata: Some(ObjectMeta {
                namespace: NAMESPACE.to_owned(),
                name: name.to_owned(),
                owner_references: self.owners.get(name).cloned().into_iter().collect(),
                ..ObjectMeta::default()
            }),
            spec: Some(LeaseSpec {
                holder_identity: Some(name.to_owned()),
                lease_duration_seconds: Some(DURATION_S),
                renew_time: Some(to_micro_time(Utc::now())),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn owner(node: &Node) -> OwnerReference {
    let metadata = node.metadata.clone().unwrap_or_default();
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: metadata.name,
        uid: metadata.uid,
        ..OwnerReference::default()
    }
}
