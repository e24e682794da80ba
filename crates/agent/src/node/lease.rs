//! The nodes' Leases in kube-node-lease, renewed many to a Commit; what the control plane and the shims take for a sign of life.
//!
//! A renewal is committed only while its Node exists, by uid: a Node that was deleted gives up its Pods as one that fell silent
//! does, so its agent must not go on as if nothing had happened.

use std::collections::HashMap;
use std::time::Duration;

use api::time::to_micro_time;
use chrono::Utc;
use client::{Client, Group, GroupResult, Precondition, Write};
use proto::coordination_v1::{Lease, LeaseSpec};
use proto::core_v1::Node;
use proto::meta_v1::{ObjectMeta, OwnerReference};

use crate::fence;

pub const NAMESPACE: &str = "kube-node-lease";
/// How long a renewal may take before another server is asked, and how much longer for each Lease.
const RENEW_WITHIN: Duration = Duration::from_secs(5);
const RENEW_WITHIN_EACH: Duration = Duration::from_millis(10);
/// Told to the control plane in the Lease.
const DURATION_S: i32 = 40;

/// Keeps the leases of some nodes.
pub struct LeaseKeeper {
    client: Client,
    names: Vec<String>,
    /// The Nodes, as references: a Lease goes with its Node.
    owners: HashMap<String, OwnerReference>,
}

/// What one round of renewals came to.
#[derive(Debug, PartialEq)]
pub struct Renewed {
    /// Every lease was renewed, by a request sent at this time of the boot clock.
    pub all_at: Option<u64>,
    /// Why not.
    pub error: Option<String>,
    /// A Node object is missing: it was deleted, and has to be registered anew.
    pub unregistered: bool,
    /// The control plane doubts a Node: its status has to be reported.
    pub doubted: bool,
}

/// What renewing one Lease came to.
enum Outcome {
    Renewed,
    /// The Lease doesn't exist.
    Missing,
    /// The Node doesn't exist, or is another of that name.
    Unregistered(String),
    Failed(String),
}

impl LeaseKeeper {
    pub fn new(client: Client, names: Vec<String>) -> LeaseKeeper {
        LeaseKeeper { client, names, owners: HashMap::new() }
    }

    /// Renews all leases once; those that don't exist are made.
    pub async fn renew(&mut self) -> Renewed {
        let within = RENEW_WITHIN + RENEW_WITHIN_EACH * u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let server = self.client.server().clone();
        match tokio::time::timeout(within, self.renew_now()).await {
            Ok(renewed) => renewed,
            Err(_) => {
                let error = format!("{} did not answer within {} s", server.url, within.as_secs());
                self.client.move_on(&server);
                Renewed { all_at: None, error: Some(error), unregistered: false, doubted: false }
            }
        }
    }

    async fn renew_now(&mut self) -> Renewed {
        let sent = fence::boot_ns();
        let mut renewed = Renewed { all_at: None, error: None, unregistered: false, doubted: false };
        if let Err(error) = self.know_nodes(&mut renewed).await {
            renewed.error = Some(error);
            return renewed;
        }
        let mut missing = Vec::new();
        for (name, outcome) in self.commit(&self.names, Write::update).await {
            match outcome {
                Outcome::Missing => missing.push(name),
                outcome => self.settle(&name, outcome, &mut renewed),
            }
        }
        for (name, outcome) in self.commit(&missing, Write::create).await {
            self.settle(&name, outcome, &mut renewed);
        }
        renewed.all_at = renewed.error.is_none().then_some(sent);
        renewed
    }

