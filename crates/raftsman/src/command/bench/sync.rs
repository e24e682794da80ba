//! Proof that a store really syncs: a put benchmark of a store that doesn't is void.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::Pid;
use tokio::process::Command;

use super::rival::Rival;
use super::tool::Tool;
use crate::failure::Failure;

/// Puts that are counted, one after the other.
const PUTS: &str = "200";
/// Time that strace takes to attach to every thread.
const ATTACH: Duration = Duration::from_secs(2);

/// Refuses a folder in memory, where syncing costs nothing.
pub fn refuse_memory(folder: &Path) -> Result<(), Failure> {
    let system = statfs(folder).map_err(|error| Failure::Failed(format!("{}: {error}", folder.display())))?;
    match system.filesystem_type() == TMPFS_MAGIC {
        true => Err(Failure::Usage(format!(
            "{} lies in memory (tmpfs), where a sync costs nothing; name a folder on a disk with --dir",
            folder.display()
        ))),
        false => Ok(()),
    }
}

/// Counts the sync calls of the leader during 200 puts of one client; refuses a store that makes fewer than puts.
pub async fn prove(rival: &mut Rival, tool: &Tool) -> Result<u64, Failure> {
    let leader = rival.leader().await?;
    let pid = rival.pid(leader).ok_or_else(|| Failure::failed("the leader has ended"))?;
    let strace = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-p", &pid.to_string()])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::Failed(format!("strace: {error}; it proves the syncs: apt-get install strace")))?;
    tokio::time::sleep(ATTACH).await;
    tool.run(rival, &["put", "--total", PUTS, "--key-size", "8", "--val-size", "256"]).await?;
    if let Some(id) = strace.id() {
        kill(Pid::from_raw(id.cast_signed()), Signal::SIGINT).map_err(Failure::failed)?;
    }
    let output = strace.wait_with_output().await.map_err(Failure::failed)?;
    let calls = calls(&String::from_utf8_lossy(&output.stderr));
    match calls >= PUTS.parse().unwrap_or(u64::MAX) {
        true => Ok(calls),
        false => Err(Failure::Failed(format!("{:?} made {calls} sync calls for {PUTS} puts: void", rival.kind))),
    }
}

/// Calls in all, of strace's table `% time, seconds, usecs/call, calls, errors, syscall`.
fn calls(table: &str) -> u64 {
    let rows = table.lines().filter(|line| line.ends_with("sync"));
    rows.filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted() {
        let table = "strace: Process 7 attached\n% time     seconds  usecs/call     calls    errors syscall\n------ ----\n \
                     99.99    0.196418         964       203           fdatasync\n  0.01    0.000010          10         1         1 fsync\n\
                     100.00    0.196428                   204         1 total\n";
        assert_eq!(calls(table), 204);
    }
}
