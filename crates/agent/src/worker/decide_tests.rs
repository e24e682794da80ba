use proto::core_v1::{Container, PodSpec, PodStatus};
use proto::meta_v1::ObjectMeta;

use super::super::life::{Exit, Run};
use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap()
}

fn pod(policy: &str, init: &[&str], main: &[&str]) -> Pod {
    let container = |name: &&str| match name.strip_prefix("sidecar-") {
        Some(_) => Container { name: name.to_string(), restart_policy: Some("Always".into()), ..Container::default() },
        None => Container { name: name.to_string(), ..Container::default() },
    };
    Pod {
        metadata: Some(ObjectMeta::default()),
        spec: Some(PodSpec {
            restart_policy: policy.into(),
            init_containers: init.iter().map(container).collect(),
            containers: main.iter().map(container).collect(),
            ..PodSpec::default()
        }),
        status: None,
    }
}

const NEW: Life =
    Life { starts: 0, current: None, previous: None, crashes: 0, failures: 0, blocked: None, stop_by: None };

fn running() -> Life {
    Life { starts: 1, current: Some(Run::Running { started_at: at(0) }), ..NEW }
}

fn exited(code: i32) -> Life {
    let exit =
        Exit { code, signal: 0, reason: String::new(), message: String::new(), started_at: at(0), finished_at: at(5) };
    Life { starts: 1, current: Some(Run::Exited(exit)), ..NEW }
}

fn plan(pod: &Pod, lives: &[Life], now: i64) -> Plan {
    decide(pod, lives, circumstances(now, Fence::NONE))
}

fn circumstances(now: i64, fence: Fence) -> Circumstances {
    Circumstances { now: at(now), boot: boot(now), since: at(0), fence }
}

fn boot(now: i64) -> Duration {
    Duration::from_secs(u64::try_from(500 + now).unwrap())
}

/// A container that has been told to end until then.
fn told(by: i64) -> Life {
    Life { stop_by: Some(boot(by)), ..running() }
}

fn starts(plan: &Plan) -> Vec<usize> {
    plan.steps.iter().filter_map(|step| if let Step::Start { index } = step { Some(*index) } else { None }).collect()
}

fn stops(plan: &Plan) -> Vec<(usize, i64)> {
    plan.steps
        .iter()
        .filter_map(
            |step| if let Step::Stop { index, grace } = step { Some((*index, grace.num_seconds())) } else { None },
        )
        .collect()
}

#[test]
fn main_containers_start_together_and_end_the_pod_together() {
    let pod = pod("Never", &[], &["a", "b"]);
    assert_eq!(starts(&plan(&pod, &[NEW, NEW], 0)), [0, 1]);
    assert_eq!(plan(&pod, &[exited(1), running()], 9), Plan::default());
    assert!(plan(&pod, &[exited(1), exited(0)], 9).over);
}

#[test]
fn init_containers_run_in_order() {
    let pod = pod("OnFailure", &["i", "j"], &["a"]);
    assert_eq!(starts(&plan(&pod, &[NEW, NEW, NEW], 0)), [0]);
    assert_eq!(starts(&plan(&pod, &[running(), NEW, NEW], 0)), [0usize; 0]);
    assert_eq!(starts(&plan(&pod, &[exited(0), NEW, NEW], 9)), [1]);
    assert_eq!(starts(&plan(&pod, &[exited(3), NEW, NEW], 9)), [0], "the first restart is at once");
    assert_eq!(starts(&plan(&pod, &[exited(0), exited(0), NEW], 9)), [2]);
}

#[test]
fn a_failed_init_container_that_never_restarts_fails_the_pod() {
    let pod = pod("Never", &["sidecar-s", "i"], &["a"]);
    let failed = plan(&pod, &[running(), exited(1), NEW], 9);
    assert_eq!((stops(&failed), failed.over), (vec![(0, 30)], false));
    assert!(plan(&pod, &[exited(0), exited(1), NEW], 9).over);
}

#[test]
fn restarts_follow_the_policy_and_the_back_off() {
    for (policy, code, again) in
        [("Always", 0, true), ("Always", 1, true), ("OnFailure", 0, false), ("OnFailure", 1, true), ("Never", 1, false)]
    {
        let pod = pod(policy, &[], &["a"]);
        let plan = plan(&pod, &[exited(code)], 5);
        assert_eq!((!starts(&plan).is_empty(), plan.over), (again, !again), "{policy} {code}");
    }
    let pod = pod("Always", &[], &["a"]);
    let life = Life { crashes: 2, ..exited(1) };
    let waiting = plan(&pod, std::slice::from_ref(&life), 24);
    assert_eq!((starts(&waiting), waiting.wake_at), (vec![], Some(at(25))));
    assert_eq!(starts(&plan(&pod, &[life], 25)), [0]);
}

#[test]
fn sidecars_start_first_restart_and_end_last() {
    let pod = pod("Never", &["sidecar-s"], &["a"]);
    assert_eq!(starts(&plan(&pod, &[NEW, NEW], 0)), [0]);
    assert_eq!(starts(&plan(&pod, &[running(), NEW], 0)), [1]);
    assert_eq!(starts(&plan(&pod, &[exited(1), running()], 9)), [0]);
    assert_eq!(stops(&plan(&pod, &[running(), exited(0)], 9)), [(0, 30)]);
    assert!(plan(&pod, &[exited(137), exited(0)], 9).over);
}

