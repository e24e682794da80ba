//! The informers that the controllers of a process share: one per kind, each holding only what is needed of it.

use std::collections::HashMap;
use std::sync::Arc;

use api::kind::{Kind, KindInfo};
use api::meta::Object;
use api::proto::batch_v1::{CronJob, Job};
use api::proto::coordination_v1::Lease;
use api::proto::core_v1::{ConfigMap, Namespace, Node, Pod, PodTemplate, Secret, Service, ServiceAccount};
use client::informer::{Builder, Informer, Progress};
use client::{Client, Resource};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::job;
use crate::object_view::{ObjectView, owner_uids};
use crate::pod_view::PodView;

/// Index: the objects that name this uid as an owner.
pub const OWNER: &str = "owner";
/// Index: the objects of this namespace.
pub const NAMESPACE: &str = "namespace";
/// Index: the Pods that are bound to this node.
pub const NODE: &str = "node";

/// Where the Leases of nodes lie.
pub const NODE_LEASES: &str = "kube-node-lease";

/// All that are followed, by plural name without group.
const KINDS: [&str; 11] = [
    "pods",
    "jobs",
    "cronjobs",
    "nodes",
    "namespaces",
    "leases",
    "configmaps",
    "secrets",
    "services",
    "serviceaccounts",
    "podtemplates",
];
/// Those that have the indices [`OWNER`] and [`NAMESPACE`] in [`Informers::views_by`].
pub const INDEXED: &[&str] =
    &["pods", "jobs", "cronjobs", "leases", "configmaps", "secrets", "services", "serviceaccounts", "podtemplates"];

/// All of them. Jobs and CronJobs are kept whole, Pods as [`PodView`], what has no controller of its own as
/// [`ObjectView`].
pub struct Informers {
    pub pods: Informer<PodView>,
    pub jobs: Informer<Job>,
    pub cron_jobs: Informer<CronJob>,
    pub nodes: Informer<Node>,
    pub namespaces: Informer<Namespace>,
    pub leases: Informer<Lease>,
    pub config_maps: Informer<ObjectView>,
    pub secrets: Informer<ObjectView>,
    pub services: Informer<ObjectView>,
    pub service_accounts: Informer<ObjectView>,
    pub pod_templates: Informer<ObjectView>,
}

impl Informers {
    pub fn start(client: &Client, shutdown: &CancellationToken) -> Self {
        Self {
            pods: pods().start(client, shutdown.clone()),
            jobs: jobs().start(client, shutdown.clone()),
            cron_jobs: whole::<CronJob>().start(client, shutdown.clone()),
            nodes: whole::<Node>().start(client, shutdown.clone()),
            namespaces: whole::<Namespace>().start(client, shutdown.clone()),
            leases: whole::<Lease>().start(client, shutdown.clone()),
            config_maps: views::<ConfigMap>().start(client, shutdown.clone()),
            secrets: views::<Secret>().start(client, shutdown.clone()),
            services: views::<Service>().start(client, shutdown.clone()),
            service_accounts: views::<ServiceAccount>().start(client, shutdown.clone()),
            pod_templates: views::<PodTemplate>().start(client, shutdown.clone()),
        }
    }

    /// Waits until all have their first list.
    pub async fn synced(&self) {
        self.all_reached(1).await;
    }

    /// Waits until all know everything up to `revision`.
    pub async fn all_reached(&self, revision: i64) {
        let each = KINDS.iter().filter_map(|resource| self.progress(resource));
        join_all(each.map(|progress| progress.reached(revision))).await;
    }

    /// Waits until the informer of this resource (plural, without group) knows everything up to `revision`, which was written
    /// to it. A kind that is not followed here is never waited for.
    pub async fn reached(&self, resource: &str, revision: i64) {
        if let Some(progress) = self.progress(resource) {
            progress.reached(revision).await;
        }
    }

    /// The same, where `revision` may have been written to other kinds alone.
    pub async fn caught_up(&self, resource: &str, revision: i64) {
        if let Some(progress) = self.progress(resource) {
            progress.caught_up(revision).await;
        }
    }

    /// How far each kind is known at this moment.
    pub fn known(&self) -> Known {
        let each = KINDS.iter().filter_map(|resource| Some((*resource, self.progress(resource)?.revision())));
        Known(each.collect())
    }

    fn progress(&self, resource: &str) -> Option<&Progress> {
        Some(match resource {
            "pods" => self.pods.progress(),
            "jobs" => self.jobs.progress(),
            "cronjobs" => self.cron_jobs.progress(),
            "nodes" => self.nodes.progress(),
            "namespaces" => self.namespaces.progress(),
            "leases" => self.leases.progress(),
            "configmaps" => self.config_maps.progress(),
            "secrets" => self.secrets.progress(),
            "services" => self.services.progress(),
            "serviceaccounts" => self.service_accounts.progress(),
            "podtemplates" => self.pod_templates.progress(),
            _ => return None,
        })
    }

