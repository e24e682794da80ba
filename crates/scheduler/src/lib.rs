//! The scheduler: gives each waiting Pod a node.
//!
//! ```text
//!  Pods, Nodes --watch--> cluster (nodes and what is placed on them)   \
//!                         pending (who waits, in lines of equal Pods)  /--> decide::pass --> act: one Commit of many
//!                             ^                                                                  binds, then events
//!                             +---------------- binds that failed --------------------------------------+
//! ```
//!
//! `cluster` and `pending` are kept up to date change by change, and a placement counts from the moment it is decided:
//! a pass never waits for the one before. Only the holder of the claim `scheduler` decides, and its writes are fenced
//! by it (design D4). What a Pod asks for and what a node offers is compared in `filter`; `score` picks among the nodes
//! that fit.

pub mod act;
pub mod affinity;
pub mod class;
pub mod cluster;
pub mod decide;
pub mod diagnosis;
pub mod filter;
mod metrics;
pub mod node;
pub mod pending;
pub mod pod;
pub mod resources;
pub mod score;
mod service;

use client::{Client, SharedRegistry};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// The claim that the active scheduler holds.
pub const CLAIM: &str = "scheduler";

/// What a scheduler needs.
pub struct Config {
    pub client: Client,
    /// Who we are, for people: `hostname` or a member's name.
    pub holder: String,
    /// While true, the claim is taken from whoever holds it (design D4).
    pub prefer: watch::Receiver<bool>,
    /// Where metrics are kept.
    pub metrics: SharedRegistry,
    /// Told when all that is needed is known here; leading or standing by.
    pub ready: Option<oneshot::Sender<()>>,
}

/// Schedules until `shutdown`, then gives the claim up.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) {
    let stop = CancellationToken::new();
    let service = service::Service::start(config, stop.clone());
    tokio::spawn(async move {
        shutdown.await;
        stop.cancel();
    });
    service.run().await;
}

#[cfg(test)]
mod pass_tests;