#[test]
fn a_deleted_pod_stops_with_its_grace_and_starts_nothing() {
    let mut pod = pod("Always", &[], &["a", "b"]);
    let metadata = pod.metadata.as_mut().unwrap();
    metadata.deletion_timestamp = Some(proto::meta_v1::Time::default());
    metadata.deletion_grace_period_seconds = Some(7);
    assert!(plan(&pod, &[NEW, NEW], 0).over, "deleted before its start");
    assert_eq!(stops(&plan(&pod, &[running(), exited(1)], 0)), [(0, 7)]);
    let waits = Plan { wake_at: Some(at(12)), ..Plan::default() };
    assert_eq!(plan(&pod, &[told(7), exited(1)], 1), waits, "it was told already");
}

#[test]
fn a_grace_that_becomes_shorter_is_passed_on() {
    let mut pod = pod("Always", &[], &["a"]);
    let metadata = pod.metadata.as_mut().unwrap();
    metadata.deletion_timestamp = Some(proto::meta_v1::Time::default());
    metadata.deletion_grace_period_seconds = Some(600);
    let of = |pod: &Pod, by: i64, now: i64| stops(&plan(pod, &[told(by)], now));
    assert!(of(&pod, 600, 9).is_empty(), "the same again");
    pod.metadata.as_mut().unwrap().deletion_grace_period_seconds = Some(0);
    assert_eq!(of(&pod, 600, 9), [(0, 0)]);
    assert!(of(&pod, 9, 10).is_empty(), "told");
    let failed = PodStatus { phase: "Failed".into(), reason: NODE_LOST.into(), ..PodStatus::default() };
    pod = Pod { metadata: Some(ObjectMeta::default()), status: Some(failed), ..pod };
    assert_eq!(of(&pod, 600, 9), [(0, 0)], "given up while its grace ran");
}

#[test]
fn what_a_shim_does_not_end_in_time_the_agent_ends() {
    let mut pod = pod("Always", &[], &["a"]);
    pod.metadata.as_mut().unwrap().deletion_timestamp = Some(proto::meta_v1::Time::default());
    let first = plan(&pod, &[running()], 0);
    assert_eq!((stops(&first), first.wake_at), (vec![(0, 30)], Some(at(35))));
    assert_eq!(plan(&pod, &[told(30)], 34), Plan { wake_at: Some(at(35)), ..Plan::default() });
    let late = plan(&pod, &[told(30)], 35);
    assert_eq!((stops(&late), late.wake_at), (vec![(0, 0)], Some(at(40))), "and again");
    assert!(plan(&pod, &[exited(137)], 40).over);
}

#[test]
fn the_fence_also_ends_what_is_in_its_grace() {
    let mut pod = pod("Always", &[], &["a"]);
    pod.metadata.as_mut().unwrap().deletion_timestamp = Some(proto::meta_v1::Time::default());
    pod.metadata.as_mut().unwrap().deletion_grace_period_seconds = Some(600);
    let fence = Fence { is_open: false, ends_at: Some(at(20)) };
    assert!(stops(&decide(&pod, &[told(600)], circumstances(19, fence))).is_empty());
    assert_eq!(stops(&decide(&pod, &[told(600)], circumstances(20, fence))), [(0, 0)]);
}

#[test]
fn the_deadline_ends_the_pod() {
    let mut pod = pod("Always", &[], &["a"]);
    pod.spec.as_mut().unwrap().active_deadline_seconds = Some(10);
    assert_eq!(plan(&pod, &[running()], 9).wake_at, Some(at(10)));
    assert_eq!(stops(&plan(&pod, &[running()], 10)), [(0, 30)]);
    assert!(plan(&pod, &[exited(1)], 10).over);
}

#[test]
fn a_pod_that_the_control_plane_failed_is_stopped() {
    let mut pod = pod("Always", &[], &["a"]);
    pod.status = Some(PodStatus { phase: "Failed".into(), ..PodStatus::default() });
    assert_eq!(stops(&plan(&pod, &[running()], 9)), [(0, 30)]);
    assert!(plan(&pod, &[NEW], 9).over, "a terminal Pod is never started");
}

#[test]
fn nothing_begins_while_the_fence_is_closed() {
    let closed = circumstances(9, Fence { is_open: false, ends_at: Some(at(5)) });
    let held = Plan { held: true, ..Plan::default() };
    assert_eq!(decide(&pod("Never", &[], &["a"]), &[NEW], closed), held);
    assert_eq!(decide(&pod("OnFailure", &[], &["a"]), &[exited(137)], closed), held, "nor does it restart in place");
    assert_eq!(decide(&pod("Never", &["i"], &["a"]), &[exited(0), NEW], closed), held);
    assert!(decide(&pod("Never", &[], &["a"]), &[exited(137)], closed).over, "what ended is told when it can be");
}

#[test]
fn what_outlives_the_fence_is_stopped_at_once() {
    let pod = pod("Always", &["sidecar-s"], &["a"]);
    let fenced = |now| {
        let fence = Fence { is_open: now < 20, ends_at: Some(at(20)) };
        decide(&pod, &[running(), running()], circumstances(now, fence))
    };
    assert_eq!(fenced(19), Plan { wake_at: Some(at(20)), ..Plan::default() });
    assert_eq!(stops(&fenced(20)), [(0, 0), (1, 0)]);
}

#[test]
fn a_pod_that_was_given_up_with_its_node_gets_no_grace() {
    let mut pod = pod("Always", &[], &["a"]);
    pod.status = Some(PodStatus { phase: "Failed".into(), reason: NODE_LOST.into(), ..PodStatus::default() });
    assert_eq!(stops(&plan(&pod, &[running()], 9)), [(0, 0)]);
}
