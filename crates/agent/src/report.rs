//! Statuses on their way to the API server: coalesced by Pod, sent many to a Commit, repeated until they are answered.
//!
//! ```text
//!  workers ── latest status per Pod ──▶ pending ── up to 28 groups of 8 ──▶ Commit
//!                                          ▲                                   │ refused group: its Pods one by one
//!                                          └──────── unknown outcome ──────────┘ (a status is the same however often)
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Group, GroupResult, Write};
use parking_lot::Mutex;
use proto::core_v1::{Pod, PodStatus};
use proto::meta_v1::{DeleteOptions, ObjectMeta, Preconditions};
use tokio::sync::{Notify, oneshot};

/// Pods of one group: one that is refused makes all of them go alone.
const GROUP_PODS: usize = 8;
/// What one Commit takes.
const COMMIT_PODS: usize = GROUP_PODS * client::commit::COMMIT_GROUPS_MAX;
/// A moment for more statuses to come together; far below what a person notices.
const LINGER: Duration = Duration::from_millis(8);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(3);

/// The API's answer to a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Stored,
    /// There is no such Pod any more.
    Gone,
    /// It will never be taken: the Pod has ended otherwise meanwhile, say.
    Refused,
}

/// What names a Pod to the API.
#[derive(Clone, Debug)]
pub struct PodName {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

enum Change {
    Status(Box<PodStatus>),
    /// The Pod is over on this node: its object may go.
    Delete,
}

struct Pending {
    pod: PodName,
    change: Change,
    answers: Vec<oneshot::Sender<Answer>>,
}

/// Takes reports of all workers of the process.
#[derive(Default)]
pub struct Reporter {
    pending: Mutex<HashMap<String, Pending>>,
    wake: Notify,
}

impl Reporter {
    /// Reports a status, replacing one of the same Pod that has not been sent.
    pub fn status(&self, pod: &PodName, status: PodStatus) -> oneshot::Receiver<Answer> {
        self.put(pod, Change::Status(Box::new(status)))
    }

    /// Asks for the Pod's removal.
    pub fn delete(&self, pod: &PodName) -> oneshot::Receiver<Answer> {
        self.put(pod, Change::Delete)
    }

    fn put(&self, pod: &PodName, change: Change) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let mut pending = self.pending.lock();
        match pending.get_mut(&pod.uid) {
            Some(waiting) => {
                waiting.change = change;
                waiting.answers.push(sender);
            }
            None => {
                pending.insert(pod.uid.clone(), Pending { pod: pod.clone(), change, answers: vec![sender] });
            }
        }
        drop(pending);
        self.wake.notify_one();
        receiver
    }

    /// Sends until it is dropped.
    pub async fn run(self: Arc<Self>, client: Client) {
        let mut delay = RETRY_FIRST;
        loop {
            self.wake.notified().await;
            tokio::time::sleep(LINGER).await;
            loop {
                let batch = self.take();
                if batch.is_empty() {
                    break;
                }
                let unknown = self.send(&client, batch, GROUP_PODS).await;
                if unknown == 0 {
                    delay = RETRY_FIRST;
                    continue;
                }
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(RETRY_LONGEST);
            }
        }
    }

    fn take(&self) -> Vec<Pending> {
        let mut pending = self.pending.lock();
        if pending.len() <= COMMIT_PODS {
            return pending.drain().map(|(_, report)| report).collect();
        }
        let uids: Vec<String> = pending.keys().take(COMMIT_PODS).cloned().collect();
        uids.iter().filter_map(|uid| pending.remove(uid)).collect()
    }

