//! What the controllers count and measure, and how many Pods, Jobs and Nodes they see in which state.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::condition;
use api::proto::batch_v1::Job;
use api::proto::core_v1::Node;
use client::{Fence, QueueMetrics, SharedRegistry};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tokio::sync::watch;

use crate::informers::Informers;
use crate::pod_view::Phase;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    controller: &'static str,
    result: &'static str,
}

/// Families of all controllers of a process.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub queues: QueueMetrics,
    ended: Family<Ended, Counter>,
    took: Family<Of, Histogram, fn() -> Histogram>,
}

/// How looking at a key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There was nothing to write.
    Nothing,
    Committed,
    /// The objects had changed meanwhile.
    Conflict,
    /// The API refused it for another reason.
    Refused,
    /// Nobody knows whether it was written.
    Unknown,
    /// Deciding failed by a fault of the program.
    Panicked,
}

impl Ending {
    fn name(self) -> &'static str {
        match self {
            Ending::Nothing => "nothing",
            Ending::Committed => "committed",
            Ending::Conflict => "conflict",
            Ending::Refused => "refused",
            Ending::Unknown => "unknown",
            Ending::Panicked => "panicked",
        }
    }
}

/// The series of one controller.
#[derive(Clone, Debug)]
pub struct Reconciles {
    controller: &'static str,
    ended: Family<Ended, Counter>,
    took: Histogram,
}

impl Reconciles {
    /// A key was looked at, `took` after it was taken from the queue.
    pub fn ended(&self, ending: Ending, took: Duration) {
        self.ended.get_or_create(&Ended { controller: self.controller, result: ending.name() }).inc();
        self.took.observe(took.as_secs_f64());
    }
}

impl Metrics {
    /// Families that `registry` knows, and what is read of `informers` at each scrape; they are not kept alive by it.
    pub fn register(
        registry: &SharedRegistry,
        informers: &Arc<Informers>,
        fence: watch::Receiver<Option<Fence>>,
    ) -> Self {
        let mut registry = registry.lock();
        let metrics = Metrics {
            queues: QueueMetrics::register(&mut registry),
            ended: Family::default(),
            took: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0001, 4.0, 10))),
        };
        let help = "Keys that a controller has looked at, by how that ended";
        registry.register("raftsman_reconcile", help, metrics.ended.clone());
        let help = "Time from taking a key out of the queue to the answer of its Commit";
        registry.register("raftsman_reconcile_duration_seconds", help, metrics.took.clone());
        registry.register_collector(Box::new(Census { informers: Arc::downgrade(informers), fence }));
        metrics
    }

    /// The series of the controller of this name.
    pub fn of(&self, controller: &'static str) -> Reconciles {
        let took = self.took.get_or_create_owned(&Of { controller });
        Reconciles { controller, ended: self.ended.clone(), took }
    }
}

/// Counts objects at each scrape.
struct Census {
    informers: Weak<Informers>,
    fence: watch::Receiver<Option<Fence>>,
}

impl fmt::Debug for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Census")
    }
}

impl Collector for Census {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let leads = ConstGauge::new(i64::from(self.fence.borrow().is_some()));
        let help = "Whether the controllers of this process hold the claim and decide.";
        leads.encode(encoder.encode_descriptor("raftsman_controllers_leading", help, None, MetricType::Gauge)?)?;
        let Some(informers) = self.informers.upgrade() else { return Ok(()) };
        let pods = count(&PHASES, informers.pods.list().iter().map(|pod| phase(pod.phase)));
        let help = "Pods by phase, as the controllers of this process see them.";
        states(&mut encoder, "raftsman_pods", help, "phase", &pods)?;
        let jobs = count(&JOB_STATES, informers.jobs.list().iter().map(|job| job_state(job)));
        let help = "Jobs by state, as the controllers of this process see them.";
        states(&mut encoder, "raftsman_jobs", help, "state", &jobs)?;
        let nodes = count(&READINESS, informers.nodes.list().iter().map(|node| readiness(node)));
        let help = "Nodes by the status of their condition Ready.";
        states(&mut encoder, "raftsman_nodes", help, "ready", &nodes)
    }
}

const PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
const JOB_STATES: [&str; 4] = ["active", "suspended", "complete", "failed"];
const READINESS: [&str; 3] = ["true", "false", "unknown"];

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
        Phase::Unknown => "Unknown",
    }
}

fn job_state(job: &Job) -> &'static str {
    let conditions = job.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let holds = |name: &str| conditions.iter().any(|condition| condition.r#type == name && condition.status == "True");
    match () {
        () if holds("Complete") => "complete",
        () if holds("Failed") => "failed",
        () if holds("Suspended") => "suspended",
        () => "active",
    }
}

fn readiness(node: &Node) -> &'static str {
    let conditions = node.status.as_ref().map_or(&[][..], |status| &status.conditions);
    match condition::find(conditions, "Ready").map(|ready| ready.status.as_str()) {
        Some("True") => "true",
        Some("False") => "false",
        _ => "unknown",
    }
}

/// How often each name occurs; each of `names` is there, if only with 0.
fn count(names: &[&'static str], found: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, i64> {
    let mut counts: BTreeMap<&'static str, i64> = names.iter().map(|name| (*name, 0)).collect();
    found.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

fn states(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    label: &str,
    counts: &BTreeMap<&'static str, i64>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (state, count) in counts {
        ConstGauge::new(*count).encode(family.encode_family(&[(label, *state)])?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::proto::batch_v1::{JobCondition, JobStatus};

    #[test]
    fn a_job_is_in_the_state_that_its_conditions_say() {
        let job = |conditions: &[(&str, &str)]| {
            let condition = |(r#type, status): &(&str, &str)| JobCondition {
                r#type: (*r#type).to_owned(),
                status: (*status).to_owned(),
                ..Default::default()
            };
            let conditions = conditions.iter().map(condition).collect();
            Job { status: Some(JobStatus { conditions, ..Default::default() }), ..Default::default() }
        };
        assert_eq!(job_state(&job(&[])), "active");
        assert_eq!(job_state(&job(&[("Suspended", "False")])), "active");
        assert_eq!(job_state(&job(&[("Suspended", "True")])), "suspended");
        assert_eq!(job_state(&job(&[("Suspended", "False"), ("Complete", "True")])), "complete");
        assert_eq!(job_state(&job(&[("Failed", "True")])), "failed");
    }

    #[test]
    fn a_state_without_objects_is_counted_as_none() {
        let counts = count(&READINESS, ["true", "true", "unknown"].into_iter());
        assert_eq!(counts, BTreeMap::from([("true", 2), ("false", 0), ("unknown", 1)]));
    }
}
