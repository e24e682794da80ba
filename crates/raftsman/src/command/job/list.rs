//! `raftsman job list`

use api::duration;
use api::time;
use chrono::Utc;
use client::ListOptions;
use proto::batch_v1::Job;

use super::ListArgs;
use super::progress::{self, Progress};
use crate::command::print::{self, Format, Table};
use crate::failure::Failure;

pub async fn run(args: ListArgs) -> Result<(), Failure> {
    let session = args.connection.open()?;
    let mut jobs = match &args.name {
        Some(name) => vec![session.client.get::<Job>(&session.namespace, name).await?],
        None => {
            let namespace = match args.all_namespaces {
                true => String::new(),
                false => session.namespace.clone(),
            };
            let options = ListOptions { namespace, label_selector: args.selector, ..Default::default() };
            session.client.list::<Job>(options).await?.items
        }
    };
    jobs.sort_by(|a, b| key(a).cmp(&key(b)));
    match args.output.output {
        Format::Json | Format::Yaml => print::list(&jobs, args.output.output)?,
        Format::Name => jobs.iter().for_each(|job| println!("job.batch/{}", key(job).1)),
        Format::Table | Format::Wide if jobs.is_empty() => eprintln!("No Jobs found."),
        format => print!("{}", table(&jobs, args.all_namespaces, format == Format::Wide)),
    }
    Ok(())
}

fn key(job: &Job) -> (&str, &str) {
    let metadata = job.metadata.as_ref();
    metadata.map_or(("", ""), |meta| (meta.namespace.as_str(), meta.name.as_str()))
}

fn table(jobs: &[Job], namespaces: bool, wide: bool) -> String {
    let now = Utc::now();
    let mut header = vec!["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"];
    if namespaces {
        header.insert(0, "NAMESPACE");
    }
    if wide {
        header.extend(["RUNNING", "FAILED", "MESSAGE"]);
    }
    let mut table = Table::new(&header);
    for job in jobs {
        let progress = Progress::of(job);
        let created = job.metadata.as_ref().and_then(|meta| time::opt(&meta.creation_timestamp));
        let (namespace, name) = key(job);
        let mut row = vec![
            name.to_owned(),
            progress.state.word().to_owned(),
            progress.completions,
            progress::duration(job, now).map_or_else(String::new, duration::human),
            created.map_or_else(|| "<unknown>".to_owned(), |at| duration::human(now - at)),
        ];
        if namespaces {
            row.insert(0, namespace.to_owned());
        }
        if wide {
            row.extend([progress.running.to_string(), progress.failed.to_string(), progress.message]);
        }
        table.row(row);
    }
    table.render()
}
