//! Scenarios as text: each file in `golden/` has commands (lines that begin with `>`) and what followed from them.
//!
//! With `UPDATE_GOLDEN=1` the files are written anew; the change is then read as a diff.

use std::fmt::Write as _;
use std::path::Path;

use api::dependency;
use api::meta::Object;
use api::proto::batch_v1::{JobDependency, JobSpec, JobStatus};
use api::proto::core_v1::{PodSpec, PodTemplateSpec};
use api::proto::raftsman_v1::write::Op;
use api::time::{self, to_time};
use chrono::{DateTime, TimeDelta};

use super::world::World;
use crate::plan::Plan;
use crate::pod_view::{Phase, PodView};

#[test]
fn scenarios_end_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/job/decide/golden");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let want = std::fs::read_to_string(&file).unwrap();
        let got = run(&want);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, got).unwrap();
        } else {
            assert_eq!(got, want, "{} (UPDATE_GOLDEN=1 rewrites it)", file.display());
        }
    }
}

/// Runs the commands of a scenario, and gives it back with what followed.
fn run(text: &str) -> String {
    let mut world = None;
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with('#') || line.is_empty() {
            writeln!(out, "{line}").unwrap();
        }
        let Some(command) = line.strip_prefix("> ") else { continue };
        writeln!(out, "{line}").unwrap();
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        if verb == "job" {
            let mut spec = JobSpec { parallelism: Some(1), completions: Some(1), ..Default::default() };
            set(&mut spec, rest);
            world = Some(World::new(spec));
        } else {
            out.push_str(&act(world.as_mut().expect("the first command is job"), verb, rest));
        }
    }
    out
}

fn act(world: &mut World, verb: &str, rest: &str) -> String {
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    match verb {
        "look" => return look(world),
        "settle" => {
            let mut out = String::new();
            loop {
                let before = world.job.status.clone();
                let next = look(world);
                let done = world.job.status == before && next.lines().count() == 1;
                out.push_str(&next);
                if done {
                    return out;
                }
            }
        }
        "spec" => {
            set(world.job.spec.as_mut().unwrap(), rest);
            world.touch_job();
        }
        "wait" => world.now += TimeDelta::seconds(rest.parse().unwrap()),
        "pod" => {
            for alias in first.split(',') {
                let name = world.created[alias[1..].parse::<usize>().unwrap() - 1].clone();
                match second.split_once('=') {
                    None if second == "Deleted" => world.delete(&name),
                    None => world.report(&name, phase(second)),
                    Some((field, value)) => {
                        let pod = world.pods.get_mut(&name).unwrap();
                        pod.restarts = value.parse().unwrap();
                        pod.failed_restarts = if field == "failedRestarts" { pod.restarts } else { 0 };
                    }
                }
            }
        }
        "parent" if second == "absent" => {
            world.parents.remove(first);
        }
        "parent" => world.parent(first, second),
        "awaited" => world.waited_for = rest == "yes",
        "refused" => world.create_refused = rest == "yes",
        "delete" => {
            world.touch_job();
            world.job.metadata.as_mut().unwrap().deletion_timestamp = Some(to_time(world.now));
        }
        other => panic!("no command {other}"),
    }
    String::new()
}

fn set(spec: &mut JobSpec, settings: &str) {
    for setting in settings.split_whitespace() {
        let (field, value) = setting.split_once('=').unwrap();
        let number = value.parse::<i32>().ok();
        match field {
            "parallelism" => spec.parallelism = number,
            "completions" => spec.completions = number,
            "backoffLimit" => spec.backoff_limit = number,
            "deadline" => spec.active_deadline_seconds = number.map(i64::from),
            "suspend" => spec.suspend = Some(value == "true"),
            "replace" => spec.pod_replacement_policy = Some(value.into()),
            "managedBy" => spec.managed_by = Some(value.into()),
            "restartPolicy" => {
                let pod = PodSpec { restart_policy: value.into(), ..Default::default() };
                spec.template = Some(PodTemplateSpec { spec: Some(pod), ..Default::default() });
            }
            "dependsOn" => {
                spec.depends_on = dependency::parse(value).unwrap();
            }
            "whenFailed" => {
                spec.depends_on.iter_mut().for_each(|on: &mut JobDependency| on.when_failed = value.into());
            }
            other => panic!("no setting {other}"),
        }
    }
}

