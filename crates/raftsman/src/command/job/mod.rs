//! `raftsman job`: one file a verb.

use clap::{Args, Subcommand};

use super::connection::Connection;
use super::print::Output;
use crate::failure::Failure;

pub mod list;
pub mod logs;
pub mod manifest;
pub mod progress;
pub mod steer;
pub mod submit;
pub mod watch;

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Submit the Jobs and CronJobs of manifest files
    Submit(submit::SubmitArgs),
    /// List Jobs with their progress
    List(ListArgs),
    /// Show a Job's progress until it ends; exit code 1 if it failed
    Watch(watch::WatchArgs),
    /// Print the output of a Job's Pods
    Logs(logs::LogsArgs),
    /// Delete a Job and its Pods
    Cancel(Target),
    /// Stop a Job's Pods until it is resumed
    Suspend(Target),
    /// Let a suspended Job go on
    Resume(Target),
}

/// One Job.
#[derive(Clone, Debug, Args)]
pub struct Target {
    #[command(flatten)]
    pub connection: Connection,
    /// The Job's name
    pub name: String,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output: Output,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only Jobs whose labels match, such as app=web,tier!=test
    #[arg(short = 'l', long, default_value = "")]
    pub selector: String,
    /// Only the Job of this name
    pub name: Option<String>,
}

pub async fn run(command: JobCommand) -> Result<(), Failure> {
    match command {
        JobCommand::Submit(args) => submit::run(args).await,
        JobCommand::List(args) => list::run(args).await,
        JobCommand::Watch(args) => watch::run(args).await,
        JobCommand::Logs(args) => logs::run(args).await,
        JobCommand::Cancel(target) => steer::cancel(target).await,
        JobCommand::Suspend(target) => steer::suspend(target, true).await,
        JobCommand::Resume(target) => steer::suspend(target, false).await,
    }
}
