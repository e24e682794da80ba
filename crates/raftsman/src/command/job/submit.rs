//! `raftsman job submit`

use std::path::PathBuf;

use clap::Args;

use super::manifest::{self, Manifest};
use crate::command::connection::{Connection, Session};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct SubmitArgs {
    #[command(flatten)]
    connection: Connection,
    /// Manifest files, YAML or JSON; `-` is stdin
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    files: Vec<PathBuf>,
    /// The same, as kubectl writes it
    #[arg(short = 'f', long, value_name = "FILE")]
    filename: Vec<PathBuf>,
}

pub async fn run(args: SubmitArgs) -> Result<(), Failure> {
    let mut manifests = Vec::new();
    // All files are read before the first is submitted: a typing error submits nothing.
    for path in args.files.iter().chain(&args.filename) {
        manifests.extend(manifest::read(path)?);
    }
    let session = args.connection.open()?;
    for manifest in manifests {
        match manifest {
            Manifest::Job(job) => submit(&session, *job, "job.batch").await?,
            Manifest::CronJob(cron) => submit(&session, *cron, "cronjob.batch").await?,
        }
    }
    Ok(())
}

async fn submit<K: client::Resource>(session: &Session, mut object: K, shown: &str) -> Result<(), Failure> {
    let metadata = object.metadata_mut();
    if metadata.namespace.is_empty() {
        metadata.namespace = session.namespace.clone();
    }
    let created = session.client.create(object).await?;
    let name = created.metadata().map(|meta| meta.name.as_str());
    println!("{shown}/{} created", name.unwrap_or_default());
    Ok(())
}
