//! The Pods of this process's nodes: one watch for all of them, one worker for each Pod.
//!
//! Finished Pods keep no worker and, where nothing is on disk for them, no memory either.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use client::watch::{Batch, Event, WatchOptions};
use client::{Client, Error};
use futures::FutureExt;
use proto::core_v1::Pod;
use tokio::task::JoinSet;

use crate::report::PodName;
use crate::runtime::StartId;
use crate::worker::life::{Run, is_terminal};
use crate::worker::mailbox::{Mailbox, News};
use crate::worker::status::NodeFacts;
use crate::worker::{self, Finished, Shared};

const RETRY: Duration = Duration::from_millis(500);

/// What is known of one Pod.
enum Entry {
    Working(Mailbox),
    /// Its last status is stored; its records are kept until its object is gone.
    Finished,
}

/// Owns the workers.
pub struct Pods {
    client: Client,
    shared: Arc<Shared>,
    nodes: HashMap<String, Arc<NodeFacts>>,
    entries: HashMap<String, Entry>,
    workers: JoinSet<(String, Finished)>,
    /// The uids of the list that is being received.
    listed: Option<HashSet<String>>,
    /// The tenure in which the list was asked for that the watch goes on from.
    tenure: u64,
}

impl Pods {
    pub fn new(client: Client, shared: Arc<Shared>, nodes: HashMap<String, Arc<NodeFacts>>) -> Pods {
        Pods { client, shared, nodes, entries: HashMap::new(), workers: JoinSet::new(), listed: None, tenure: 0 }
    }

