//! The loop: owns the state, hears changes, decides, hands passes to `act`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::proto::core_v1::{Node, Pod};
use chrono::Utc;
use client::election::{self, Candidacy};
use client::informer::{Builder, Change, Informer};
use client::{Client, Fence, Recorder};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::act::{self, Outcome};
use crate::cluster::Cluster;
use crate::decide;
use crate::metrics::Metrics;
use crate::pending::{Pending, WaitingPod};
use crate::pod::{SeenPod, Stage, UNFINISHED};
use crate::{CLAIM, Config};

/// Commits under way at once: while one waits for the disk, the next is made.
const IN_FLIGHT_MAX: usize = 6;
/// After a bind failed for another reason than a change of the Pod, which the watch would tell.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long the claim outlives a scheduler that vanished.
const LEASE_SECONDS: i32 = 10;

/// A change that an informer tells, handed over to the loop.
enum Heard {
    Pod {
        key: Arc<str>,
        old: Option<Arc<SeenPod>>,
        new: Option<Arc<SeenPod>>,
    },
    Node {
        key: Arc<str>,
        new: Option<Arc<Node>>,
    },
    /// A bind failed: look at this Pod again.
    Look {
        uid: String,
        namespace: String,
        name: String,
    },
}

pub(crate) struct Service {
    client: Client,
    recorder: Recorder,
    fence: watch::Receiver<Option<Fence>>,
    elector: JoinHandle<()>,
    pods: Informer<SeenPod>,
    nodes: Informer<Node>,
    heard: mpsc::UnboundedReceiver<Heard>,
    speak: mpsc::UnboundedSender<Heard>,
    ready: Option<oneshot::Sender<()>>,
    shutdown: CancellationToken,
    cluster: Cluster,
    pending: Pending,
    passes: JoinSet<Outcome>,
    metrics: Metrics,
}

impl Service {
    pub(crate) fn start(config: Config, shutdown: CancellationToken) -> Self {
        let Config { client, holder, prefer, metrics, ready } = config;
        let candidacy = Candidacy { claim: CLAIM.to_owned(), holder: holder.clone(), lease_seconds: LEASE_SECONDS };
        let (fence, elector) = election::run(client.clone(), candidacy, prefer, shutdown.clone());
        let recorder =
            Recorder::start(client.clone(), "default-scheduler", &holder, Some(fence.clone()), shutdown.clone());
        let metrics = Metrics::register(&metrics, fence.clone());
        let pods =
            Builder::<Pod, SeenPod>::of(SeenPod::from).field_selector(UNFINISHED).start(&client, shutdown.clone());
        let nodes = Builder::<Node, Node>::of(without_images).start(&client, shutdown.clone());
        let (speak, heard) = mpsc::unbounded_channel();
        let tell = speak.clone();
        pods.on_change(move |change: &Change<SeenPod>| {
            // A closed channel means that the loop has ended.
            let Change { key, old, new } = change;
            tell.send(Heard::Pod { key: key.clone(), old: old.clone(), new: new.clone() }).unwrap_or_default();
        });
        let tell = speak.clone();
        nodes.on_change(move |change: &Change<Node>| {
            tell.send(Heard::Node { key: change.key.clone(), new: change.new.clone() }).unwrap_or_default();
        });
        Self {
            client,
            recorder,
            fence,
            elector,
            pods,
            nodes,
            heard,
            speak,
            ready,
            shutdown,
            cluster: Cluster::default(),
            pending: Pending::default(),
            passes: JoinSet::new(),
            metrics,
        }
    }