fn phase(text: &str) -> Phase {
    match text {
        "Pending" => Phase::Pending,
        "Running" => Phase::Running,
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        other => panic!("no phase {other}"),
    }
}

fn look(world: &mut World) -> String {
    let before = world.job.status.clone().unwrap_or_default();
    let held = world.job.meta().finalizers.clone();
    let plan = world.look();
    let mut out = format!("look: {}\n", plan.why);
    let after = world.job.status.clone().unwrap_or_default();
    if before != after {
        writeln!(out, "  job {}", counters(&after)).unwrap();
    }
    for condition in after.conditions.iter().filter(|condition| !before.conditions.contains(condition)) {
        let (kind, status, reason) = (&condition.r#type, &condition.status, &condition.reason);
        writeln!(out, "  condition {kind}={status} {reason}: {}", condition.message).unwrap();
    }
    for dependency in after.dependencies.iter().filter(|dependency| !before.dependencies.contains(dependency)) {
        writeln!(out, "  dependency {} {} {}", dependency.name, dependency.state, dependency.uid).unwrap();
    }
    if held != world.job.meta().finalizers {
        writeln!(out, "  finalizers {:?}", world.job.meta().finalizers).unwrap();
    }
    out.push_str(&pods(&plan));
    for event in &plan.events {
        let kind = if event.warning { "Warning" } else { "Normal" };
        writeln!(out, "  event {kind} {}: {}", event.reason, event.message).unwrap();
    }
    if let Some(after) = plan.requeue_after {
        writeln!(out, "  again in {}s", after.as_secs()).unwrap();
    }
    alias(world, out)
}

fn counters(status: &JobStatus) -> String {
    let since = |at: &Option<_>| match time::opt(at) {
        Some(at) => format!("{}s", (at - DateTime::UNIX_EPOCH).num_seconds()),
        None => "-".into(),
    };
    format!(
        "active={} ready={} terminating={} succeeded={} failed={} start={} completion={}",
        status.active,
        status.ready.unwrap_or_default(),
        status.terminating.unwrap_or_default(),
        status.succeeded,
        status.failed,
        since(&status.start_time),
        since(&status.completion_time),
    )
}

fn pods(plan: &Plan) -> String {
    let mut out = String::new();
    for write in &plan.writes {
        match write.op() {
            Op::Create(object) => {
                let Some(api::proto::raftsman_v1::object::Object::Pod(pod)) = &object.object else { continue };
                writeln!(out, "  create {}", pod.name()).unwrap();
            }
            Op::Metadata(write) => writeln!(out, "  release {}", write.name).unwrap(),
            Op::Delete(delete) => writeln!(out, "  delete {}", delete.name).unwrap(),
            _ => {}
        }
    }
    out
}

/// Random names become p1, p2 and so on, in the order of their creation.
fn alias(world: &World, mut text: String) -> String {
    for (index, name) in world.created.iter().enumerate() {
        text = text.replace(name.as_str(), &format!("p{}", index + 1));
    }
    text
}

#[test]
fn a_pod_is_made_as_kubernetes_makes_it() {
    let world = World::new(JobSpec::default());
    let pod = crate::job::template::pod(&world.job, "pi-abcde".into());
    let meta = pod.meta();
    assert_eq!(
        (meta.name.as_str(), meta.generate_name.as_str(), meta.namespace.as_str()),
        ("pi-abcde", "pi-", "default")
    );
    assert_eq!(meta.finalizers, ["batch.kubernetes.io/job-tracking"]);
    let owner = &meta.owner_references[0];
    assert_eq!((owner.api_version.as_str(), owner.kind.as_str(), owner.name.as_str()), ("batch/v1", "Job", "pi"));
    assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), Some(true)));
    assert_eq!(PodView::of(pod).job_key().as_deref(), Some("default/pi"));
}
