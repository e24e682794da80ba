//! `raftsman node drain`: as `kubectl drain` does it, before a machine is serviced.
//!
//! Cordon first, so that nothing new comes; then each Pod is marked as disrupted, so that people and controllers can tell it
//! from a failure of its own, and deleted with its own grace period; then wait until the agent has ended them all.

use std::time::Duration;

use api::time::to_time;
use chrono::Utc;
use clap::Args;
use client::{Client, ListOptions};
use proto::core_v1::{Node, Pod, PodCondition};
use proto::meta_v1::{DeleteOptions, ObjectMeta, Preconditions};
use tokio::time::Instant;

use crate::command::connection::Connection;
use crate::failure::Failure;

/// Node and Pods change under our hands: so often is a change tried again.
const CONFLICTS_MAX: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct DrainArgs {
    #[command(flatten)]
    connection: Connection,
    /// The node
    name: String,
    /// Seconds to wait for the Pods to end
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// Seconds that a Pod has to end [default: its terminationGracePeriodSeconds]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(0..))]
    grace_period: Option<i64>,
}

pub async fn run(args: DrainArgs) -> Result<(), Failure> {
    let client = args.connection.open()?.client;
    cordon(&client, &args.name).await?;
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    loop {
        let pods = pods(&client, &args.name).await?;
        let Some(first) = pods.first() else { break };
        if Instant::now() >= deadline {
            return Err(Failure::Failed(format!(
                "{} Pods still run on {} after {} s, {} among them; run the command again, or give --grace-period",
                pods.len(),
                args.name,
                args.timeout,
                shown(meta(first))
            )));
        }
        for pod in pods.into_iter().filter(|pod| meta(pod).deletion_timestamp.is_none()) {
            evict(&client, pod, args.grace_period).await?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    println!("node/{} drained", args.name);
    Ok(())
}

/// Sets `spec.unschedulable`.
async fn cordon(client: &Client, name: &str) -> Result<(), Failure> {
    let mut conflicts = 0;
    loop {
        let mut node: Node = client.get("", name).await?;
        let spec = node.spec.get_or_insert_default();
        if spec.unschedulable {
            return Ok(());
        }
        spec.unschedulable = true;
        match client.update(node).await {
            Ok(_) => break,
            Err(error) if error.is_conflict() && conflicts < CONFLICTS_MAX => conflicts += 1,
            Err(error) => return Err(error.into()),
        }
    }
    println!("node/{name} cordoned");
    Ok(())
}

/// The Pods of a node that have not ended.
async fn pods(client: &Client, node: &str) -> Result<Vec<Pod>, Failure> {
    let field_selector = format!("spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed");
    let options = ListOptions { field_selector, ..ListOptions::default() };
    Ok(client.list::<Pod>(options).await?.items)
}

/// Ends a Pod; one that is gone or has changed is looked at again in the next round.
async fn evict(client: &Client, pod: Pod, grace_period_seconds: Option<i64>) -> Result<(), Failure> {
    let metadata = meta(&pod).clone();
    match client.update_status(disrupted(pod)).await {
        Ok(_) => {}
        Err(error) if error.is_conflict() || error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let preconditions = Preconditions { uid: Some(metadata.uid.clone()), ..Preconditions::default() };
    let options =
        DeleteOptions { grace_period_seconds, preconditions: Some(preconditions), ..DeleteOptions::default() };
    match client.delete::<Pod>(&metadata.namespace, &metadata.name, options).await {
        Ok(_) => {
            println!("pod/{} evicted", shown(&metadata));
            Ok(())
        }
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The Pod with Kubernetes' condition of one that is evicted.
fn disrupted(mut pod: Pod) -> Pod {
    let conditions = &mut pod.status.get_or_insert_default().conditions;
    conditions.retain(|condition| condition.r#type != "DisruptionTarget");
    conditions.push(PodCondition {
        r#type: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: "EvictionByEvictionAPI".to_owned(),
        message: "raftsman node drain: evicting".to_owned(),
        last_transition_time: Some(to_time(Utc::now())),
        ..PodCondition::default()
    });
    pod
}

fn meta(pod: &Pod) -> &ObjectMeta {
    static NONE: std::sync::LazyLock<ObjectMeta> = std::sync::LazyLock::new(ObjectMeta::default);
    pod.metadata.as_ref().unwrap_or(&NONE)
}

fn shown(metadata: &ObjectMeta) -> String {
    format!("{}/{}", metadata.namespace, metadata.name)
}