    /// Gives the number of reports whose fate is unknown; they wait again.
    async fn send(&self, client: &Client, batch: Vec<Pending>, group_pods: usize) -> usize {
        let mut chunks: Vec<Vec<Pending>> = Vec::with_capacity(batch.len() / group_pods + 1);
        for report in batch {
            match chunks.last_mut() {
                Some(chunk) if chunk.len() < group_pods => chunk.push(report),
                _ => chunks.push(vec![report]),
            }
        }
        let groups = chunks
            .iter()
            .map(|chunk| Group { writes: chunk.iter().map(write).collect(), ..Group::default() })
            .collect();
        let results = match client.commit(groups).await {
            Ok(results) => results,
            Err(error) => chunks.iter().map(|_| GroupResult::Unknown { error: error.to_string() }).collect(),
        };
        let mut unknown = 0;
        let mut alone = Vec::new();
        for (chunk, result) in chunks.into_iter().zip(results) {
            match result {
                GroupResult::Committed { .. } => answer(chunk, Answer::Stored),
                GroupResult::Refused { .. } if chunk.len() > 1 => alone.extend(chunk),
                GroupResult::Refused { status, .. } => match verdict(&status) {
                    Some(verdict) => {
                        if verdict == Answer::Refused {
                            let pod = &chunk[0].pod;
                            tracing::warn!(pod = %pod.name, namespace = %pod.namespace, "status refused: {}", status.message);
                        }
                        answer(chunk, verdict);
                    }
                    None => unknown += self.put_back(chunk),
                },
                GroupResult::Unknown { error } => {
                    tracing::debug!(%error, "statuses are not answered; they are sent again");
                    unknown += self.put_back(chunk);
                }
            }
        }
        if !alone.is_empty() {
            unknown += Box::pin(self.send(client, alone, 1)).await;
        }
        unknown
    }

    /// A newer report that came meanwhile stays, and answers for both.
    fn put_back(&self, chunk: Vec<Pending>) -> usize {
        let count = chunk.len();
        let mut pending = self.pending.lock();
        for mut report in chunk {
            match pending.get_mut(&report.pod.uid) {
                Some(newer) => newer.answers.append(&mut report.answers),
                None => {
                    pending.insert(report.pod.uid.clone(), report);
                }
            }
        }
        count
    }
}

fn answer(chunk: Vec<Pending>, answer: Answer) {
    for sender in chunk.into_iter().flat_map(|report| report.answers) {
        // A worker that no longer listens has no use for it.
        let _ = sender.send(answer);
    }
}

/// What a refusal means; `None`: try again.
fn verdict(status: &proto::meta_v1::Status) -> Option<Answer> {
    match (status.code, status.reason.as_str()) {
        (404, _) => Some(Answer::Gone),
        (409, "Conflict") if status.message.contains("UID") => Some(Answer::Gone),
        (409 | 429 | 500.., _) => None,
        _ => Some(Answer::Refused),
    }
}

fn write(report: &Pending) -> Write {
    let pod = &report.pod;
    match &report.change {
        Change::Status(status) => Write::update_status(Pod {
            metadata: Some(ObjectMeta {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                ..ObjectMeta::default()
            }),
            spec: None,
            status: Some((**status).clone()),
        }),
        Change::Delete => Write::delete::<Pod>(
            &pod.namespace,
            &pod.name,
            DeleteOptions {
                grace_period_seconds: Some(0),
                preconditions: Some(Preconditions { uid: Some(pod.uid.clone()), resource_version: None }),
                ..DeleteOptions::default()
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str) -> PodName {
        PodName { namespace: "n".into(), name: uid.into(), uid: uid.into() }
    }

    #[test]
    fn the_newest_status_of_a_pod_is_sent_and_answers_all() {
        let reporter = Reporter::default();
        let phase = |phase: &str| PodStatus { phase: phase.into(), ..PodStatus::default() };
        let mut first = reporter.status(&pod("a"), phase("Running"));
        let mut second = reporter.status(&pod("a"), phase("Succeeded"));
        let mut batch = reporter.take();
        assert_eq!(batch.len(), 1);
        assert!(matches!(&batch[0].change, Change::Status(status) if status.phase == "Succeeded"));
        // Its outcome is unknown, and a newer one has come.
        let _third = reporter.delete(&pod("a"));
        reporter.put_back(std::mem::take(&mut batch));
        let batch = reporter.take();
        assert!(matches!(batch[0].change, Change::Delete));
        answer(batch, Answer::Stored);
        assert_eq!((first.try_recv(), second.try_recv()), (Ok(Answer::Stored), Ok(Answer::Stored)));
    }

    #[test]
    fn refusals_are_told_apart() {
        let status = |code, reason: &str, message: &str| proto::meta_v1::Status {
            code,
            reason: reason.into(),
            message: message.into(),
            ..Default::default()
        };
        assert_eq!(verdict(&status(404, "NotFound", "")), Some(Answer::Gone));
        assert_eq!(
            verdict(&status(409, "Conflict", "Precondition failed: UID in precondition: a")),
            Some(Answer::Gone)
        );
        assert_eq!(verdict(&status(409, "Conflict", "the object has been modified")), None);
        assert_eq!(verdict(&status(503, "ServiceUnavailable", "")), None);
        assert_eq!(verdict(&status(422, "Invalid", "")), Some(Answer::Refused));
    }
}
