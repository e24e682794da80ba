//! What runs containers. A runtime knows starts of containers, not Pods' rules: which start comes when is the worker's.

pub mod process;
pub mod shim_files;
pub mod simulated;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use proto::core_v1::Pod;

use crate::launch::Launch;
use crate::worker::life::{Exit, Run};

/// One start of one container, for ever: the same number never runs twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StartId {
    pub pod_uid: String,
    pub container: String,
    /// From 0, one more at each restart.
    pub number: u32,
}

/// The fence of a container (design D7).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deadline {
    /// How long the container may live without a renewal of the node's lease.
    pub after: Duration,
    /// The row of renewals in which its start was decided: it begins in no other.
    pub tenure: u64,
}

/// All that a runtime needs to start a container.
pub struct Start<'a> {
    pub id: &'a StartId,
    pub pod: &'a Pod,
    pub launch: &'a Launch,
    /// When the container ends by itself; `None`: never.
    pub deadline: Option<Deadline>,
    pub now: DateTime<Utc>,
}

/// Why a container could not be started, by the node's fault and not the container's.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: {problem}", path = path.display())]
    Shim { path: PathBuf, problem: String },
    #[error("{0:?} is no name of a folder")]
    Name(String),
}

#[async_trait::async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// As in container ids and the node's containerRuntimeVersion.
    fn name(&self) -> &'static str;

    /// Whether containers have commands, output and events of their own.
    fn is_simulated(&self) -> bool {
        false
    }

    /// Every start of the Pod's containers that was ever made here and is still on record, in order of their numbers.
    async fn recover(&self, pod: &Pod) -> Result<Vec<(StartId, Run)>, RuntimeError>;

    /// Makes a start. When this returns, the start is on record; unless it has ended already (a program that can't be run is
    /// an end, not an error), [`Runtime::wait`] gives its end. After an error nothing has run.
    async fn start(&self, start: Start<'_>) -> Result<Run, RuntimeError>;

    /// The end of a start; at once where it has ended already. Cancel-safe.
    async fn wait(&self, id: &StartId) -> Exit;

    /// Asks a start to end: SIGTERM, and SIGKILL after the grace. Returns at once; a start that has ended stays as it is.
    async fn stop(&self, id: &StartId, grace: Duration);

    /// Forgets a Pod that no longer exists, with its records and output.
    async fn remove(&self, pod_uid: &str) -> Result<(), RuntimeError>;

    /// The uids of all Pods on record.
    async fn recorded(&self) -> Result<Vec<String>, RuntimeError>;

    /// Where the output files of a start lie.
    fn output(&self, _id: &StartId) -> Option<PathBuf> {
        None
    }

    /// The number of the latest start of a container.
    async fn latest(&self, _pod_uid: &str, _container: &str) -> Option<u32> {
        None
    }
}
