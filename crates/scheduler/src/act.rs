//! Carries a pass out: binds in groups, many groups in one Commit, then the events.
//!
//! A group of binds is atomic only to be cheap: when one Pod of it was deleted meanwhile the others are innocent, so
//! a refused group is sent again Pod by Pod.

use api::condition;
use api::meta::Object;
use api::proto::core_v1::{ObjectReference, Pod, PodCondition};
use chrono::{DateTime, Utc};
use client::{Client, EventDraft, Fence, Group, GroupResult, Recorder, Write};

use crate::decide::{Pass, Placement, Refusal};

/// Binds that share one group.
const GROUP_BINDS: usize = 32;

/// What the loop must hear of a pass that has been carried out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Pods that did not get the node after all.
    pub failed: Vec<Placement>,
    /// The uids of Pods that could not be told why they wait.
    pub untold: Vec<String>,
}

pub async fn carry_out(client: Client, fence: Fence, recorder: Recorder, pass: Pass, now: DateTime<Utc>) -> Outcome {
    let mut outcome = Outcome::default();
    bind(&client, &fence, &recorder, pass.placements, &mut outcome).await;
    tell(&client, &fence, &recorder, pass.refusals, now, &mut outcome).await;
    outcome
}

async fn bind(client: &Client, fence: &Fence, recorder: &Recorder, placements: Vec<Placement>, outcome: &mut Outcome) {
    let refused = commit_binds(client, fence, recorder, placements, GROUP_BINDS).await;
    if refused.is_empty() {
        return;
    }
    let retry = refused.into_iter().flat_map(|(placements, _)| placements).collect();
    for (placements, why) in commit_binds(client, fence, recorder, retry, 1).await {
        tracing::debug!(pod = placements.first().map(|placement| placement.pod.uid.as_str()), why, "bind failed");
        outcome.failed.extend(placements);
    }
}

/// Commits binds, `together` in a group; answers the groups that were not committed, and why.
async fn commit_binds(
    client: &Client,
    fence: &Fence,
    recorder: &Recorder,
    placements: Vec<Placement>,
    together: usize,
) -> Vec<(Vec<Placement>, String)> {
    if placements.is_empty() {
        return Vec::new();
    }
    let chunks: Vec<Vec<Placement>> = placements.chunks(together).map(<[Placement]>::to_vec).collect();
    let groups = chunks.iter().map(|chunk| group(fence, chunk.iter().map(bind_write).collect())).collect();
    match client.commit(groups).await {
        Ok(results) => chunks
            .into_iter()
            .zip(results)
            .filter_map(|(chunk, result)| match refusal(result) {
                None => {
                    for placement in &chunk {
                        recorder.record(scheduled(placement));
                        unweighed(placement).into_iter().for_each(|event| recorder.record(event));
                    }
                    None
                }
                Some(why) => Some((chunk, why)),
            })
            .collect(),
        Err(error) => chunks.into_iter().map(|chunk| (chunk, error.to_string())).collect(),
    }
}

fn bind_write(placement: &Placement) -> Write {
    let mut seen = placement.pod.pod.meta().clone();
    // The uid alone: a Pod that was labelled meanwhile is still the Pod to bind.
    seen.resource_version.clear();
    Write::bind::<Pod>(&seen, &placement.node)
}

fn scheduled(placement: &Placement) -> EventDraft {
    let pod = placement.pod.pod.meta();
    let message = format!("Successfully assigned {}/{} to {}", pod.namespace, pod.name, placement.node);
    EventDraft::normal(reference(&placement.pod.pod), "Scheduled", message)
}

/// What the Pod asked for and this scheduler doesn't weigh yet is told, never dropped in silence.
fn unweighed(placement: &Placement) -> Option<EventDraft> {
    let ignored = &placement.pod.class.ignored;
    let message =
        || format!("Placed without regard to {}, which this scheduler does not weigh yet", ignored.join(", "));
    (!ignored.is_empty()).then(|| EventDraft::warning(reference(&placement.pod.pod), "ConstraintIgnored", message()))
}

/// Writes the reason into the PodScheduled condition; one group a Pod, since each is someone else's object.
async fn tell(
    client: &Client,
    fence: &Fence,
    recorder: &Recorder,
    refusals: Vec<Refusal>,
    now: DateTime<Utc>,
    outcome: &mut Outcome,
) {
    if refusals.is_empty() {
        return;
    }
    let groups = refusals
        .iter()
        .map(|refusal| group(fence, vec![Write::update_status(unschedulable(&refusal.pod.pod, &refusal.message, now))]))
        .collect();
    let results = match client.commit(groups).await {
        Ok(results) => results,
        Err(error) => {
            tracing::warn!(%error, "telling Pods that they fit nowhere");
            outcome.untold.extend(refusals.into_iter().map(|refusal| refusal.pod.uid));
            return;
        }
    };
    for (told, result) in refusals.into_iter().zip(results) {
        match refusal(result) {
            None => {
                recorder.record(EventDraft::warning(
                    reference(&told.pod.pod),
                    "FailedScheduling",
                    told.message.as_ref(),
                ));
            }
            Some(why) => {
                tracing::debug!(pod = told.pod.uid, why, "telling a Pod that it fits nowhere");
                outcome.untold.push(told.pod.uid);
            }
        }
    }
}

/// The Pod with `PodScheduled` False.
pub fn unschedulable(pod: &Pod, message: &str, now: DateTime<Utc>) -> Pod {
    let mut pod = pod.clone();
    let condition = PodCondition {
        r#type: "PodScheduled".into(),
        status: "False".into(),
        reason: "Unschedulable".into(),
        message: message.into(),
        ..Default::default()
    };
    condition::set(&mut pod.status.get_or_insert_default().conditions, condition, now);
    pod
}

fn group(fence: &Fence, writes: Vec<Write>) -> Group {
    Group { writes, preconditions: Vec::new(), fence: Some(fence.clone()) }
}

/// Why a group was not committed.
fn refusal(result: GroupResult) -> Option<String> {
    match result {
        GroupResult::Committed { .. } => None,
        GroupResult::Refused { status, .. } => Some(status.message),
        GroupResult::Unknown { error } => Some(error),
    }
}

fn reference(pod: &Pod) -> ObjectReference {
    api::meta::object_reference(pod)
}