    /// Looks the Nodes up whose uid is not known. One that is alone is looked at each time, for what is thought of it.
    async fn know_nodes(&mut self, renewed: &mut Renewed) -> Result<(), String> {
        let alone = self.names.len() == 1;
        let is_asked = |name: &&String| alone || !self.owners.contains_key(*name);
        let asked: Vec<String> = self.names.iter().filter(is_asked).cloned().collect();
        for name in asked {
            match self.client.get::<Node>("", &name).await {
                Ok(node) => {
                    renewed.doubted |= is_doubted(&node);
                    self.owners.insert(name, owner(&node));
                }
                Err(error) => {
                    renewed.unregistered |= error.is_not_found();
                    return Err(error.to_string());
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self, name: &str, outcome: Outcome, renewed: &mut Renewed) {
        match outcome {
            Outcome::Renewed => {}
            Outcome::Missing => renewed.error = Some(format!("the Lease of node {name} is gone again")),
            Outcome::Unregistered(error) => {
                self.owners.remove(name);
                renewed.unregistered = true;
                renewed.error = Some(error);
            }
            Outcome::Failed(error) => renewed.error = Some(error),
        }
    }

    async fn commit(&self, names: &[String], write: impl Fn(Lease) -> Write + Copy) -> Vec<(String, Outcome)> {
        let group = |name: &String| Group {
            writes: vec![write(self.lease(name))],
            preconditions: self
                .owners
                .get(name)
                .map(|node| Precondition::seen::<Node>(&seen(node)))
                .into_iter()
                .collect(),
            fence: None,
        };
        match self.client.commit(names.iter().map(group).collect()).await {
            Ok(results) => names.iter().cloned().zip(results.into_iter().map(outcome)).collect(),
            Err(error) => names.iter().map(|name| (name.clone(), Outcome::Failed(error.to_string()))).collect(),
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

fn seen(node: &OwnerReference) -> ObjectMeta {
    ObjectMeta { name: node.name.clone(), uid: node.uid.clone(), ..ObjectMeta::default() }
}

/// The Lease is the group's first, the Node its second.
fn outcome(result: GroupResult) -> Outcome {
    match result {
        GroupResult::Committed { .. } => Outcome::Renewed,
        GroupResult::Unknown { error } => Outcome::Failed(error),
        GroupResult::Refused { status, failed: Some(0) } if status.code == 404 => Outcome::Missing,
        GroupResult::Refused { status, failed: Some(1) } if matches!(status.code, 404 | 409) => {
            Outcome::Unregistered(status.message)
        }
        GroupResult::Refused { status, .. } => Outcome::Failed(status.message),
    }
}

/// Not Ready, although its agent is here to say otherwise.
fn is_doubted(node: &Node) -> bool {
    let conditions = node.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    api::condition::find(conditions, "Ready").is_none_or(|ready| ready.status != "True")
}

#[cfg(test)]
mod tests {
    use proto::core_v1::{NodeCondition, NodeStatus};
    use proto::meta_v1::Status;

    use super::*;

    #[test]
    fn a_renewal_tells_a_missing_lease_from_a_missing_node() {
        let refused = |code, failed| {
            let status = Status { code, message: "why".into(), ..Status::default() };
            outcome(GroupResult::Refused { status: Box::new(status), failed })
        };
        assert!(matches!(refused(404, Some(0)), Outcome::Missing));
        assert!(matches!(refused(404, Some(1)), Outcome::Unregistered(_)));
        assert!(matches!(refused(409, Some(1)), Outcome::Unregistered(_)), "another uid");
        assert!(matches!(refused(409, Some(0)), Outcome::Failed(_)));
        assert!(matches!(refused(503, None), Outcome::Failed(_)));
        assert!(matches!(outcome(GroupResult::Unknown { error: "lost".into() }), Outcome::Failed(_)));
    }

    #[test]
    fn a_node_is_doubted_unless_it_is_ready() {
        let node = |ready: &str| Node {
            status: Some(NodeStatus {
                conditions: vec![NodeCondition { r#type: "Ready".into(), status: ready.into(), ..Default::default() }],
                ..Default::default()
            }),
            ..Default::default()
        };
        assert!(!is_doubted(&node("True")));
        assert!(is_doubted(&node("Unknown")) && is_doubted(&Node::default()));
    }
}
