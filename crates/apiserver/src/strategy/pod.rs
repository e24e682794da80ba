//! Pods: graceful deletion, the service account and tolerations that admission adds, and a terminal phase that stays.

use api::defaults;
use api::field::{Error, Errors, Path};
use api::status::StatusError;
use api::time::Instant;
use api::validate;
use proto::core_v1::{Pod, PodSpec, PodStatus, Toleration};

use super::Form;

/// How long a Pod stays bound to a node that is not ready or not reachable, in seconds, unless it says otherwise.
const TOLERATION_SECONDS: i64 = 300;
/// Seconds that a Pod gets to end where its spec says nothing.
const DEFAULT_GRACE: i64 = 30;

pub(super) struct Pods;

impl Form for Pods {
    type K = Pod;
    const GENERATION: bool = true;

    fn prepare_create(object: &mut Pod, _now: Instant) -> Result<(), StatusError> {
        object.status = Some(PodStatus { phase: "Pending".into(), ..PodStatus::default() });
        defaults::pod(object);
        admit(object.spec.get_or_insert_default());
        let class = api::resources::qos_class(object);
        object.status.get_or_insert_default().qos_class = class.to_string();
        Ok(())
    }

    fn validate_create(object: &Pod) -> Errors {
        validate::pod_create(object)
    }

    fn prepare_update(new: &mut Pod, old: &Pod) {
        new.status = old.status.clone();
        defaults::pod(new);
    }

    fn validate_update(new: &Pod, old: &Pod) -> Errors {
        validate::pod_update(new, old)
    }

    fn prepare_status(new: &mut Pod, old: &Pod) {
        new.spec = old.spec.clone();
        let owners = old.metadata.as_ref().map(|meta| meta.owner_references.clone()).unwrap_or_default();
        new.metadata.get_or_insert_default().owner_references = owners;
        if let (Some(status), Some(before)) = (&mut new.status, &old.status)
            && status.qos_class.is_empty()
        {
            status.qos_class = before.qos_class.clone();
        }
    }

    fn validate_status(new: &Pod, old: &Pod) -> Errors {
        let mut errors = validate::pod_status_update(new, old);
        let (before, after) = (phase(old), phase(new));
        if terminal(before) && before != after {
            let detail = format!("the Pod has ended as {before}, which never changes again");
            errors.push(Error::forbidden(&Path::new("status").child("phase"), &detail));
        }
        errors
    }

    fn respecified(new: &Pod, old: &Pod) -> bool {
        !api::meta::same_content(new.spec.as_ref(), old.spec.as_ref())
    }

    fn grace(object: &Pod, asked: Option<i64>) -> i64 {
        let spec = object.spec.as_ref();
        let bound = spec.is_some_and(|spec| !spec.node_name.is_empty());
        if !bound || terminal(phase(object)) {
            // Nobody runs it: there is nobody to wait for.
            return 0;
        }
        let own = spec.and_then(|spec| spec.termination_grace_period_seconds);
        asked.or(own).unwrap_or(DEFAULT_GRACE).max(0)
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().map_or("", |status| &status.phase)
}

fn terminal(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// What Kubernetes' admission plugins ServiceAccount, Priority and DefaultTolerationSeconds fill in.
fn admit(spec: &mut PodSpec) {
    if spec.service_account_name.is_empty() {
        spec.service_account_name = "default".to_string();
    }
    spec.service_account = spec.service_account_name.clone();
    spec.priority.get_or_insert(0);
    spec.preemption_policy.get_or_insert_with(|| "PreemptLowerPriority".to_string());
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = spec.tolerations.iter().any(|toleration| {
            (toleration.key == key || toleration.key.is_empty())
                && (toleration.effect == "NoExecute" || toleration.effect.is_empty())
        });
        if !tolerated {
            spec.tolerations.push(Toleration {
                key: key.to_string(),
                operator: "Exists".to_string(),
                effect: "NoExecute".to_string(),
                toleration_seconds: Some(TOLERATION_SECONDS),
                ..Toleration::default()
            });
        }
    }
}
