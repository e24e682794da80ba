//! Daemons: each file is one command's flags and how it wires boxes together.
//!
//! ```text
//!   dev = member + agent          server = member
//!   member = store -> apiserver -> controllers, scheduler     (stopped in the reverse order)
//! ```
//!
//! A box never knows which command started it: it gets a config, its listener and a signal to stop.

use std::future::Future;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::logs::{self, LogFormat};

pub mod agent;
pub mod apiserver;
pub mod boxes;
pub mod controllers;
pub mod dev;
pub mod group;
mod listen;
pub mod member;
pub mod metrics;
pub mod place;
mod process;
pub mod ready;
pub mod scheduler;
pub mod server;
pub mod store;

/// Flags of every daemon.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// A TOML file with settings; flags and RAFTSMAN_* variables win over it
    #[arg(long, value_name = "FILE", env = "RAFTSMAN_CONFIG")]
    config: Option<PathBuf>,
    /// What a log line on stderr looks like; RUST_LOG filters them
    #[arg(long, value_enum, default_value = "text", env = "RAFTSMAN_LOG_FORMAT")]
    log_format: LogFormat,
}

/// Runs a daemon to its end.
pub fn run(common: &Common, daemon: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    logs::start(common.log_format);
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)?.block_on(daemon)
}
