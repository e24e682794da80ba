//! `raftsman node list|drain`

mod drain;
mod list;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes with their state
    List(list::ListArgs),
    /// Let no new Pods onto a node and end those that it has; their Jobs replace them elsewhere
    Drain(drain::DrainArgs),
}

pub async fn run(command: NodeCommand) -> Result<(), Failure> {
    match command {
        NodeCommand::List(args) => list::run(args).await,
        NodeCommand::Drain(args) => drain::run(args).await,
    }
}
