//! `raftsman version`

use clap::Args;

use crate::failure::Failure;

/// The Kubernetes minor version that the API follows.
pub const KUBERNETES_VERSION: &str = "v1.36.0";

/// `v1.36.0+raftsman.0.1.0`: what `/version` answers as gitVersion.
pub fn git_version() -> String {
    format!("{KUBERNETES_VERSION}+raftsman.{}", env!("CARGO_PKG_VERSION"))
}

#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[allow(clippy::unused_async, reason = "all commands for people have one form")]
pub async fn run(args: VersionArgs) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match args.json {
        true => println!(
            "{}",
            serde_json::json!({"version": version, "kubernetes": KUBERNETES_VERSION, "gitVersion": git_version()})
        ),
        false => println!("raftsman {version} (Kubernetes API {KUBERNETES_VERSION})"),
    }
    Ok(())
}
