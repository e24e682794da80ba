//! The files by which shim and agent know each other, in the directory of one container start:
//!
//! | file | written by | when |
//! |---|---|---|
//! | `lock` | agent | locked before the shim exists; the shim inherits the lock and holds it while it lives |
//! | `spec` | agent | before the shim is started |
//! | `control` | shim | a FIFO, before `start`; takes lines `stop MILLISECONDS` |
//! | `start` | shim | durable before the container's program runs |
//! | `output.N` | shim | lines in CRI format; N grows by one at each rotation |
//! | `exit` | shim | durable, last of all, when no process of the container is left |
//!
//! So with the lock free: no `start` means that nothing ever ran; `start` without `exit` means that the
//! shim was killed and the container with it. Records are lines `key=value`; a line break in a value is `\n`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What the shim knows at its container's start.
pub struct Start {
    pub pid: i32,
    pub pid_start: u64,
    pub shim_pid: i32,
    pub shim_start: u64,
    pub boot_id: String,
    pub started_ns: i128,
}

impl Start {
    pub fn text(&self) -> String {
        format!(
            "pid={}\npid_start={}\nshim_pid={}\nshim_start={}\nboot_id={}\nstarted_ns={}\n",
            self.pid, self.pid_start, self.shim_pid, self.shim_start, self.boot_id, self.started_ns
        )
    }
}

/// How the container ended.
pub struct Exit {
    /// As a container runtime gives it: the program's exit code, or 128 + signal.
    pub code: i32,
    /// The signal that ended the program, else 0.
    pub signal: i32,
    pub started_ns: i128,
    pub finished_ns: i128,
    /// `Completed`, `Error`, `ContainerCannotRun` or `NodeUnreachable`.
    pub reason: &'static str,
    pub message: String,
}

impl Exit {
    pub fn text(&self) -> String {
        format!(
            "code={}\nsignal={}\nstarted_ns={}\nfinished_ns={}\nreason={}\nmessage={}\n",
            self.code,
            self.signal,
            self.started_ns,
            self.finished_ns,
            self.reason,
            self.message.replace('\\', "\\\\").replace('\n', "\\n")
        )
    }
}

/// Writes a record so that a reader sees all of it or nothing, also after a power loss: the bytes
/// are on disk before the name is, and the name is before this returns.
pub fn write_durably(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let unfinished = dir.join(format!("{name}.new"));
    let mut file = File::create(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(name))?;
    File::open(dir)?.sync_all()
}
