//! Pods: graceful deletion, the service account and tolerations that admission adds, and a terminal phase that stays.

use api::defaults;
use api::fence::NODE_LOST;
use api::field::{Error, Errors, Path};
use api::status::StatusError;
use api::time::Instant;
use api::{validate, warnings};
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
        if let (Some(status), Some(before)) = (&mut new.status, &old.status)
            && status.reason == NODE_LOST
        {
            *status = given_up(std::mem::take(status), before);
        }
    }

    fn validate_status(new: &Pod, old: &Pod) -> Errors {
        let mut errors = validate::pod_status_update(new, old);
        let (before, after) = (phase(old), phase(new));
        if is_given_up(old) && !api::meta::same_content(new.status.as_ref(), old.status.as_ref()) {
            let detail = "the Pod was given up with its node, which was not heard of; what comes later is not taken";
            errors.push(Error::forbidden(&Path::new("status"), detail));
        } else if terminal(before) && before != after {
            let detail = format!("the Pod has ended as {before}, which never changes again");
            errors.push(Error::forbidden(&Path::new("status").child("phase"), &detail));
        }
        errors
    }

    fn respecified(new: &Pod, old: &Pod) -> bool {
        !api::meta::same_content(new.spec.as_ref(), old.spec.as_ref())
    }

    fn warnings(object: &Pod, old: Option<&Pod>) -> Vec<String> {
        warnings::pod(object, old)
    }

    fn grace(object: &Pod, asked: Option<i64>) -> i64 {
        let spec = object.spec.as_ref();
        let bound = spec.is_some_and(|spec| !spec.node_name.is_empty());
        if !bound || terminal(phase(object)) {
            // Nobody runs it: there is nobody to wait for.
            return 0;
        }
        let own = spec.and_then(|spec| spec.termination_grace_period_seconds);
        let grace = asked.or(own).unwrap_or(DEFAULT_GRACE);
        // As Kubernetes takes a negative one.
        if grace < 0 { 1 } else { grace }
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().map_or("", |status| &status.phase)
}

fn terminal(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// Failed with its node (design D7): whoever replaced it may rely on its status as it is.
fn is_given_up(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.reason == NODE_LOST && terminal(&status.phase))
}

/// The status of a Pod that is given up: who does so knows nothing of its containers, so what its node reported of them stays.
fn given_up(verdict: PodStatus, before: &PodStatus) -> PodStatus {
    if before.reason == NODE_LOST {
        return before.clone();
    }
    let mut conditions = before.conditions.clone();
    for condition in verdict.conditions {
        match conditions.iter_mut().find(|known| known.r#type == condition.r#type) {
            Some(known) if known.status == condition.status => {}
            Some(known) => *known = condition,
            None => conditions.push(condition),
        }
    }
    PodStatus { phase: verdict.phase, reason: verdict.reason, message: verdict.message, conditions, ..before.clone() }
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

#[cfg(test)]
mod tests {
    use proto::core_v1::{ContainerStatus, PodCondition};

    use super::*;

    fn pod(phase: &str, reason: &str) -> Pod {
        let condition = |name: &str, status: &str| PodCondition {
            r#type: name.into(),
            status: status.into(),
            ..PodCondition::default()
        };
        let main = ContainerStatus { name: "main".into(), ready: true, ..ContainerStatus::default() };
        let status = PodStatus {
            phase: phase.into(),
            reason: reason.into(),
            host_ip: "10.0.0.1".into(),
            container_statuses: vec![main],
            conditions: vec![condition("Ready", "True"), condition("PodScheduled", "True")],
            ..PodStatus::default()
        };
        Pod { status: Some(status), ..Pod::default() }
    }

    fn verdict() -> Pod {
        let ready = PodCondition { r#type: "Ready".into(), status: "False".into(), ..PodCondition::default() };
        let disruption =
            PodCondition { r#type: "DisruptionTarget".into(), status: "True".into(), ..PodCondition::default() };
        let status = PodStatus {
            phase: "Failed".into(),
            reason: NODE_LOST.into(),
            conditions: vec![ready, disruption],
            ..PodStatus::default()
        };
        Pod { status: Some(status), ..Pod::default() }
    }

    fn errors(new: &mut Pod, old: &Pod) -> usize {
        Pods::prepare_status(new, old);
        Pods::validate_status(new, old).len()
    }

    #[test]
    fn a_pod_that_is_given_up_keeps_what_its_node_reported() {
        let (mut new, old) = (verdict(), pod("Running", ""));
        assert_eq!(errors(&mut new, &old), 0);
        let status = new.status.unwrap();
        assert_eq!((status.phase.as_str(), status.host_ip.as_str()), ("Failed", "10.0.0.1"));
        assert_eq!(status.container_statuses[0].name, "main");
        let conditions: Vec<(&str, &str)> =
            status.conditions.iter().map(|condition| (condition.r#type.as_str(), condition.status.as_str())).collect();
        assert_eq!(conditions, [("Ready", "False"), ("PodScheduled", "True"), ("DisruptionTarget", "True")]);
    }

    #[test]
    fn nothing_that_comes_later_is_taken() {
        let mut old = verdict();
        Pods::prepare_status(&mut old, &pod("Running", ""));
        assert_eq!(errors(&mut pod("Running", ""), &old), 1);
        assert_eq!(errors(&mut pod("Failed", ""), &old), 1, "not even the same end with another reason");
        assert_eq!(errors(&mut pod("Succeeded", ""), &old), 1);
        assert_eq!(errors(&mut verdict(), &old), 0, "the verdict itself may be repeated, and changes nothing");
        assert_eq!(errors(&mut verdict(), &pod("Succeeded", "")), 1, "nor is a Pod given up that has ended");
    }
}
