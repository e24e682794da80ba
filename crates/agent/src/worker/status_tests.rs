use std::time::Duration;

use api::fence::NODE_UNREACHABLE;
use proto::core_v1::{Container, PodCondition, PodSpec};
use proto::meta_v1::ObjectMeta;

use super::super::decide::Fence;
use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap()
}

fn pod(policy: &str, init: &[&str], main: &[&str]) -> Pod {
    let container = |name: &&str| Container { name: name.to_string(), image: "busybox".into(), ..Container::default() };
    Pod {
        metadata: Some(ObjectMeta {
            uid: "u".into(),
            name: "p".into(),
            namespace: "n".into(),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            restart_policy: policy.into(),
            init_containers: init.iter().map(container).collect(),
            containers: main.iter().map(container).collect(),
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            phase: "Pending".into(),
            conditions: vec![PodCondition {
                r#type: "PodScheduled".into(),
                status: "True".into(),
                ..PodCondition::default()
            }],
            ..PodStatus::default()
        }),
    }
}

fn exit(code: i32) -> Exit {
    let reason = if code == 0 { "Completed" } else { "Error" };
    Exit { code, signal: 0, reason: reason.into(), message: String::new(), started_at: at(1), finished_at: at(5) }
}

fn exited(code: i32) -> Life {
    Life { starts: 1, current: Some(Run::Exited(exit(code))), ..Life::default() }
}

fn running() -> Life {
    Life { starts: 1, current: Some(Run::Running { started_at: at(1) }), ..Life::default() }
}

fn circumstances(now: i64) -> Circumstances {
    Circumstances { now: at(now), boot: Duration::ZERO, since: at(0), fence: Fence::NONE }
}

fn of(pod: &Pod, lives: &[Life], over: bool) -> PodStatus {
    let node = NodeFacts { ip: "10.0.0.1".into(), runtime: "process" };
    status(pod, lives, circumstances(9), over, &node)
}

fn verdict<'a>(status: &'a PodStatus, name: &str) -> (&'a str, &'a str, &'a str) {
    let condition = status.conditions.iter().find(|condition| condition.r#type == name).unwrap();
    (&condition.status, &condition.reason, &condition.message)
}

#[test]
fn phases_are_a_kubelets() {
    let one = pod("Never", &[], &["a"]);
    assert_eq!(of(&one, &[Life::default()], false).phase, "Pending");
    assert_eq!(of(&one, &[running()], false).phase, "Running");
    assert_eq!(of(&one, &[exited(0)], true).phase, "Succeeded");
    assert_eq!(of(&one, &[exited(1)], true).phase, "Failed");
    assert_eq!(of(&pod("OnFailure", &[], &["a"]), &[exited(1)], false).phase, "Running");
    let with_init = pod("Never", &["i"], &["a"]);
    assert_eq!(of(&with_init, &[exited(0), Life::default()], false).phase, "Pending");
    assert_eq!(of(&with_init, &[exited(1), Life::default()], true).phase, "Failed");
}

#[test]
fn a_finished_pod_says_what_kubectl_prints() {
    let status = of(&pod("Never", &[], &["a"]), &[exited(0)], true);
    let container = &status.container_statuses[0];
    let terminated = container.state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((terminated.exit_code, terminated.reason.as_str()), (0, "Completed"));
    assert_eq!(terminated.container_id, "process://u/a/0");
    assert_eq!((container.ready, container.started, container.restart_count), (false, Some(false), 0));
    assert_eq!(verdict(&status, "Ready"), ("False", "PodCompleted", ""));
    assert_eq!(verdict(&status, "Initialized"), ("True", "PodCompleted", ""));
    assert_eq!(verdict(&status, "PodReadyToStartContainers"), ("False", "", ""));
    assert_eq!(verdict(&status, "PodScheduled").0, "True");
    assert_eq!(status.start_time, Some(to_time(at(0))));
}

#[test]
fn a_crashing_container_waits_with_its_last_state() {
    let mut life = exited(3);
    life.started(Run::Exited(exit(4)));
    life.started(Run::Exited(exit(5)));
    assert_eq!((life.starts, life.crashes), (3, 2));
    let status = of(&pod("Always", &[], &["a"]), &[life], false);
    let container = &status.container_statuses[0];
    let waiting = container.state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.reason, "CrashLoopBackOff");
    assert_eq!(waiting.message, "back-off 20s restarting failed container=a pod=p_n(u)");
    let last = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, last.container_id.as_str(), container.restart_count), (5, "process://u/a/2", 2));
    assert_eq!(verdict(&status, "Ready"), ("False", "ContainersNotReady", "containers with unready status: [a]"));
}

#[test]
fn init_containers_are_told_by_name() {
    let status = of(&pod("Never", &["i", "j"], &["a"]), &[exited(0), running(), Life::default()], false);
    assert_eq!(
        verdict(&status, "Initialized"),
        ("False", "ContainersNotInitialized", "containers with incomplete status: [j]")
    );
    let waiting = status.container_statuses[0].state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.reason, "PodInitializing");
}

#[test]
fn the_deadline_and_a_deletion_before_the_start_fail_the_pod() {
    let mut late = pod("Always", &[], &["a"]);
    late.spec.as_mut().unwrap().active_deadline_seconds = Some(9);
    let status = of(&late, &[exited(0)], true);
    assert_eq!((status.phase.as_str(), status.reason.as_str()), ("Failed", "DeadlineExceeded"));

    let mut deleted = pod("Never", &[], &["a"]);
    deleted.metadata.as_mut().unwrap().deletion_timestamp = Some(to_time(at(0)));
    let status = of(&deleted, &[Life::default()], true);
    let terminated = status.container_statuses[0].state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((status.phase.as_str(), terminated.exit_code), ("Failed", 137));
}

#[test]
fn a_condition_that_holds_on_keeps_its_time() {
    let mut pod = pod("Never", &[], &["a"]);
    pod.status = Some(of(&pod, &[running()], false));
    let node = NodeFacts::default();
    let later = status(&pod, &[running()], circumstances(99), false, &node);
    assert!(later.conditions.iter().all(|condition| condition.last_transition_time != Some(to_time(at(99)))));
}

#[test]
fn an_end_by_the_fence_is_a_disruption() {
    let fenced = Exit { reason: NODE_UNREACHABLE.into(), ..exit(137) };
    let life = Life { starts: 1, current: Some(Run::Exited(fenced)), ..Life::default() };
    let status = of(&pod("Never", &[], &["a"]), std::slice::from_ref(&life), true);
    assert_eq!(verdict(&status, "DisruptionTarget").0, "True");
    assert_eq!(status.phase, "Failed");
    let restarts = of(&pod("OnFailure", &[], &["a"]), &[life], false);
    assert!(restarts.conditions.iter().all(|condition| condition.r#type != "DisruptionTarget"), "it goes on");
}
