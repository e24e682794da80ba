//! `raftsman bench jobs`: how fast Jobs go from submission to Complete.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::meta::Object;
use clap::Args;
use client::ListOptions;
use client::watch::{Event, Watch, WatchOptions};
use futures::StreamExt;
use proto::batch_v1::{Job, JobSpec};
use proto::core_v1::{Container, PodSpec, PodTemplateSpec};
use proto::meta_v1::{DeleteOptions, ObjectMeta};

use super::memory;
use crate::command::connection::{Connection, Session};
use crate::command::job::progress::{Progress, State};
use crate::failure::Failure;

/// The label by which one run's Jobs are known.
const RUN_LABEL: &str = "raftsman.io/bench";
/// Jobs that are submitted side by side.
const SUBMITS_AT_ONCE: usize = 8;

#[derive(Debug, Args)]
pub struct JobsArgs {
    #[command(flatten)]
    connection: Connection,
    /// Pods in all
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(i32).range(1..))]
    pods: i32,
    /// Pods of one Job that are active at once
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..))]
    parallelism: i32,
    /// Jobs that the Pods are spread over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    jobs: i32,
    /// How Pods end on simulated nodes, as the annotation raftsman.io/simulate says it
    #[arg(long, default_value = "run=0ms,exit=0")]
    simulate: String,
    /// Leave the Jobs where they are
    #[arg(long)]
    keep: bool,
    /// Seconds after which it is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    limit: u64,
}

pub async fn run(args: JobsArgs) -> Result<(), Failure> {
    if args.pods < args.jobs {
        return Err(Failure::Usage("--pods is less than --jobs: each Job has at least one Pod".into()));
    }
    let session = args.connection.open()?;
    let run = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let options = WatchOptions {
        namespace: session.namespace.clone(),
        label_selector: format!("{RUN_LABEL}={run}"),
        ..Default::default()
    };
    let mut watch = session.client.watch::<Job>(options).await?;
    let begun = Instant::now();
    let submitting = submit(&session, &args, &run);
    let limit = Duration::from_secs(args.limit);
    let all = async { tokio::try_join!(submitting, finished(&mut watch, &args, begun)) };
    let ((), ends) = tokio::time::timeout(limit, all)
        .await
        .map_err(|_| Failure::Failed(format!("not all Jobs had finished after {} s", args.limit)))??;
    report(&session, &args, begun.elapsed(), ends);
    if !args.keep {
        remove(&session, &run).await?;
    }
    Ok(())
}

async fn submit(session: &Session, args: &JobsArgs, run: &str) -> Result<(), Failure> {
    let jobs = (0..args.jobs).map(|number| {
        let pods = args.pods / args.jobs + i32::from(number < args.pods % args.jobs);
        job(session, args, run, number, pods)
    });
    let mut created =
        futures::stream::iter(jobs).map(|job| session.client.create(job)).buffer_unordered(SUBMITS_AT_ONCE);
    while let Some(done) = created.next().await {
        done?;
    }
    Ok(())
}

fn job(session: &Session, args: &JobsArgs, run: &str, number: i32, pods: i32) -> Job {
    let container =
        Container { name: "main".into(), image: "bench".into(), command: vec!["true".into()], ..Default::default() };
    let annotations = BTreeMap::from([("raftsman.io/simulate".to_owned(), args.simulate.clone())]);
    Job {
        metadata: Some(ObjectMeta {
            name: format!("bench-{run}-{number}"),
            namespace: session.namespace.clone(),
            labels: BTreeMap::from([(RUN_LABEL.to_owned(), run.to_owned())]),
            ..Default::default()
        }),
        spec: Some(JobSpec {
            completions: Some(pods),
            parallelism: Some(args.parallelism.min(pods)),
            template: Some(PodTemplateSpec {
                metadata: Some(ObjectMeta { annotations, ..Default::default() }),
                spec: Some(PodSpec {
                    restart_policy: "Never".into(),
                    containers: vec![container],
                    ..Default::default()
                }),
            }),
            ..Default::default()
        }),
        status: None,
    }
}

/// Waits until all Jobs have ended; when each of them did, after the start.
async fn finished(watch: &mut Watch<Job>, args: &JobsArgs, begun: Instant) -> Result<Vec<Duration>, Failure> {
    let mut ends: BTreeMap<String, Duration> = BTreeMap::new();
    while let Some(batch) = watch.next().await? {
        for event in batch.events {
            let (Event::Added(job) | Event::Modified(job)) = event else { continue };
            let progress = Progress::of(&job);
            match progress.state {
                State::Complete => {
                    ends.entry(job.name().to_owned()).or_insert_with(|| begun.elapsed());
                }
                State::Failed => return Err(Failure::Failed(format!("{} failed: {}", job.name(), progress.message))),
                _ => {}
            }
        }
        if ends.len() == usize::try_from(args.jobs).unwrap_or(usize::MAX) {
            return Ok(ends.into_values().collect());
        }
    }
    Err(Failure::Unreachable("the server ended the watch".into()))
}

fn report(session: &Session, args: &JobsArgs, took: Duration, mut ends: Vec<Duration>) {
    ends.sort();
    let seconds = took.as_secs_f64();
    println!(
        "{} Pods of {} Jobs (parallelism {}) in {seconds:.1} s: {:.0} Pods/s, {:.1} Jobs/s",
        args.pods,
        args.jobs,
        args.parallelism,
        f64::from(args.pods) / seconds,
        f64::from(args.jobs) / seconds
    );
    if let (Some(middle), Some(last)) = (ends.get(ends.len() / 2), ends.last()) {
        println!("Job Complete after the start: p50 {:.1} s, last {:.1} s", middle.as_secs_f64(), last.as_secs_f64());
    }
    match memory::peak_of_server(&session.client.server().url) {
        Some(bytes) => println!("peak memory of the server process (VmHWM): {:.0} MB", bytes as f64 / 1e6),
        None => println!("peak memory of the server process: unknown, it runs on another machine"),
    }
}

/// Deletes the run's Jobs; their Pods go with them.
async fn remove(session: &Session, run: &str) -> Result<(), Failure> {
    let options = ListOptions {
        namespace: session.namespace.clone(),
        label_selector: format!("{RUN_LABEL}={run}"),
        ..Default::default()
    };
    let jobs = session.client.list::<Job>(options).await?.items;
    let deletions = jobs.iter().map(|job| {
        let how = DeleteOptions { propagation_policy: Some("Background".to_owned()), ..Default::default() };
        session.client.delete::<Job>(job.namespace(), job.name(), how)
    });
    let mut deleted = futures::stream::iter(deletions).buffer_unordered(SUBMITS_AT_ONCE);
    while let Some(done) = deleted.next().await {
        match done {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
