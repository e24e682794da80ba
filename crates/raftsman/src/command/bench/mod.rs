//! `raftsman bench`

use clap::Subcommand;

use crate::failure::Failure;

pub mod jobs;
pub mod memory;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Run Jobs of many Pods and print Pods per second and the server's peak memory
    Jobs(jobs::JobsArgs),
}

pub async fn run(command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Jobs(args) => jobs::run(args).await,
    }
}
