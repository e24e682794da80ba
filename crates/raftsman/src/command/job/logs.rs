//! `raftsman job logs`: the output of a Job's Pods, oldest Pod first.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use api::meta::Object;
use bytes::Bytes;
use clap::Args;
use client::{Client, ListOptions};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use proto::batch_v1::Job;
use proto::core_v1::Pod;
use proto::raftsman_v1::OutputRequest;

use super::Target;
use super::progress::Progress;
use crate::command::connection::Session;
use crate::failure::Failure;

/// How often `--follow` looks for new Pods.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    target: Target,
    /// Go on until the Job has ended
    #[arg(short, long)]
    follow: bool,
    /// Only the container of this name
    #[arg(short, long, default_value = "")]
    container: String,
    /// Only the last lines of each Pod
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    /// Begin each line with its time
    #[arg(long)]
    timestamps: bool,
    /// Begin each line with its Pod's name [default: when the Job has more than one Pod]
    #[arg(long)]
    prefix: bool,
}

pub async fn run(args: LogsArgs) -> Result<(), Failure> {
    let session = args.target.connection.open()?;
    let job: Job = session.client.get(&session.namespace, &args.target.name).await?;
    match args.follow {
        true => follow(&session, &args, &job).await,
        false => print_all(&session, &args).await,
    }
}

async fn print_all(session: &Session, args: &LogsArgs) -> Result<(), Failure> {
    let pods = pods(session, args).await?;
    if pods.is_empty() {
        eprintln!("The Job {} has no Pods.", args.target.name);
    }
    let prefix = args.prefix || pods.len() > 1;
    for pod in &pods {
        for request in requests(pod, args) {
            let mut printer = Printer::new(pod.name(), prefix);
            read(&session.client, request, &mut printer).await?;
        }
    }
    Ok(())
}

/// Follows every Pod that the Job has or gets, side by side, until the Job has finished and all have been read.
async fn follow(session: &Session, args: &LogsArgs, job: &Job) -> Result<(), Failure> {
    let prefix = args.prefix || Progress::of(job).wanted > 1;
    let mut followed = BTreeSet::new();
    let mut reading = FuturesUnordered::new();
    loop {
        // The order matters: a Pod that is listed after its Job has finished cannot be missed.
        let job: Job = session.client.get(&session.namespace, &args.target.name).await?;
        for pod in pods(session, args).await? {
            if phase(&pod) == "Pending" || !followed.insert(pod.uid().to_owned()) {
                continue;
            }
            for request in requests(&pod, args) {
                let mut printer = Printer::new(pod.name(), prefix);
                let client = session.client.clone();
                reading.push(async move { read(&client, request, &mut printer).await });
            }
        }
        if reading.is_empty() && Progress::of(&job).is_finished() {
            return Ok(());
        }
        tokio::select! {
            Some(ended) = reading.next() => ended?,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// The Job's Pods, oldest first.
async fn pods(session: &Session, args: &LogsArgs) -> Result<Vec<Pod>, Failure> {
    let options = ListOptions {
        namespace: session.namespace.clone(),
        label_selector: format!("batch.kubernetes.io/job-name={}", args.target.name),
        ..Default::default()
    };
    let mut pods = session.client.list::<Pod>(options).await?.items;
    pods.sort_by_key(|pod| (pod.created_at(), pod.name().to_owned()));
    Ok(pods)
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().map_or("Pending", |status| status.phase.as_str())
}

/// One request for each container whose output is wanted.
fn requests(pod: &Pod, args: &LogsArgs) -> Vec<OutputRequest> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .filter(|container| args.container.is_empty() || container.name == args.container)
        .map(|container| OutputRequest {
            namespace: pod.namespace().to_owned(),
            pod: pod.name().to_owned(),
            container: container.name.clone(),
            follow: args.follow,
            timestamps: args.timestamps,
            tail_lines: args.tail.map(i64::from),
            ..Default::default()
        })
        .collect()
}

async fn read(client: &Client, request: OutputRequest, printer: &mut Printer) -> Result<(), Failure> {
    let mut output = client.read_output(request).await?;
    while let Some(bytes) = output.next().await? {
        printer.print(&bytes)?;
    }
    printer.end()
}

/// Writes output to stdout, whole lines at a time where several Pods share it.
struct Printer {
    prefix: Option<String>,
    /// A line that has begun and not ended.
    line: Vec<u8>,
}

impl Printer {
    fn new(pod: &str, prefix: bool) -> Printer {
        Printer { prefix: prefix.then(|| format!("[{pod}] ")), line: Vec::new() }
    }

    fn print(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        let Some(prefix) = &self.prefix else {
            return write(bytes);
        };
        let mut text = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                text.extend_from_slice(prefix.as_bytes());
                text.append(&mut self.line);
            }
        }
        write(&text)
    }

    /// Ends a last line that had no end.
    fn end(&mut self) -> Result<(), Failure> {
        match self.line.is_empty() {
            true => Ok(()),
            false => self.print(&Bytes::from_static(b"\n")),
        }
    }
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // `raftsman job logs x | head` has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::Failed(String::new())),
        done => done.map_err(Failure::failed),
    }
}
