//! The agent's side of the files in a start's directory; `crates/shim/src/record.rs` has the protocol.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Deadline;
use crate::launch::Launch;
use crate::worker::life::Exit;

/// The record `start`.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    pub pid: i32,
    pub pid_start: u64,
    pub shim_pid: i32,
    pub shim_start: u64,
    pub boot_id: String,
    pub started_at: DateTime<Utc>,
}

/// The lease that a shim watches, and when it ends its container.
pub struct Fence<'a> {
    pub lease: &'a Path,
    pub deadline: Deadline,
}

/// The bytes of `spec`. Errors name the value that holds a NUL byte, which no program can be given.
pub fn spec(launch: &Launch, fence: Option<&Fence>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut field = |key: &str, value: &[u8]| {
        if value.contains(&0) {
            return Err(format!("{key} holds a NUL byte"));
        }
        for part in [key.as_bytes(), b"=", value, b"\0"] {
            bytes.extend_from_slice(part);
        }
        Ok(())
    };
    for arg in &launch.args {
        field("arg", arg.as_bytes())?;
    }
    for (name, value) in &launch.env {
        field("env", format!("{name}={value}").as_bytes())?;
    }
    field("cwd", launch.cwd.as_bytes())?;
    if let Some(root) = &launch.root {
        field("root", root.as_os_str().as_encoded_bytes())?;
    }
    let numbers = [("uid", launch.user.uid), ("gid", launch.user.gid)];
    let groups = launch.user.groups.iter().map(|group| ("group", Some(*group)));
    for (key, value) in numbers.into_iter().chain(groups) {
        if let Some(value) = value {
            field(key, value.to_string().as_bytes())?;
        }
    }
    if let Some(fence) = fence {
        field("lease", fence.lease.as_os_str().as_encoded_bytes())?;
        // Who tolerates more milliseconds than the field holds is not ended by it either way.
        let after_ms = u64::try_from(fence.deadline.after.as_millis()).unwrap_or(u64::MAX);
        field("fence_after_ms", after_ms.to_string().as_bytes())?;
        field("tenure", fence.deadline.tenure.to_string().as_bytes())?;
    }
    Ok(bytes)
}

/// Reads `start`; `None`: nothing was started.
pub fn read_started(dir: &Path) -> io::Result<Option<Started>> {
    let Some(fields) = read(dir, "start")? else { return Ok(None) };
    let started = || {
        Some(Started {
            pid: fields.get("pid")?.parse().ok()?,
            pid_start: fields.get("pid_start")?.parse().ok()?,
            shim_pid: fields.get("shim_pid")?.parse().ok()?,
            shim_start: fields.get("shim_start")?.parse().ok()?,
            boot_id: fields.get("boot_id")?.clone(),
            started_at: time(fields.get("started_ns")?)?,
        })
    };
    started().map(Some).ok_or_else(|| damaged("start"))
}

/// Reads `exit`; `None`: it has not ended, or its shim was killed.
pub fn read_exit(dir: &Path) -> io::Result<Option<Exit>> {
    let Some(fields) = read(dir, "exit")? else { return Ok(None) };
    let exit = || {
        Some(Exit {
            code: fields.get("code")?.parse().ok()?,
            signal: fields.get("signal")?.parse().ok()?,
            reason: fields.get("reason")?.clone(),
            message: fields.get("message")?.replace("\\n", "\n").replace("\\\\", "\\"),
            started_at: time(fields.get("started_ns")?)?,
            finished_at: time(fields.get("finished_ns")?)?,
        })
    };
    exit().map(Some).ok_or_else(|| damaged("exit"))
}

fn damaged(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the record {name} is damaged"))
}

fn time(nanos: &str) -> Option<DateTime<Utc>> {
    nanos.parse().ok().map(DateTime::from_timestamp_nanos)
}

fn read(dir: &Path, name: &str) -> io::Result<Option<BTreeMap<String, String>>> {
    match fs::read_to_string(dir.join(name)) {
        Ok(text) => Ok(Some(
            text.lines()
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file so that it is there whole or not at all, also after a power loss.
pub fn write_durably(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = dir.join(format!("{name}.new"));
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(name))?;
    File::open(dir)?.sync_all()
}

/// Takes the lock that says "a shim lives here"; `None`: one does.
pub fn try_lock(dir: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    // SAFETY: no pointers.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(Some(file));
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        error => Err(error),
    }
}

/// Tells the shim to stop its container; a shim that is gone has nothing to stop.
pub fn send_stop(dir: &Path, grace: Duration) -> io::Result<()> {
    let opened = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(dir.join("control"));
    match opened {
        Ok(mut control) => control.write_all(format!("stop {}\n", grace.as_millis()).as_bytes()),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
        Err(error) => Err(error),
    }
}

/// When a process started, in clock ticks since boot; `None`: there is none of that pid.
pub fn process_start(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].split_ascii_whitespace().nth(19)?.parse().ok()
}

/// This boot of the machine.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Kills the container's process group without its shim, which was killed or does not run: unless that number is another's by
/// now.
pub fn kill_abandoned(started: &Started) {
    let same_boot = boot_id().is_ok_and(|boot| boot == started.boot_id);
    let is_another = process_start(started.pid).is_some_and(|start| start != started.pid_start);
    if same_boot && !is_another {
        // SAFETY: no pointers; the group is the container's own.
        unsafe { libc::kill(-started.pid, libc::SIGKILL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_written_field_by_field() {
        let launch = Launch {
            args: vec!["sh".into(), "-c".into(), "a=b\nc".into()],
            env: vec![("A".into(), "1=2".into())],
            cwd: "/".into(),
            ..Launch::default()
        };
        let deadline = Deadline { after: Duration::from_secs(300), tenure: 7 };
        let fence = Fence { lease: Path::new("/l"), deadline };
        let bytes = spec(&launch, Some(&fence)).unwrap();
        assert_eq!(bytes, b"arg=sh\0arg=-c\0arg=a=b\nc\0env=A=1=2\0cwd=/\0lease=/l\0fence_after_ms=300000\0tenure=7\0");
        let deadline = Deadline { after: Duration::from_secs(i64::MAX as u64), tenure: 7 };
        let bytes = spec(&launch, Some(&Fence { lease: Path::new("/l"), deadline })).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(&format!("fence_after_ms={}\0", u64::MAX)), "the shim reads 64 bits: {text}");
        let error = spec(&Launch { args: vec!["a\0b".into()], ..launch }, None).unwrap_err();
        assert_eq!(error, "arg holds a NUL byte");
    }
}
