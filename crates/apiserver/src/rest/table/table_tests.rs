use super::*;
use proto::batch_v1::{Job, JobCondition, JobSpec, JobStatus};
use proto::core_v1::*;

fn at(seconds: i64) -> Instant {
    chrono::DateTime::from_timestamp(seconds, 0).expect("in range")
}

fn meta(name: &str) -> Option<proto::meta_v1::ObjectMeta> {
    Some(proto::meta_v1::ObjectMeta {
        name: name.to_string(),
        creation_timestamp: Some(api::time::to_time(at(1_000))),
        ..Default::default()
    })
}

fn texts(object: AnyObject) -> Vec<String> {
    let kind = object.kind();
    let cells = cells(&object, at(1_065));
    assert_eq!(cells.len(), columns(kind.group, kind.kind).len(), "{}", kind.kind);
    cells.iter().map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_string)).collect()
}

#[test]
fn a_job_that_is_done() {
    let status = JobStatus {
        succeeded: 1,
        start_time: Some(api::time::to_time(at(1_000))),
        completion_time: Some(api::time::to_time(at(1_006))),
        conditions: vec![JobCondition { r#type: "Complete".into(), status: "True".into(), ..Default::default() }],
        ..Default::default()
    };
    let spec = JobSpec { completions: Some(1), parallelism: Some(1), ..Default::default() };
    let job = Job { metadata: meta("pi"), spec: Some(spec), status: Some(status) };
    assert_eq!(texts(Box::new(job))[..5], ["pi", "Complete", "1/1", "6s", "65s"]);
}

#[test]
fn a_work_queue_says_how_many_work() {
    let spec = JobSpec { parallelism: Some(3), ..Default::default() };
    let job = Job { metadata: meta("q"), spec: Some(spec), status: None };
    assert_eq!(texts(Box::new(job))[..4], ["q", "Running", "0/1 of 3", ""]);
}

fn pod(phase: &str, state: ContainerState, ready: bool) -> Pod {
    let container = ContainerStatus { state: Some(state), ready, ..Default::default() };
    Pod {
        metadata: meta("p"),
        spec: Some(PodSpec { containers: vec![Container::default()], node_name: "n1".into(), ..Default::default() }),
        status: Some(PodStatus { phase: phase.into(), container_statuses: vec![container], ..Default::default() }),
    }
}

#[test]
fn pods_say_the_most_telling_reason() {
    let ended = |reason: &str, code: i32| ContainerState {
        terminated: Some(ContainerStateTerminated { reason: reason.into(), exit_code: code, ..Default::default() }),
        ..Default::default()
    };
    let waiting = ContainerState {
        waiting: Some(ContainerStateWaiting { reason: "CrashLoopBackOff".into(), ..Default::default() }),
        ..Default::default()
    };
    let running = ContainerState { running: Some(ContainerStateRunning::default()), ..Default::default() };
    let row = |pod: Pod| texts(Box::new(pod))[1..4].join(" ");
    assert_eq!(row(pod("Succeeded", ended("Completed", 0), false)), "0/1 Completed 0");
    assert_eq!(row(pod("Failed", ended("Error", 1), false)), "0/1 Error 0");
    assert_eq!(row(pod("Failed", ended("", 7), false)), "0/1 ExitCode:7 0");
    assert_eq!(row(pod("Running", waiting.clone(), false)), "0/1 CrashLoopBackOff 0");
    assert_eq!(row(pod("Running", running, true)), "1/1 Running 0");
    let mut restarted = pod("Running", waiting, false);
    let status = &mut restarted.status.as_mut().expect("has one").container_statuses[0];
    status.restart_count = 2;
    status.last_state = Some(ContainerState {
        terminated: Some(ContainerStateTerminated {
            finished_at: Some(api::time::to_time(at(1_060))),
            ..Default::default()
        }),
        ..Default::default()
    });
    assert_eq!(row(restarted), "0/1 CrashLoopBackOff 2 (5s ago)");
}

#[test]
fn pods_that_initialize_or_go() {
    let mut starting = pod("Pending", ContainerState::default(), false);
    starting.spec.as_mut().expect("has one").init_containers = vec![Container::default(), Container::default()];
    let status = starting.status.as_mut().expect("has one");
    status.init_container_statuses = vec![ContainerStatus::default(), ContainerStatus::default()];
    assert_eq!(texts(Box::new(starting))[2], "Init:0/2");
    let mut going = pod("Running", ContainerState::default(), false);
    going.metadata.as_mut().expect("has one").deletion_timestamp = Some(api::time::to_time(at(1_060)));
    assert_eq!(texts(Box::new(going))[2], "Terminating");
}

#[test]
fn every_kind_has_as_many_cells_as_columns() {
    texts(Box::new(proto::batch_v1::CronJob::default()));
    texts(Box::new(Node::default()));
    texts(Box::new(Event::default()));
    texts(Box::new(Namespace::default()));
    texts(Box::new(proto::coordination_v1::Lease::default()));
    texts(Box::new(Service::default()));
    texts(Box::new(ConfigMap::default()));
    texts(Box::new(Secret::default()));
    texts(Box::new(ServiceAccount::default()));
    texts(Box::new(PodTemplate::default()));
}

#[test]
fn a_table_has_columns_rows_and_the_lists_metadata() {
    let object: AnyObject = Box::new(ConfigMap { metadata: meta("c"), ..Default::default() });
    let list = TableMeta { resource_version: "7".into(), continue_token: "t".into(), remaining: Some(3) };
    let shown = (Include::Metadata, "v1");
    let table = table(("", "ConfigMap"), [&object], &list, shown, true, at(1_065));
    assert_eq!(table["metadata"], json!({"resourceVersion": "7", "continue": "t", "remainingItemCount": 3}));
    assert_eq!(table["columnDefinitions"][0]["format"], "name");
    assert_eq!(table["rows"][0]["cells"], json!(["c", "0", "65s"]));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "c");
}
