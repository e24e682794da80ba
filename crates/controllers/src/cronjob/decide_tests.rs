//! Scenarios, each written down as what a CronJob does; then what must hold at any time.

use std::sync::Arc;

use api::condition;
use api::proto::batch_v1::{CronJob, CronJobSpec, CronJobStatus, Job, JobSpec, JobStatus, JobTemplateSpec};
use api::proto::meta_v1::ObjectMeta;
use api::proto::raftsman_v1::{object, write::Op};
use api::{meta, time};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{Snapshot, decide};
use crate::plan::{Plan, reference};

/// 2027-01-15 08:00:00 UTC and so many seconds.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

/// `* * * * *`, created at second 0.
fn every_minute() -> CronJob {
    CronJob {
        metadata: Some(ObjectMeta {
            namespace: "default".into(),
            name: "hello".into(),
            uid: "cron".into(),
            resource_version: "7".into(),
            creation_timestamp: Some(time::to_time(at(0))),
            ..Default::default()
        }),
        spec: Some(CronJobSpec {
            schedule: "* * * * *".into(),
            concurrency_policy: "Allow".into(),
            job_template: Some(JobTemplateSpec { spec: Some(JobSpec::default()), ..Default::default() }),
            successful_jobs_history_limit: Some(3),
            failed_jobs_history_limit: Some(1),
            ..Default::default()
        }),
        status: None,
    }
}

fn spec(cron_job: &mut CronJob) -> &mut CronJobSpec {
    cron_job.spec.get_or_insert_default()
}

/// A Job of the CronJob that started at second `started`; `ended` is its terminal condition.
fn job(cron_job: &CronJob, name: &str, started: i64, ended: Option<&str>) -> Job {
    let conditions = ended.map(|kind| condition::job(kind, true, "", "", at(started + 5))).into_iter().collect();
    let complete = ended == Some("Complete");
    Job {
        metadata: Some(ObjectMeta {
            namespace: "default".into(),
            name: name.into(),
            uid: format!("uid-{name}"),
            owner_references: vec![meta::controller_reference(cron_job)],
            ..Default::default()
        }),
        spec: None,
        status: Some(JobStatus {
            conditions,
            start_time: Some(time::to_time(at(started))),
            completion_time: complete.then(|| time::to_time(at(started + 5))),
            ..Default::default()
        }),
    }
}

/// The CronJob with these Jobs running and listed, the last start at second `last`.
fn running(mut cron_job: CronJob, last: i64, jobs: &[Job]) -> CronJob {
    let active = jobs.iter().map(reference).collect();
    cron_job.status =
        Some(CronJobStatus { active, last_schedule_time: Some(time::to_time(at(last))), last_successful_time: None });
    cron_job
}

fn plan(cron_job: &CronJob, jobs: &[Job], now: i64) -> Plan {
    decide(&Snapshot {
        cron_job: Arc::new(cron_job.clone()),
        jobs: jobs.iter().cloned().map(Arc::new).collect(),
        now: at(now),
        uid: "fresh".into(),
    })
}

/// A Plan as lines: writes, events, when to look again.
fn written(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for write in &plan.writes {
        lines.push(match write.op() {
            Op::Create(object) => match &object.object {
                Some(object::Object::Job(job)) => format!("create {}", job.metadata.as_ref().unwrap().name),
                other => format!("create {other:?}"),
            },
            Op::UpdateStatus(object) => match &object.object {
                Some(object::Object::CronJob(cron_job)) => {
                    let status = cron_job.status.as_ref().unwrap();
                    let active: Vec<&str> = status.active.iter().map(|active| active.name.as_str()).collect();
                    let last = time::opt(&status.last_schedule_time).map(|last| (last - at(0)).num_seconds());
                    format!("status active={active:?} last={last:?}")
                }
                other => format!("status {other:?}"),
            },
            Op::Delete(delete) => format!("delete {}", delete.name),
            other => format!("{other:?}"),
        });
    }
    lines.extend(plan.events.iter().map(|event| {
        format!("{} {}: {}", if event.warning { "Warning" } else { "Normal" }, event.reason, event.message)
    }));
    if let Some(after) = plan.requeue_after {
        lines.push(format!("again in {} s", after.as_secs_f64()));
    }
    lines
}

#[test]
fn it_waits_for_its_minute() {
    assert_eq!(written(&plan(&every_minute(), &[], 12)), ["again in 48 s"]);
}

