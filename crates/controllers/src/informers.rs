//! The informers that the controllers of a process share: one per kind, each holding only what is needed of it.

use std::sync::Arc;

use api::kind::{Kind, KindInfo};
use api::meta::Object;
use api::proto::batch_v1::{CronJob, Job};
use api::proto::coordination_v1::Lease;
use api::proto::core_v1::{ConfigMap, Namespace, Node, Pod, PodTemplate, Secret, Service, ServiceAccount};
use client::informer::{Builder, Informer};
use client::{Client, Resource};
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
            pods: Builder::<Pod, PodView>::of(PodView::of)
                .index(OWNER, |pod| pod.owners.iter().map(|owner| owner.uid.clone()).collect())
                .index(NAMESPACE, |pod| vec![pod.namespace.clone()])
                .index(NODE, |pod| vec![pod.node.clone()])
                .index(job::PODS_BY_JOB, job::pods_by_job)
                .start(client, shutdown.clone()),
            jobs: with_indices::<Job>().index(job::JOBS_BY_PARENT, job::jobs_by_parent).start(client, shutdown.clone()),
            cron_jobs: whole::<CronJob>(client, shutdown),
            nodes: whole::<Node>(client, shutdown),
            namespaces: whole::<Namespace>(client, shutdown),
            leases: whole::<Lease>(client, shutdown),
            config_maps: views::<ConfigMap>(client, shutdown),
            secrets: views::<Secret>(client, shutdown),
            services: views::<Service>(client, shutdown),
            service_accounts: views::<ServiceAccount>(client, shutdown),
            pod_templates: views::<PodTemplate>(client, shutdown),
        }
    }

    /// Waits until all have their first list.
    pub async fn synced(&self) {
        self.all_reached(1).await;
    }

    /// Waits until all know everything up to `revision`.
    pub async fn all_reached(&self, revision: i64) {
        tokio::join!(
            self.pods.reached(revision),
            self.jobs.reached(revision),
            self.cron_jobs.reached(revision),
            self.nodes.reached(revision),
            self.namespaces.reached(revision),
            self.leases.reached(revision),
            self.config_maps.reached(revision),
            self.secrets.reached(revision),
            self.services.reached(revision),
            self.service_accounts.reached(revision),
            self.pod_templates.reached(revision),
        );
    }

    /// Waits until the informer of this resource (plural, without group) knows everything up to `revision`. A kind that is
    /// not followed here is never waited for.
    pub async fn reached(&self, resource: &str, revision: i64) {
        match resource {
            "pods" => self.pods.reached(revision).await,
            "jobs" => self.jobs.reached(revision).await,
            "cronjobs" => self.cron_jobs.reached(revision).await,
            "nodes" => self.nodes.reached(revision).await,
            "namespaces" => self.namespaces.reached(revision).await,
            "leases" => self.leases.reached(revision).await,
            "configmaps" => self.config_maps.reached(revision).await,
            "secrets" => self.secrets.reached(revision).await,
            "services" => self.services.reached(revision).await,
            "serviceaccounts" => self.service_accounts.reached(revision).await,
            "podtemplates" => self.pod_templates.reached(revision).await,
            _ => {}
        }
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

fn whole<K: Resource>(client: &Client, shutdown: &CancellationToken) -> Informer<K> {
    with_indices::<K>().start(client, shutdown.clone())
}

fn with_indices<K: Resource>() -> Builder<K, K> {
    Builder::<K, K>::whole()
        .index(OWNER, |object| object.meta().owner_references.iter().map(|owner| owner.uid.clone()).collect())
        .index(NAMESPACE, |object| vec![object.namespace().to_owned()])
}

fn views<K: Resource>(client: &Client, shutdown: &CancellationToken) -> Informer<ObjectView> {
    Builder::<K, ObjectView>::of(ObjectView::of::<K>)
        .index(OWNER, owner_uids)
        .index(NAMESPACE, |view| vec![view.namespace.clone()])
        .start(client, shutdown.clone())
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
