//! Namespaces: what each must have, and how one ends.
//!
//! ```text
//!  Active       ServiceAccount `default` and ConfigMap `kube-root-ca.crt` are made where they are absent
//!  Terminating  everything in it is deleted, part by part; when nothing is left, the finalizer `kubernetes` comes off its
//!               spec, which ends it
//! ```

use std::sync::Arc;

use api::meta::Object;
use api::proto::batch_v1::{CronJob, Job};
use api::proto::coordination_v1::Lease;
use api::proto::core_v1::{ConfigMap, Namespace, Pod, PodTemplate, Secret, Service, ServiceAccount};
use api::proto::meta_v1::{DeleteOptions, ObjectMeta, Preconditions};
use chrono::{DateTime, Utc};
use client::WorkQueue;
use client::informer::{Change, Informer};

use crate::driver::Controller;
use crate::footing::Footing;
use crate::informers::{INDEXED, Informers, NAMESPACE};
use crate::object_view::ObjectView;
use crate::plan::{Plan, Write};

const SERVICE_ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
/// The finalizer in a namespace's spec that stands for its content.
const CONTENT: &str = "kubernetes";
/// Objects that go in one group.
const DELETES_MAX: usize = 80;

pub struct Namespaces {
    informers: Arc<Informers>,
    root_ca: String,
}

impl Namespaces {
    /// A namespace is looked at when it changes, and when something in it goes.
    pub fn start(informers: &Arc<Informers>, queue: WorkQueue<String>, root_ca: String) -> Self {
        let wake = queue.clone();
        informers.namespaces.on_change(move |change: &Change<Namespace>| wake.add(change.key.to_string()));
        wake_on_loss(&informers.pods, &queue);
        wake_on_loss(&informers.jobs, &queue);
        wake_on_loss(&informers.cron_jobs, &queue);
        wake_on_loss(&informers.leases, &queue);
        for informer in [
            &informers.config_maps,
            &informers.secrets,
            &informers.services,
            &informers.service_accounts,
            &informers.pod_templates,
        ] {
            wake_on_loss(informer, &queue);
        }
        Self { informers: Arc::clone(informers), root_ca }
    }
}

fn wake_on_loss<V: Send + Sync + 'static>(informer: &Informer<V>, queue: &WorkQueue<String>) {
    let queue = queue.clone();
    informer.on_change(move |change: &Change<V>| {
        if change.new.is_none() {
            queue.add(api::meta::split_key(&change.key).0.to_owned());
        }
    });
}

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn plan(&self, key: &str, _now: DateTime<Utc>) -> Plan {
        let Some(namespace) = self.informers.namespaces.get("", key) else { return Plan::nothing("it is gone") };
        if namespace.is_deleting() {
            return empty(&namespace, &self.informers.views_by(NAMESPACE, key, usize::MAX));
        }
        let has = Has {
            service_account: self.informers.service_accounts.get(key, SERVICE_ACCOUNT).is_some(),
            root_ca: self.informers.config_maps.get(key, ROOT_CA).is_some(),
        };
        furnish(key, has, &self.root_ca)
    }

    /// It ends when nothing is left in it: since its deletion nothing comes any more (the store compares that), and what came
    /// before must be known here.
    fn footing(&self, key: &str) -> Option<Footing> {
        let namespace = self.informers.namespaces.get("", key).filter(|namespace| namespace.is_deleting())?;
        Some(Footing::always(namespace.resource_version(), INDEXED))
    }
}

/// What is there of that which each namespace must have.
#[derive(Debug, Clone, Copy)]
pub struct Has {
    pub service_account: bool,
    pub root_ca: bool,
}

