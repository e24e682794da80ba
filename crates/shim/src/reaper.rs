//! The container's processes: signalled as a group, reaped to the last.
//!
//! The shim is a child subreaper: whatever leaves the container's session comes to the shim when
//! its parent ends, so "no child left" means "nothing of the container runs any more".

use std::fs;

use crate::clock;

/// How the container's first process ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// Exit code, or 128 + signal.
    pub code: i32,
    /// 0: it left by itself.
    pub signal: i32,
}

/// What one round of waiting found.
#[derive(Debug, PartialEq)]
pub struct Reaped {
    pub first: Option<Ended>,
    pub any_left: bool,
}

/// Takes every child that has ended; `first` is set when the container's first process was among them.
pub fn reap(first_pid: i32) -> Reaped {
    let mut reaped = Reaped { first: None, any_left: true };
    loop {
        let mut status = 0;
        // SAFETY: `status` takes the result.
        match unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } {
            0 => return reaped,
            -1 => {
                reaped.any_left = false;
                return reaped;
            }
            pid if pid == first_pid => reaped.first = Some(ended(status)),
            _ => {}
        }
    }
}

fn ended(status: i32) -> Ended {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        Ended { code: 128 + signal, signal }
    } else {
        Ended { code: libc::WEXITSTATUS(status), signal: 0 }
    }
}

/// Signals the container's process group.
pub fn signal_group(first_pid: i32, signal: i32) {
    // SAFETY: a negative pid names the group that the first process leads.
    unsafe { libc::kill(-first_pid, signal) };
}

/// Kills what is left: the group, and those who left it and came to the shim.
pub fn kill_rest(first_pid: i32) {
    signal_group(first_pid, libc::SIGKILL);
    for pid in children() {
        // SAFETY: a child of ours that we have not reaped: its pid can't be another's.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}

/// The shim's children by /proc (the kernel's own list of them is a build option).
fn children() -> Vec<i32> {
    let own = u64::from(std::process::id());
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| clock::stat_field(&stat, 4) == Some(own))
        })
        .collect()
}
