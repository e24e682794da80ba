//! The command line: nouns with verbs for people, one word for each daemon.

use clap::{Parser, Subcommand};

use crate::command::{bench, cron, job, member, node, pki, snapshot, token, version};
use crate::daemon;
use crate::failure::Failure;

/// Jobs and CronJobs on a control plane of your own: the Kubernetes API without Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "raftsman", version, max_term_width = 100)]
#[command(after_help = "Start with `raftsman dev`, then `raftsman job submit FILE` in another terminal.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    // === Daemons ===
    /// Run a whole cluster on this machine: one member and one agent
    Dev(Box<daemon::dev::DevArgs>),
    /// Run a control-plane member: store, API server, controllers and scheduler
    Server(Box<daemon::server::ServerArgs>),
    /// Run the store alone
    Store(Box<daemon::store::StoreArgs>),
    /// Run an API server alone, on a store or on an etcd cluster
    Apiserver(Box<daemon::apiserver::ApiserverArgs>),
    /// Run the controllers alone
    Controllers(daemon::controllers::ControllersArgs),
    /// Run the scheduler alone
    Scheduler(daemon::scheduler::SchedulerArgs),
    /// Run a node: it pulls its Pods and runs them
    Agent(Box<daemon::agent::AgentArgs>),

    // === For people ===
    /// Submit, list, watch and steer Jobs
    #[command(subcommand)]
    Job(job::JobCommand),
    /// List CronJobs
    #[command(subcommand)]
    Cron(cron::CronCommand),
    /// List and drain nodes
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// List, add, promote and remove the members of a store; hand leadership over
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Save, check and restore what a store holds
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Make the certificates of a cluster
    #[command(subcommand)]
    Pki(pki::PkiCommand),
    /// Make, list and revoke bearer tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Measure
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Print the version of this program, and of the server where one is reached
    Version(version::VersionArgs),
}

/// Carries out one command line.
pub fn run(cli: Cli) -> Result<(), Failure> {
    // Every TLS connection of this process uses ring, whoever else brought another provider.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err(Failure::failed("a TLS provider was installed twice"));
    }
    match cli.command {
        Command::Dev(args) => daemon::run(&args.common.clone(), daemon::dev::run(*args)),
        Command::Server(args) => daemon::run(&args.common.clone(), daemon::server::run(*args)),
        Command::Store(args) => daemon::run(&args.common.clone(), daemon::store::run(*args)),
        Command::Apiserver(args) => daemon::run(&args.common.clone(), daemon::apiserver::run(*args)),
        Command::Controllers(args) => daemon::run(&args.common.clone(), daemon::controllers::run(args)),
        Command::Scheduler(args) => daemon::run(&args.common.clone(), daemon::scheduler::run(args)),
        Command::Agent(args) => daemon::run(&args.common.clone(), daemon::agent::run(*args)),
        Command::Job(command) => person(job::run(command)),
        Command::Cron(command) => person(cron::run(command)),
        Command::Node(command) => person(node::run(command)),
        Command::Member(command) => person(member::run(command)),
        Command::Snapshot(command) => person(snapshot::run(command)),
        Command::Bench(command) => person(bench::run(command)),
        Command::Version(args) => person(version::run(args)),
        Command::Pki(command) => pki::run(command),
        Command::Token(command) => token::run(command),
    }
}

/// Runs a command for people: one thread is enough, and it starts faster.
fn person(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?.block_on(command)
}
