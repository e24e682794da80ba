//! raftsman-shim owns one container: it starts it, keeps its output and its exit code on disk, and
//! ends it when it is told to or when the node has been cut off for too long. It needs no agent
//! while it runs, so an agent may be killed or upgraded and loses nothing.
//!
//! `raftsman-shim DIR [LOCK]`: DIR is the directory of one container start, see `record.rs`. An agent hands
//! over the locked file `DIR/lock` as the open descriptor LOCK. On stdout the shim prints one line, `started` or
//! `exited`, when that is durable; then it has nothing more to say to its parent.
//!
//! Everything that the agent knows of a container it reads from these files, never from memory.

mod clock;
mod fence;
mod launch;
mod output;
mod reaper;
mod record;
mod spec;
mod supervise;

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use fence::Deadline;
use launch::{CannotRun, Waiting};
use output::Files;
use record::{Exit, Start};
use spec::Spec;
use supervise::{Rules, Sources};

/// Between two attempts to store how the container ended.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(dir), lock, None) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: raftsman-shim DIRECTORY [LOCK] (the agent starts it; see raftsman agent)");
        return ExitCode::from(2);
    };
    let lock = lock.and_then(|lock| lock.to_str()?.parse().ok());
    match own(&PathBuf::from(dir), lock) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raftsman-shim: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The container's whole life.
fn own(dir: &Path, lock: Option<i32>) -> Result<(), String> {
    let during = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    leave_the_agent();
    if let Some(lock) = lock {
        // The lock is the shim's alone: it must not live on in a process of the container.
        // SAFETY: no pointers.
        unsafe { libc::fcntl(lock, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    let bytes = std::fs::read(dir.join("spec")).map_err(during("spec"))?;
    let spec = Spec::parse(&bytes)?;
    // Nothing is on record yet, so the agent may try again.
    let mut deadline = spec.fence.as_ref().map(Deadline::new);
    permit_start(&mut deadline)?;
    let control = open_control(dir).map_err(during("control"))?;
    let mut files =
        Files::create(dir.to_owned(), spec.output_bytes_max, spec.output_files_max).map_err(during("output"))?;
    let signals = supervise::listen_for_signals().map_err(during("signals"))?;

    let waiting = launch::fork(&spec).map_err(during("fork"))?;
    let first_pid = waiting.pid;
    let start = start_record(first_pid).map_err(during("start"))?;
    record::write_durably(dir, "start", &start.text()).map_err(during("start"))?;
    let exit = match open_gate(waiting, &mut deadline).map_err(during("start"))? {
        Err(never) => Exit { started_ns: start.started_ns, ..never },
        Ok((stdout, stderr)) => {
            tell("started");
            let rules = Rules { first_pid, grace_ms: spec.grace_ms, deadline };
            let sources = Sources { stdout, stderr, control, signals };
            let outcome = supervise::supervise(sources, rules, &mut files).map_err(during("supervise"))?;
            exit_of(&outcome, start.started_ns, &spec, files.lost_bytes)
        }
    };
    if let Err(error) = files.sync() {
        // How the container ended is worth more than that its output is safe.
        eprintln!("raftsman-shim: output: {error}");
    }
    keep_exit(dir, &exit).map_err(during("exit"))?;
    tell("exited");
    Ok(())
}

/// Writes the last record, however long the disk refuses it (it may be full): nobody else knows how the container ended.
fn keep_exit(dir: &Path, exit: &Exit) -> io::Result<()> {
    let text = exit.text();
    let mut told = false;
    loop {
        match record::write_durably(dir, "exit", &text) {
            Ok(()) => return Ok(()),
            // The Pod's records were removed: nobody asks any more.
            Err(error) if !dir.exists() => return Err(error),
            Err(error) => {
                if !told {
                    eprintln!("raftsman-shim: exit: {error}; trying again");
                }
                told = true;
                std::thread::sleep(WRITE_AGAIN);
            }
        }
    }
}

/// No signal, terminal or working directory of the agent's may reach into a container's life.
fn leave_the_agent() {
    // SAFETY: plain calls; the path is a C string.
    unsafe {
        libc::setsid();
        libc::chdir(c"/".as_ptr());
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
    }
}

/// The FIFO is opened for both directions, so that it has no end when a writer leaves.
fn open_control(dir: &Path) -> io::Result<File> {
    let path = dir.join("control");
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string.
    if unsafe { libc::mkfifo(name.as_ptr(), 0o600) } != 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
    }
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)
}

fn start_record(first_pid: i32) -> io::Result<Start> {
    let own = i32::try_from(std::process::id()).expect("a pid is a pid_t");
    Ok(Start {
        pid: first_pid,
        pid_start: clock::process_start(first_pid)?,
        shim_pid: own,
        shim_start: clock::process_start(own)?,
        boot_id: clock::boot_id()?,
        started_ns: clock::wall_ns(),
    })
}

fn permit_start(deadline: &mut Option<Deadline>) -> Result<(), String> {
    deadline.as_mut().map_or(Ok(()), |deadline| deadline.permits_start(clock::boot_ns()))
}

/// Lets the program run where the fence still permits it: the disk may have taken its time over the start record. Gives its
/// stdout and stderr, or the end of what never ran.
fn open_gate(waiting: Waiting, deadline: &mut Option<Deadline>) -> io::Result<Result<(File, File), Exit>> {
    if let Err(why) = permit_start(deadline) {
        waiting.abandon();
        return Ok(Err(never_ran(137, "NodeUnreachable", why)));
    }
    let begun = waiting.release()?;
    Ok(begun.map_err(|CannotRun { code, message }| {
        never_ran(code, "ContainerCannotRun", format!("unable to start container process: {message}"))
    }))
}

fn never_ran(code: i32, reason: &'static str, message: String) -> Exit {
    let now = clock::wall_ns();
    Exit { code, signal: 0, started_ns: now, finished_ns: now, reason, message }
}

fn exit_of(outcome: &supervise::Outcome, started_ns: i128, spec: &Spec, lost: u64) -> Exit {
    let mut message = String::new();
    if let (true, Some(fence)) = (outcome.fenced, &spec.fence) {
        message =
            format!("the node's lease was not renewed for {} s, so the container was ended", fence.after_ms / 1000);
    }
    if lost > 0 {
        let separator = if message.is_empty() { "" } else { "; " };
        message += &format!("{separator}{lost} bytes of output could not be stored");
    }
    let reason = match (outcome.fenced, outcome.ended.code) {
        (true, _) => "NodeUnreachable",
        (false, 0) => "Completed",
        (false, _) => "Error",
    };
    Exit {
        code: outcome.ended.code,
        signal: outcome.ended.signal,
        started_ns,
        finished_ns: outcome.finished_ns,
        reason,
        message,
    }
}

/// One word to the agent, which may be gone: the files say the same.
fn tell(word: &str) {
    let mut stdout = io::stdout();
    if writeln!(stdout, "{word}").and_then(|()| stdout.flush()).is_err() {
        return;
    }
    if word == "exited" {
        return;
    }
    // The parent reads to the end of this pipe; holding it open would keep it waiting.
    if let Ok(nothing) = OpenOptions::new().write(true).open("/dev/null") {
        // SAFETY: both are descriptors of this process.
        unsafe { libc::dup2(nothing.as_raw_fd(), 1) };
    }
}