    pub(crate) async fn run(mut self) {
        let synced = async { tokio::join!(self.pods.synced(), self.nodes.synced()) };
        if self.shutdown.run_until_cancelled(synced).await.is_some()
            && let Some(ready) = self.ready.take()
        {
            // Nobody may be waiting for it any more.
            ready.send(()).unwrap_or_default();
        }
        let mut leading: Option<Fence> = None;
        let mut report_at = None;
        loop {
            self.hear_all();
            self.metrics.pending(self.pending.len());
            if let Some(fence) = &leading
                && self.passes.len() < IN_FLIGHT_MAX
            {
                let (now, begun) = (Utc::now(), Instant::now());
                let pass = decide::pass(&mut self.cluster, &mut self.pending, now);
                report_at = pass.report_at;
                if !pass.placements.is_empty() || !pass.refusals.is_empty() {
                    self.metrics.passed(pass.placements.len(), pass.refusals.len(), begun.elapsed());
                    let (client, recorder) = (self.client.clone(), self.recorder.clone());
                    self.passes.spawn(act::carry_out(client, fence.clone(), recorder, pass, now));
                    continue;
                }
            }
            let pause = report_at.map(|at| (at - Utc::now()).to_std().unwrap_or_default());
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                heard = self.heard.recv() => heard.into_iter().for_each(|heard| self.hear(heard)),
                Some(done) = self.passes.join_next() => self.settle(done.unwrap_or_default()),
                changed = self.fence.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    leading = self.take_over().await;
                }
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => report_at = None,
            }
        }
        while self.passes.join_next().await.is_some() {}
        if self.elector.await.is_err() {
            tracing::warn!("the elector ended by a panic");
        }
    }

    /// The fence, once everything that was written before it was taken is known here.
    async fn take_over(&mut self) -> Option<Fence> {
        let fence = self.fence.borrow_and_update().clone()?;
        tracing::info!(epoch = fence.epoch, "leading");
        let reached = async {
            self.pods.reached(fence.epoch).await;
            self.nodes.reached(fence.epoch).await;
        };
        tokio::select! {
            () = reached => Some(fence),
            () = self.shutdown.cancelled() => None,
        }
    }

    fn hear_all(&mut self) {
        while let Ok(heard) = self.heard.try_recv() {
            self.hear(heard);
        }
        while let Some(done) = self.passes.try_join_next() {
            self.settle(done.unwrap_or_default());
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Pod { key, old, new } => {
                if let Some(old) = &old
                    && new.as_ref().is_none_or(|new| new.uid != old.uid)
                {
                    self.gone(&old.uid);
                }
                if let Some(new) = new {
                    tracing::trace!(pod = %key, "heard");
                    self.seen(&new);
                }
            }
            Heard::Node { key, new } => match new {
                Some(node) => {
                    self.cluster.node_changed(&node);
                }
                None => self.cluster.node_gone(&key),
            },
            Heard::Look { uid, namespace, name } => {
                // Its room stayed taken until now, in case that only the answer was lost.
                self.cluster.forget(&uid);
                if let Some(pod) = self.pods.get(&namespace, &name) {
                    self.seen(&pod);
                }
            }
        }
    }

    fn seen(&mut self, seen: &SeenPod) {
        match &seen.stage {
            Stage::Placed(node) => {
                self.pending.remove(&seen.uid);
                self.cluster.place(&seen.uid, node, &seen.class);
            }
            // Placed by us a moment ago, and the watch is not so far yet.
            Stage::Waiting(_) if self.cluster.is_placed(&seen.uid) => {}
            Stage::Waiting(pod) => {
                self.pending.insert(WaitingPod::new(Arc::new(pod.as_ref().clone()), Arc::clone(&seen.class)));
            }
            Stage::Apart => self.gone(&seen.uid),
        }
    }

    fn gone(&mut self, uid: &str) {
        self.pending.remove(uid);
        self.cluster.forget(uid);
    }

    /// A pass has been carried out; what failed is looked at again.
    fn settle(&mut self, outcome: Outcome) {
        self.metrics.failed(outcome.failed.len());
        for failed in outcome.failed {
            let pod = failed.pod.pod.metadata.clone().unwrap_or_default();
            let speak = self.speak.clone();
            tokio::spawn(async move {
                tokio::time::sleep(RETRY_AFTER).await;
                let look = Heard::Look { uid: pod.uid, namespace: pod.namespace, name: pod.name };
                speak.send(look).unwrap_or_default();
            });
        }
        let now = Utc::now();
        for uid in outcome.untold {
            self.pending.untold(&uid, now);
        }
    }
}

fn without_images(mut node: Node) -> Node {
    if let Some(status) = &mut node.status {
        status.images = Vec::new();
    }
    node.metadata.get_or_insert_default().managed_fields = Vec::new();
    node
}