    /// Follows the API until it is cancelled.
    pub async fn run(mut self) {
        // What is listed before the first renewal would have to be listed again.
        self.shared.fence.another_tenure(0).await;
        let mut revision = String::new();
        loop {
            match self.follow(&mut revision).await {
                Ok(()) => {}
                Err(error) if error.is_expired() => revision.clear(),
                Err(error) => {
                    tracing::warn!(%error, "the watch of this node's Pods ended; it is opened again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn follow(&mut self, revision: &mut String) -> Result<(), Error> {
        let fence = self.shared.fence.clone();
        let tenure = fence.standing().tenure;
        if tenure != self.tenure {
            // After a lapse nothing that is known counts (design D7): everything is asked for anew.
            revision.clear();
            self.tenure = tenure;
        }
        self.listed = revision.is_empty().then(HashSet::new);
        let options = WatchOptions {
            field_selector: self.selector(),
            resource_version: revision.clone(),
            ..WatchOptions::default()
        };
        let mut watch = self.client.watch::<Pod>(options).await?;
        loop {
            tokio::select! {
                batch = watch.next() => match batch? {
                    Some(batch) => self.take(batch, revision).await,
                    None => return Ok(()),
                },
                Some(finished) = self.workers.join_next(), if !self.workers.is_empty() => self.finished(finished),
                () = fence.another_tenure(tenure) => return Ok(()),
            }
        }
    }

    /// One node's process watches what is its own; a process of many simulated nodes watches all bound Pods that have not
    /// ended (nothing is kept for those that have) and picks its own.
    fn selector(&self) -> String {
        if self.shared.containers.runtime.is_simulated() {
            return "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed".to_owned();
        }
        let name = self.nodes.keys().next().map_or("", String::as_str);
        format!("spec.nodeName={name}")
    }

    async fn take(&mut self, batch: Batch<Pod>, revision: &mut String) {
        for event in batch.events {
            match event {
                Event::Added(pod) | Event::Modified(pod) => self.changed(pod),
                Event::Deleted(pod) => {
                    self.finish_unselected(&pod);
                    self.gone(&uid(&pod)).await;
                }
                Event::Bookmark { initial_end } => {
                    if initial_end && let Some(listed) = self.listed.take() {
                        self.drop_unlisted(&listed).await;
                        self.shared.fence.listed(self.tenure);
                    }
                }
            }
        }
        // Within the initial list there is no revision to resume from.
        if batch.revision > 0 && self.listed.is_none() {
            *revision = batch.revision.to_string();
        }
    }

    fn changed(&mut self, mut pod: Pod) {
        let uid = uid(&pod);
        let node = pod.spec.as_ref().map_or("", |spec| spec.node_name.as_str());
        let Some(node) = self.nodes.get(node).cloned() else { return };
        if let Some(listed) = &mut self.listed {
            listed.insert(uid.clone());
        }
        if let Some(metadata) = &mut pod.metadata {
            // Nobody here reads them, and they are a third of a Pod.
            metadata.managed_fields = Vec::new();
        }
        match self.entries.get(&uid) {
            Some(Entry::Working(mailbox)) => mailbox.put(News::Changed(Box::new(pod))),
            Some(Entry::Finished) if !may_be_removed(&pod) => {}
            Some(Entry::Finished) | None => self.spawn(uid, node, pod),
        }
    }

    fn spawn(&mut self, uid: String, node: Arc<NodeFacts>, pod: Pod) {
        if !self.shared.containers.runtime.is_simulated() && is_new(&pod) {
            let fields = crate::launch::unsupported::unsupported(&pod);
            self.shared.teller.unsupported(&pod, &fields);
        }
        let mailbox = Mailbox::default();
        self.entries.insert(uid.clone(), Entry::Working(mailbox.clone()));
        let (shared, client) = (self.shared.clone(), self.client.clone());
        let metadata = pod.metadata.as_ref();
        let name = metadata.map(|metadata| (metadata.namespace.clone(), metadata.name.clone())).unwrap_or_default();
        self.workers.spawn(async move {
            // Boxed: the task's memory is that of its largest moment otherwise.
            let run = |pod| Box::pin(worker::run(shared.clone(), node.clone(), pod, mailbox.clone()));
            let again = || Box::pin(as_it_is(&client, &name, &uid));
            match unbroken(pod, AFTER_PANIC, run, again).await {
                Some(finished) => (uid, finished),
                None => {
                    end_orphan(&shared, &uid).await;
                    (uid, Finished::Gone)
                }
            }
        });
    }

    /// A simulated Pod that was being deleted leaves the selection when it ends, just as if it were removed; the event has its
    /// state before that. Whether its removal is still to be done can't be told here, so it is asked for in any case.
    fn finish_unselected(&self, pod: &Pod) {
        let metadata = pod.metadata.clone().unwrap_or_default();
        let ours = pod.spec.as_ref().is_some_and(|spec| self.nodes.contains_key(&spec.node_name));
        if ours && metadata.deletion_timestamp.is_some() && self.shared.containers.runtime.is_simulated() {
            let name = PodName { namespace: metadata.namespace, name: metadata.name, uid: metadata.uid };
            // Nobody waits for the answer.
            drop(self.shared.reporter.delete(&name));
        }
    }

    async fn gone(&mut self, uid: &str) {
        match self.entries.get(uid) {
            Some(Entry::Working(mailbox)) if !self.shared.containers.runtime.is_simulated() => mailbox.put(News::Gone),
            Some(Entry::Working(mailbox)) => {
                // A simulated Pod leaves the selection when it ends: its worker knows that already.
                mailbox.put(News::Gone);
                self.entries.remove(uid);
            }
            Some(Entry::Finished) => {
                self.entries.remove(uid);
                self.remove_records(uid).await;
            }
            None => {}
        }
    }

    fn finished(&mut self, finished: Result<(String, Finished), tokio::task::JoinError>) {
        match finished {
            Ok((uid, Finished::Reported)) if !self.shared.containers.runtime.is_simulated() => {
                // News that came while it ended are taken up now.
                if let Some(Entry::Working(mailbox)) = self.entries.insert(uid.clone(), Entry::Finished) {
                    match mailbox.try_take() {
                        Some(News::Changed(pod)) => self.changed(*pod),
                        Some(News::Gone) => self.remove_later(uid),
                        None => {}
                    }
                }
            }
            Ok((uid, _)) => {
                self.entries.remove(&uid);
            }
            Err(error) => tracing::error!(%error, "a Pod's worker failed"),
        }
    }

    /// The end of a consistent list: whoever is not in it is gone, also those that only the records know.
    async fn drop_unlisted(&mut self, listed: &HashSet<String>) {
        let unlisted: Vec<String> = self.entries.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
        for uid in unlisted {
            self.gone(&uid).await;
        }
        let recorded = match self.shared.containers.runtime.recorded().await {
            Ok(recorded) => recorded,
            Err(error) => {
                tracing::error!(%error, "cannot read the records of former Pods");
                return;
            }
        };
        for uid in recorded {
            if listed.contains(&uid) || self.entries.contains_key(&uid) {
                continue;
            }
            tracing::info!(%uid, "a Pod was removed while this agent was away");
            self.remove_later(uid);
        }
    }

    /// Ends what runs of a Pod that is no more, and forgets it, in a task of its own.
    fn remove_later(&mut self, uid: String) {
        let shared = self.shared.clone();
        self.workers.spawn(async move {
            end_orphan(&shared, &uid).await;
            (uid, Finished::Gone)
        });
    }

    async fn remove_records(&self, uid: &str) {
        if let Err(error) = self.shared.containers.runtime.remove(uid).await {
            tracing::warn!(%error, "cannot remove the records of a Pod that is gone");
        }
    }
}

/// Before a worker that broke is followed by another.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// Runs a worker to its end. One that panics is followed by another, which takes up from the records what runs: without one
/// nobody would stop the Pod or tell how it ended. `None`: the Pod had gone by then.
async fn unbroken<W: Future<Output = Finished>, A: Future<Output = Option<Pod>>>(
    mut pod: Pod,
    pause: Duration,
    run: impl Fn(Pod) -> W,
    again: impl Fn() -> A,
) -> Option<Finished> {
    loop {
        match AssertUnwindSafe(run(pod)).catch_unwind().await {
            Ok(finished) => return Some(finished),
            Err(_) => tracing::error!("a Pod's worker broke; the Pod gets another"),
        }
        tokio::time::sleep(pause).await;
        pod = again().await?;
    }
}

/// The Pod as the API has it now; `None`: it is no more.
async fn as_it_is(client: &Client, (namespace, name): &(String, String), expected: &str) -> Option<Pod> {
    loop {
        match client.get::<Pod>(namespace, name).await {
            Ok(pod) => return Some(pod).filter(|pod| uid(pod) == expected),
            Err(error) if error.is_not_found() => return None,
            Err(error) => {
                tracing::warn!(pod = name, %error, "cannot read a Pod; trying again");
                tokio::time::sleep(AFTER_PANIC).await;
            }
        }
    }
}

/// Grace of containers whose Pod was removed while nobody looked.
const ORPHAN_GRACE: Duration = Duration::from_secs(10);

async fn end_orphan(shared: &Shared, uid: &str) {
    let metadata = proto::meta_v1::ObjectMeta { uid: uid.to_owned(), ..Default::default() };
    let pod = Pod { metadata: Some(metadata), ..Pod::default() };
    let runtime = &shared.containers.runtime;
    let running: Vec<StartId> = match runtime.recover(&pod).await {
        Ok(found) => {
            found.into_iter().filter(|(_, run)| matches!(run, Run::Running { .. })).map(|(id, _)| id).collect()
        }
        Err(error) => {
            tracing::warn!(%error, "cannot read the records of a former Pod");
            return;
        }
    };
    for id in &running {
        runtime.stop(id, ORPHAN_GRACE).await;
    }
    for id in &running {
        runtime.wait(id).await;
    }
    if let Err(error) = runtime.remove(uid).await {
        tracing::warn!(%error, "cannot remove the records of a former Pod");
    }
}

fn uid(pod: &Pod) -> String {
    pod.metadata.as_ref().map(|metadata| metadata.uid.clone()).unwrap_or_default()
}

/// Deleted, and no one else has a hand on it.
fn may_be_removed(pod: &Pod) -> bool {
    pod.metadata
        .as_ref()
        .is_some_and(|metadata| metadata.deletion_timestamp.is_some() && metadata.finalizers.is_empty())
}

/// No node has reported anything of it yet.
fn is_new(pod: &Pod) -> bool {
    pod.status.as_ref().is_none_or(|status| status.start_time.is_none() && !is_terminal(&status.phase))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_worker_that_breaks_is_followed_by_another_with_the_pod_as_it_is_then() {
        let runs = Cell::new(0);
        let named = |name: &str| {
            let metadata = proto::meta_v1::ObjectMeta { name: name.to_owned(), ..Default::default() };
            Pod { metadata: Some(metadata), ..Pod::default() }
        };
        let run = |pod: Pod| {
            runs.set(runs.get() + 1);
            async move {
                assert_eq!(pod.metadata.unwrap_or_default().name, "newer", "the first breaks here");
                Finished::Reported
            }
        };
        let newer = || async { Some(named("newer")) };
        let pause = Duration::ZERO;
        assert_eq!(unbroken(named("older"), pause, run, newer).await, Some(Finished::Reported));
        assert_eq!(runs.get(), 2);
        assert_eq!(unbroken(named("older"), pause, run, || async { None }).await, None);
    }
}
