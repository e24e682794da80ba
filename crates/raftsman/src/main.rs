//! `raftsman`: the one binary. Its daemons are the boxes of a cluster; its commands are for people.
//!
//! This crate parses, layers configuration, makes credentials and wires the boxes together; what
//! they do is theirs. Data goes to stdout, everything else to stderr.

mod cli;
mod command;
mod daemon;
mod failure;
mod logs;
mod pki;
mod settings;
mod shutdown;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match settings::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(failure) => return failure.exit(),
    };
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}
