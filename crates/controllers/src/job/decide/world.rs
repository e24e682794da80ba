//! A small world for tests of `decide`: a Job and its Pods, to which Plans are applied as the API server would.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::meta::Object;
use api::proto::batch_v1::{Job, JobSpec};
use api::proto::core_v1::{PodSpec, PodTemplateSpec};
use api::proto::meta_v1::ObjectMeta;
use api::proto::raftsman_v1::object::Object as Kind;
use api::proto::raftsman_v1::write::Op;
use api::time::{Instant, to_time};
use chrono::DateTime;

use crate::job::decide::{Snapshot, decide};
use crate::plan::Plan;
use crate::pod_view::{Phase, PodView};

#[derive(Clone)]
pub(super) struct World {
    pub now: Instant,
    pub job: Job,
    pub pods: BTreeMap<String, PodView>,
    pub parents: BTreeMap<String, Arc<Job>>,
    pub waited_for: bool,
    pub create_refused: bool,
    /// The names of all Pods that were ever created, in order.
    pub created: Vec<String>,
    revision: u64,
    seed: u64,
}

impl World {
    pub(super) fn new(spec: JobSpec) -> World {
        let template = PodTemplateSpec {
            spec: Some(PodSpec { restart_policy: "Never".into(), ..Default::default() }),
            ..Default::default()
        };
        let now = DateTime::UNIX_EPOCH;
        let metadata = ObjectMeta {
            name: "pi".into(),
            namespace: "default".into(),
            uid: "job-uid".into(),
            resource_version: "1".into(),
            creation_timestamp: Some(to_time(now)),
            ..Default::default()
        };
        let spec = JobSpec { template: spec.template.clone().or(Some(template)), ..spec };
        let job = Job { metadata: Some(metadata), spec: Some(spec), status: None };
        let (pods, parents) = (BTreeMap::new(), BTreeMap::new());
        World {
            now,
            job,
            pods,
            parents,
            waited_for: false,
            create_refused: false,
            created: Vec::new(),
            revision: 1,
            seed: 0,
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            now: self.now,
            seed: self.seed,
            job: Arc::new(self.job.clone()),
            pods: self.pods.values().cloned().map(Arc::new).collect(),
            parents: self.parents.clone(),
            waited_for: self.waited_for,
            create_refused: self.create_refused,
        }
    }

    /// Decides and applies.
    pub(super) fn look(&mut self) -> Plan {
        self.seed += 1;
        let plan = decide(&self.snapshot());
        self.apply(&plan).expect("nobody else writes");
        plan
    }

    /// Looks until a Plan neither writes nor asks to look again at once.
    pub(super) fn settle(&mut self) {
        for _ in 0..1000 {
            let plan = self.look();
            if plan.writes.is_empty() {
                return;
            }
        }
        panic!("it never settles");
    }

    /// The user or an agent changes something: what was seen before is stale.
    pub(super) fn touch_job(&mut self) {
        self.revision += 1;
        self.job.metadata.as_mut().unwrap().resource_version = self.revision.to_string();
    }

    /// Applies a group, all of it or, when the resourceVersion of anything is stale, nothing.
    pub(super) fn apply(&mut self, plan: &Plan) -> Result<(), String> {
        for write in &plan.writes {
            self.check(write.op())?;
        }
        self.revision += 1;
        for write in &plan.writes {
            self.write(write.op().clone());
        }
        Ok(())
    }

