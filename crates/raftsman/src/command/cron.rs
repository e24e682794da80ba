//! `raftsman cron list`

use api::duration;
use api::time;
use chrono::Utc;
use clap::{Args, Subcommand};
use client::ListOptions;
use proto::batch_v1::CronJob;

use super::connection::Connection;
use super::print::{self, Format, Output, Table};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum CronCommand {
    /// List the CronJobs with their schedules
    List(ListArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

pub async fn run(command: CronCommand) -> Result<(), Failure> {
    let CronCommand::List(args) = command;
    let session = args.connection.open()?;
    let namespace = match args.all_namespaces {
        true => String::new(),
        false => session.namespace.clone(),
    };
    let options = ListOptions { namespace, ..Default::default() };
    let crons = session.client.list::<CronJob>(options).await?.items;
    match args.output.output {
        Format::Json | Format::Yaml => print::list(&crons, args.output.output)?,
        Format::Name => crons.iter().for_each(|cron| println!("cronjob.batch/{}", key(cron).1)),
        Format::Table | Format::Wide if crons.is_empty() => eprintln!("No CronJobs found."),
        format => print!("{}", table(&crons, args.all_namespaces, format == Format::Wide)),
    }
    Ok(())
}

fn key(cron: &CronJob) -> (&str, &str) {
    let metadata = cron.metadata.as_ref();
    metadata.map_or(("", ""), |meta| (meta.namespace.as_str(), meta.name.as_str()))
}

fn table(crons: &[CronJob], namespaces: bool, wide: bool) -> String {
    let now = Utc::now();
    let mut header = vec!["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST SCHEDULE", "AGE"];
    if namespaces {
        header.insert(0, "NAMESPACE");
    }
    if wide {
        header.extend(["CONCURRENCY", "LAST SUCCESS"]);
    }
    let mut table = Table::new(&header);
    for cron in crons {
        let spec = cron.spec.clone().unwrap_or_default();
        let status = cron.status.clone().unwrap_or_default();
        let since = |at: Option<time::Instant>| at.map_or_else(|| "<none>".to_owned(), |at| duration::human(now - at));
        let (namespace, name) = key(cron);
        let mut row = vec![
            name.to_owned(),
            spec.schedule,
            spec.time_zone.unwrap_or_else(|| "<none>".to_owned()),
            if spec.suspend.unwrap_or(false) { "True" } else { "False" }.to_owned(),
            status.active.len().to_string(),
            since(time::opt(&status.last_schedule_time)),
            since(cron.metadata.as_ref().and_then(|meta| time::opt(&meta.creation_timestamp))),
        ];
        if namespaces {
            row.insert(0, namespace.to_owned());
        }
        if wide {
            row.extend([spec.concurrency_policy, since(time::opt(&status.last_successful_time))]);
        }
        table.row(row);
    }
    table.render()
}