#[test]
fn a_start_and_its_status_are_one_group() {
    let plan = plan(&every_minute(), &[], 60);
    assert_eq!(
        written(&plan),
        [
            "status active=[\"hello-30000001\"] last=Some(60)",
            "create hello-30000001",
            "Normal SuccessfulCreate: Created job hello-30000001",
            "again in 60 s",
        ]
    );
    let Op::Create(object) = plan.writes[1].op() else { panic!("a create") };
    let Some(object::Object::Job(job)) = &object.object else { panic!("a Job") };
    let metadata = job.metadata.as_ref().unwrap();
    assert_eq!(metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"], "2027-01-15T08:01:00Z");
    assert_eq!(metadata.owner_references[0].kind, "CronJob");
    assert_eq!(metadata.owner_references[0].controller, Some(true));
}

#[test]
fn a_time_zone_moves_the_schedule_and_the_annotation() {
    let mut daily = every_minute();
    spec(&mut daily).schedule = "5 9 * * *".into();
    spec(&mut daily).time_zone = Some("Europe/Berlin".into());
    let plan = plan(&daily, &[], 300);
    let Op::Create(object) = plan.writes[1].op() else { panic!("a create") };
    let Some(object::Object::Job(job)) = &object.object else { panic!("a Job") };
    let annotations = &job.metadata.as_ref().unwrap().annotations;
    assert_eq!(annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"], "2027-01-15T09:05:00+01:00");
    spec(&mut daily).time_zone = Some("Mars/Olympus".into());
    let events = super::decide_tests::plan(&daily, &[], 300).events;
    assert_eq!(events[0].reason, "UnknownTimeZone");
}

#[test]
fn of_all_missed_times_only_the_latest_is_started() {
    let lines = written(&plan(&every_minute(), &[], 10 * 60 + 7));
    assert_eq!(lines[1], "create hello-30000010");
    assert_eq!(lines.len(), 4);
}

#[test]
fn more_than_a_hundred_missed_times_are_warned_of_and_started() {
    let lines = written(&plan(&every_minute(), &[], 200 * 60));
    assert_eq!(lines[1], "create hello-30000200");
    assert!(lines[2].starts_with("Warning TooManyMissedTimes: too many missed start times."), "{lines:?}");
}

#[test]
fn a_start_beyond_its_deadline_is_given_up() {
    let mut hourly = every_minute();
    spec(&mut hourly).schedule = "1 * * * *".into();
    spec(&mut hourly).starting_deadline_seconds = Some(10);
    assert_eq!(written(&plan(&hourly, &[], 60 + 10))[1], "create hello-30000001");
    assert_eq!(
        written(&plan(&hourly, &[], 60 + 12)),
        [
            "Warning MissSchedule: Missed scheduled time to start a job: Fri, 15 Jan 2027 08:01:00 +0000",
            "again in 3588 s",
        ]
    );
}

#[test]
fn suspended_it_starts_nothing() {
    let mut suspended = every_minute();
    spec(&mut suspended).suspend = Some(true);
    assert!(written(&plan(&suspended, &[], 600)).is_empty());
}

#[test]
fn forbid_waits_for_the_job_before_and_then_starts_at_once() {
    let mut forbidding = every_minute();
    spec(&mut forbidding).concurrency_policy = "Forbid".into();
    let first = job(&forbidding, "hello-30000001", 60, None);
    let forbidding = running(forbidding, 60, std::slice::from_ref(&first));
    assert_eq!(
        written(&plan(&forbidding, std::slice::from_ref(&first), 120)),
        [
            "Normal JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid",
            "again in 60 s",
        ]
    );
    let ended = job(&forbidding, "hello-30000001", 60, Some("Complete"));
    assert_eq!(
        written(&plan(&forbidding, &[ended], 140)),
        [
            "status active=[\"hello-30000002\"] last=Some(120)",
            "create hello-30000002",
            "Normal SawCompletedJob: Saw completed job: hello-30000001, condition: Complete",
            "Normal SuccessfulCreate: Created job hello-30000002",
            "again in 40 s",
        ]
    );
}

#[test]
fn replace_deletes_the_job_before_in_the_same_group() {
    let mut replacing = every_minute();
    spec(&mut replacing).concurrency_policy = "Replace".into();
    let first = job(&replacing, "hello-30000001", 60, None);
    let replacing = running(replacing, 60, std::slice::from_ref(&first));
    assert_eq!(
        written(&plan(&replacing, &[first], 120)),
        [
            "status active=[\"hello-30000002\"] last=Some(120)",
            "delete hello-30000001",
            "create hello-30000002",
            "Normal SuccessfulDelete: Deleted job hello-30000001",
            "Normal SuccessfulCreate: Created job hello-30000002",
            "again in 60 s",
        ]
    );
}

#[test]
fn the_history_keeps_the_latest() {
    let cron_job = every_minute();
    let mut jobs: Vec<Job> =
        (1..=5).map(|minute| job(&cron_job, &format!("c{minute}"), minute * 60, Some("Complete"))).collect();
    jobs.extend((1..=2).map(|minute| job(&cron_job, &format!("f{minute}"), minute * 60, Some("Failed"))));
    let cron_job = running(cron_job, 600, &[]);
    let lines = written(&plan(&cron_job, &jobs, 610));
    assert_eq!(&lines[1..4], ["delete c1", "delete c2", "delete f1"]);
    let mut keeps_none = cron_job;
    spec(&mut keeps_none).successful_jobs_history_limit = Some(0);
    assert_eq!(written(&plan(&keeps_none, &jobs, 610)).iter().filter(|line| line.starts_with("delete c")).count(), 5);
}

#[test]
fn a_job_that_it_did_not_start_is_told_and_never_blocks() {
    let mut forbidding = every_minute();
    spec(&mut forbidding).concurrency_policy = "Forbid".into();
    let manual = job(&forbidding, "by-hand", 30, None);
    let lines = written(&plan(&forbidding, &[manual], 60));
    assert_eq!(lines[1], "create hello-30000001");
    assert_eq!(lines[2], "Warning UnexpectedJob: Saw a job that the controller did not create or forgot: by-hand");
}

#[test]
fn a_job_that_is_gone_is_struck_off() {
    let cron_job = every_minute();
    let gone = job(&cron_job, "hello-30000001", 60, None);
    let cron_job = running(cron_job, 60, &[gone]);
    let lines = written(&plan(&cron_job, &[], 70));
    assert_eq!(lines[0], "status active=[] last=Some(60)");
    assert_eq!(lines[1], "Normal MissingJob: Active job went missing: hello-30000001");
}

#[test]
fn a_wiped_status_starts_no_minute_twice() {
    let cron_job = every_minute();
    let there = job(&cron_job, "hello-30000001", 60, None);
    let lines = written(&plan(&cron_job, &[there], 70));
    assert_eq!(lines[0], "status active=[\"hello-30000001\"] last=Some(60)");
    assert!(!lines.iter().any(|line| line.starts_with("create")), "{lines:?}");
}

proptest! {
    /// However often and at whatever moments it is looked at, each minute is started at most once, in order, never before
    /// its time, and with Forbid never beside another.
    #[test]
    fn each_minute_at_most_once(steps in prop::collection::vec((1_i64..150, any::<bool>()), 1..60), forbid in any::<bool>()) {
        let mut cron_job = every_minute();
        spec(&mut cron_job).concurrency_policy = if forbid { "Forbid".into() } else { "Allow".into() };
        let mut jobs: Vec<Job> = Vec::new();
        let mut started: Vec<String> = Vec::new();
        let mut now = 0;
        for (pause, ends) in steps {
            now += pause;
            if ends && let Some(running) = jobs.iter_mut().find(|job| super::history::finished(job).is_none()) {
                running.status.as_mut().unwrap().conditions.push(condition::job("Complete", true, "", "", at(now)));
            }
            let plan = plan(&cron_job, &jobs, now);
            for write in &plan.writes {
                match write.op() {
                    Op::UpdateStatus(object) => {
                        let Some(object::Object::CronJob(updated)) = &object.object else { panic!("the root") };
                        cron_job = updated.clone();
                    }
                    Op::Create(object) => {
                        let Some(object::Object::Job(job)) = &object.object else { panic!("a Job") };
                        let name = job.metadata.as_ref().unwrap().name.clone();
                        let minute: i64 = name["hello-".len()..].parse().unwrap();
                        prop_assert!(minute * 60 <= at(now).timestamp());
                        let unfinished = jobs.iter().filter(|job| super::history::finished(job).is_none()).count();
                        prop_assert!(!forbid || unfinished == 0);
                        started.push(name.clone());
                        jobs.push(super::decide_tests::job(&cron_job, &name, now, None));
                    }
                    Op::Delete(delete) => jobs.retain(|job| job.metadata.as_ref().unwrap().name != delete.name),
                    other => panic!("{other:?}"),
                }
            }
        }
        let mut ordered = started.clone();
        ordered.sort();
        ordered.dedup();
        prop_assert_eq!(ordered, started);
    }
}

#[test]
fn a_deadline_that_no_calendar_holds_is_none() {
    let mut cron_job = every_minute();
    let edges = (at(65).timestamp() - DateTime::<Utc>::MIN_UTC.timestamp()) + 1;
    for seconds in [i64::MAX, i64::MAX / 1000, edges, edges - 1, edges - 2] {
        spec(&mut cron_job).starting_deadline_seconds = Some(seconds);
        assert_eq!(plan(&cron_job, &[], 65).writes.len(), 2, "it starts, with a deadline of {seconds} s");
    }
}