    /// An object of any kind that is followed here.
    pub fn view(&self, resource: &str, namespace: &str, name: &str) -> Option<ObjectView> {
        let of = |informer: &Informer<ObjectView>| informer.get(namespace, name).map(|view| view.as_ref().clone());
        match resource {
            "pods" => self.pods.get(namespace, name).map(|pod| ObjectView::of_pod(&pod)),
            "jobs" => whole_view(self.jobs.get(namespace, name)),
            "cronjobs" => whole_view(self.cron_jobs.get(namespace, name)),
            "nodes" => whole_view(self.nodes.get("", name)),
            "namespaces" => whole_view(self.namespaces.get("", name)),
            "leases" => whole_view(self.leases.get(namespace, name)),
            "configmaps" => of(&self.config_maps),
            "secrets" => of(&self.secrets),
            "services" => of(&self.services),
            "serviceaccounts" => of(&self.service_accounts),
            "podtemplates" => of(&self.pod_templates),
            _ => None,
        }
    }

    /// Up to `max` objects that an index of all informers has under `value`: [`OWNER`] or [`NAMESPACE`].
    pub fn views_by(&self, index: &str, value: &str, max: usize) -> Vec<ObjectView> {
        let mut found: Vec<ObjectView> = Vec::new();
        self.pods.visit_index(index, value, |pod| push(&mut found, max, || ObjectView::of_pod(pod)));
        self.jobs.visit_index(index, value, |job| push(&mut found, max, || view_of(job)));
        self.cron_jobs.visit_index(index, value, |cron_job| push(&mut found, max, || view_of(cron_job)));
        self.leases.visit_index(index, value, |lease| push(&mut found, max, || view_of(lease)));
        for informer in [&self.config_maps, &self.secrets, &self.services, &self.service_accounts, &self.pod_templates]
        {
            informer.visit_index(index, value, |view| push(&mut found, max, || view.as_ref().clone()));
        }
        found
    }
}

fn push(found: &mut Vec<ObjectView>, max: usize, view: impl FnOnce() -> ObjectView) {
    if found.len() < max {
        found.push(view());
    }
}

fn view_of<K: Kind>(object: &Arc<K>) -> ObjectView {
    object.metadata().map(|meta| ObjectView::of_meta(K::INFO.resource, meta)).unwrap_or_default()
}

fn whole_view<K: Kind>(object: Option<Arc<K>>) -> Option<ObjectView> {
    object.map(|object| view_of(&object))
}

fn pods() -> Builder<Pod, PodView> {
    Builder::<Pod, PodView>::of(PodView::of)
        .index(OWNER, |pod| pod.owners.iter().map(|owner| owner.uid.clone()).collect())
        .index(NAMESPACE, |pod| vec![pod.namespace.clone()])
        .index(NODE, |pod| vec![pod.node.clone()])
        .index(job::PODS_BY_JOB, job::pods_by_job)
}

fn jobs() -> Builder<Job, Job> {
    whole::<Job>().index(job::JOBS_BY_PARENT, job::jobs_by_parent)
}

fn whole<K: Resource>() -> Builder<K, K> {
    Builder::<K, K>::whole()
        .index(OWNER, |object| object.meta().owner_references.iter().map(|owner| owner.uid.clone()).collect())
        .index(NAMESPACE, |object| vec![object.namespace().to_owned()])
}

fn views<K: Resource>() -> Builder<K, ObjectView> {
    Builder::<K, ObjectView>::of(ObjectView::of::<K>)
        .index(OWNER, owner_uids)
        .index(NAMESPACE, |view| vec![view.namespace.clone()])
}

/// How far each kind was known at one moment.
pub struct Known(HashMap<&'static str, i64>);

impl Known {
    /// A kind that is not followed never lags.
    pub fn revision(&self, resource: &str) -> i64 {
        self.0.get(resource).copied().unwrap_or(i64::MAX)
    }
}

/// The kinds whose objects are followed, by apiVersion's group and kind as an owner reference has them.
pub fn followed(api_version: &str, kind: &str) -> Option<&'static KindInfo> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    [
        Pod::INFO,
        Job::INFO,
        CronJob::INFO,
        Node::INFO,
        Namespace::INFO,
        Lease::INFO,
        ConfigMap::INFO,
        Secret::INFO,
        Service::INFO,
        ServiceAccount::INFO,
        PodTemplate::INFO,
    ]
    .into_iter()
    .find(|info| info.group == group && info.kind == kind)
}