    fn check(&self, op: &Op) -> Result<(), String> {
        let fresh = |seen: &str, now: &str, what: &str| {
            if seen.is_empty() || seen == now { Ok(()) } else { Err(format!("{what} is stale")) }
        };
        match op {
            Op::UpdateStatus(object) => {
                let Some(Kind::Job(job)) = &object.object else { panic!("only Jobs have their status written") };
                fresh(job.resource_version(), self.job.resource_version(), "the Job")
            }
            Op::Create(object) => {
                let Some(Kind::Pod(pod)) = &object.object else { panic!("only Pods are created") };
                if self.pods.contains_key(pod.name()) { Err("exists".into()) } else { Ok(()) }
            }
            Op::Metadata(write) => {
                let pod = self.pods.get(&write.name).ok_or("no such Pod")?;
                fresh(&write.uid, &pod.uid, "the Pod")?;
                fresh(&write.resource_version, &pod.resource_version, "the Pod")
            }
            Op::Delete(delete) => self.pods.get(&delete.name).map(|_| ()).ok_or("no such Pod".into()),
            other => panic!("not a write of this controller: {other:?}"),
        }
    }

    fn write(&mut self, op: Op) {
        let version = self.revision.to_string();
        match op {
            Op::UpdateStatus(object) => {
                let Some(Kind::Job(job)) = object.object else { unreachable!("checked") };
                // The API server refuses what breaks the rules for a Job's status.
                let wrong = api::validate::job_status_update(&job, &self.job);
                assert!(wrong.is_empty(), "{wrong:?}\nfrom {:?}\nto {:?}", self.job.status, job.status);
                self.job.status = job.status;
                let meta = self.job.metadata.as_mut().unwrap();
                meta.finalizers = job.metadata.unwrap().finalizers;
                meta.resource_version = version;
            }
            Op::Create(object) => {
                let Some(Kind::Pod(mut pod)) = object.object else { unreachable!("checked") };
                let meta = pod.metadata.as_mut().unwrap();
                meta.uid = format!("uid-{}", meta.name);
                meta.resource_version = version;
                meta.creation_timestamp = Some(to_time(self.now));
                let view = PodView::of(pod);
                self.created.push(view.name.clone());
                self.pods.insert(view.name.clone(), view);
            }
            Op::Metadata(write) => {
                let pod = self.pods.get_mut(&write.name).unwrap();
                pod.finalizers.retain(|finalizer| !write.remove_finalizers.contains(finalizer));
                pod.resource_version = version;
                self.sweep(&write.name);
            }
            Op::Delete(delete) => self.delete(&delete.name),
            _ => unreachable!("checked"),
        }
    }

    /// Begins a deletion, as the API server does.
    pub(super) fn delete(&mut self, name: &str) {
        self.revision += 1;
        let now = self.now;
        if let Some(pod) = self.pods.get_mut(name) {
            pod.deletion = pod.deletion.or(Some(now));
            pod.resource_version = self.revision.to_string();
        }
        self.sweep(name);
    }

    /// The agent reports.
    pub(super) fn report(&mut self, name: &str, phase: Phase) {
        self.revision += 1;
        let now = self.now;
        let Some(pod) = self.pods.get_mut(name) else { return };
        if pod.is_terminal() {
            return;
        }
        pod.node = "n1".into();
        pod.phase = phase;
        pod.ready = phase == Phase::Running;
        pod.resource_version = self.revision.to_string();
        if pod.is_terminal() {
            pod.finished = Some(now);
        }
        self.sweep(name);
    }

    /// A Pod that is being deleted goes when it has ended (or was never bound) and nobody holds it.
    fn sweep(&mut self, name: &str) {
        let gone = |pod: &PodView| {
            pod.deletion.is_some() && pod.finalizers.is_empty() && (pod.is_terminal() || pod.node.is_empty())
        };
        if self.pods.get(name).is_some_and(gone) {
            self.pods.remove(name);
        }
    }

    /// A finished parent, or one that still runs.
    pub(super) fn parent(&mut self, name: &str, condition: &str) {
        let metadata = ObjectMeta { name: name.into(), uid: format!("uid-{name}"), ..Default::default() };
        let mut parent = Job { metadata: Some(metadata), ..Default::default() };
        if condition != "Running" {
            let condition = api::condition::job(condition, true, "BackoffLimitExceeded", "", self.now);
            parent.status.get_or_insert_default().conditions.push(condition);
        }
        self.parents.insert(name.into(), Arc::new(parent));
    }
}