/// Makes what is absent. Each create fails where somebody was faster, and then there is nothing to do.
pub fn furnish(namespace: &str, has: Has, root_ca: &str) -> Plan {
    let metadata =
        |name: &str| Some(ObjectMeta { namespace: namespace.to_owned(), name: name.to_owned(), ..Default::default() });
    let mut plan = Plan::nothing("it has all it needs");
    if !has.service_account {
        let account = ServiceAccount { metadata: metadata(SERVICE_ACCOUNT), ..Default::default() };
        plan.writes.push(Write::create(account));
    }
    if !has.root_ca && !root_ca.is_empty() {
        let mut config = ConfigMap { metadata: metadata(ROOT_CA), ..Default::default() };
        config.data.insert("ca.crt".to_owned(), root_ca.to_owned());
        // As the API server makes it with a new namespace.
        let about = "Contains a CA bundle that can be used to verify the API server.";
        let annotations = &mut config.metadata.get_or_insert_default().annotations;
        annotations.insert("raftsman.io/description".to_owned(), about.to_owned());
        plan.writes.push(Write::create(config));
    }
    if !plan.writes.is_empty() {
        "makes what is absent".clone_into(&mut plan.why);
    }
    plan
}

/// Deletes what is left in a namespace that ends; when nothing is, takes its finalizer off.
pub fn empty(namespace: &Namespace, content: &[ObjectView]) -> Plan {
    if content.is_empty() {
        let mut finalized = namespace.clone();
        finalized.spec.get_or_insert_default().finalizers.retain(|finalizer| finalizer != CONTENT);
        return Plan { writes: vec![Write::update(finalized)], ..Plan::nothing("nothing is left in it") };
    }
    let standing: Vec<&ObjectView> = content.iter().filter(|object| object.deletion.is_none()).collect();
    if standing.is_empty() {
        return Plan::nothing("waits for the last objects in it to go");
    }
    let writes = standing.iter().take(DELETES_MAX).filter_map(|object| delete(object, "Background")).collect();
    let requeue_after = (standing.len() > DELETES_MAX).then_some(std::time::Duration::ZERO);
    Plan { writes, requeue_after, ..Plan::nothing("empties it") }
}

/// Deletes an object of any kind that controllers follow, if it is still the one that was seen.
pub fn delete(object: &ObjectView, propagation: &str) -> Option<Write> {
    let options = DeleteOptions {
        propagation_policy: Some(propagation.to_owned()),
        preconditions: Some(Preconditions { uid: Some(object.uid.clone()), resource_version: None }),
        ..Default::default()
    };
    let (namespace, name) = (object.namespace.as_str(), object.name.as_str());
    Some(match object.resource {
        "pods" => Write::delete::<Pod>(namespace, name, options),
        "jobs" => Write::delete::<Job>(namespace, name, options),
        "cronjobs" => Write::delete::<CronJob>(namespace, name, options),
        "leases" => Write::delete::<Lease>(namespace, name, options),
        "configmaps" => Write::delete::<ConfigMap>(namespace, name, options),
        "secrets" => Write::delete::<Secret>(namespace, name, options),
        "services" => Write::delete::<Service>(namespace, name, options),
        "serviceaccounts" => Write::delete::<ServiceAccount>(namespace, name, options),
        "podtemplates" => Write::delete::<PodTemplate>(namespace, name, options),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, deleting: bool) -> ObjectView {
        let deletion = deleting.then(DateTime::<Utc>::default);
        ObjectView { resource: "jobs", namespace: "n".into(), name: name.into(), deletion, ..Default::default() }
    }

    fn kinds(plan: &Plan) -> Vec<&'static str> {
        plan.writes.iter().map(|write| write.kind().kind).collect()
    }

    #[test]
    fn a_new_namespace_is_furnished_once() {
        let nothing = Has { service_account: false, root_ca: false };
        assert_eq!(kinds(&furnish("n", nothing, "PEM")), ["ServiceAccount", "ConfigMap"]);
        assert!(furnish("n", Has { service_account: true, root_ca: true }, "PEM").writes.is_empty());
    }

    #[test]
    fn a_namespace_ends_when_nothing_is_left() {
        let namespace = Namespace::default();
        let content: Vec<ObjectView> = (0..100).map(|index| object(&index.to_string(), index == 0)).collect();
        let first = empty(&namespace, &content);
        assert_eq!((first.writes.len(), first.requeue_after), (80, Some(std::time::Duration::ZERO)));
        assert!(empty(&namespace, &[object("going", true)]).writes.is_empty());
        assert_eq!(kinds(&empty(&namespace, &[])), ["Namespace"]);
    }
}
