//! `raftsman bench`

use clap::Subcommand;

use crate::failure::Failure;

mod growth;
pub mod jobs;
pub mod memory;
mod rival;
mod store;
mod sync;
mod tool;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Run Jobs of many Pods and print Pods per second and the server's peak memory
    Jobs(jobs::JobsArgs),
    /// Run etcd's own benchmark against etcd and against our store, three members each, and print the ratios
    Store(store::StoreArgs),
    /// The same for the latency of watches
    Watch(store::WatchArgs),
}

pub async fn run(command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Jobs(args) => jobs::run(args).await,
        BenchCommand::Store(args) => store::run(args).await,
        BenchCommand::Watch(args) => store::run_watch(args).await,
    }
}
