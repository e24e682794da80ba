//! `raftsman version`: of this program, and of the server where one is reached.

use std::time::Duration;

use clap::Args;
use client::version::ServerVersion;

use super::connection::Connection;
use crate::failure::Failure;

/// The Kubernetes minor version that the API follows.
pub const KUBERNETES_VERSION: &str = "v1.36.0";

/// `v1.36.0+raftsman.0.1.0`: what `/version` answers as gitVersion.
pub fn git_version() -> String {
    format!("{KUBERNETES_VERSION}+raftsman.{}", env!("CARGO_PKG_VERSION"))
}

/// How long a server may take to say its version.
const ASK_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// This program's version goes to stdout in any case; that no server is reached is no failure.
pub async fn run(args: VersionArgs) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let server = server(&args.connection).await;
    if args.json {
        let mut known =
            serde_json::json!({"version": version, "kubernetes": KUBERNETES_VERSION, "gitVersion": git_version()});
        if let Ok(Some((server, url))) = &server {
            known["server"] = serde_json::json!({"gitVersion": server.git_version, "url": url});
        }
        println!("{known}");
    } else {
        println!("raftsman {version} (Kubernetes API {KUBERNETES_VERSION})");
        if let Ok(Some((server, url))) = &server {
            println!("server {} at {url}", server.git_version);
        }
    }
    if let Err(why) = server {
        eprintln!("raftsman: the server's version is not known: {why}");
    }
    Ok(())
}

/// None where no cluster is known at all.
async fn server(connection: &Connection) -> Result<Option<(ServerVersion, String)>, String> {
    let session = match connection.open() {
        Ok(session) => session,
        Err(Failure::Unreachable(_)) => return Ok(None),
        Err(failure) => return Err(failure.to_string()),
    };
    match tokio::time::timeout(ASK_MAX, session.client.version()).await {
        Ok(answer) => answer.map(Some).map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {ASK_MAX:?}")),
    }
}
