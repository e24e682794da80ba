//! The shim's one loop, from the running program to its last word.
//!
//! ```text
//!            stop line, SIGTERM              grace over
//!  Running ────────────────────▶ Stopping ──────────────▶ Killing
//!     │  │ fence passed                                     ▲
//!     │  └──────────────────────────────────────────────────┤
//!     └── first process ended (from any state) ─────────────┘──▶ no child left, streams drained ──▶ exit
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::clock;
use crate::fence::Deadline;
use crate::output::{Files, Stream};
use crate::reaper::{self, Ended};

/// How long the streams may stay open when no process of the container is left (somebody outside
/// it may hold them): their content until then is kept.
const DRAIN: Duration = Duration::from_secs(2);
/// Killed processes are looked for again this often, for one can fork while it is being killed.
const SWEEP: Duration = Duration::from_millis(20);
const READ_BYTES: usize = 16 * 1024;
/// Reads of one stream in one round, about what a pipe holds: a container that writes without end must not keep the loop
/// from its fence and from who stops it.
const READS_A_ROUND: usize = 4;

/// Everything that the loop listens to.
pub struct Sources {
    pub stdout: File,
    pub stderr: File,
    pub control: File,
    /// SIGCHLD and SIGTERM arrive here.
    pub signals: OwnedFd,
}

/// What the loop holds the container to.
pub struct Rules<'a> {
    pub first_pid: i32,
    pub grace_ms: u64,
    /// As it was when the container began.
    pub deadline: Option<Deadline<'a>>,
}

/// How it went.
pub struct Outcome {
    pub ended: Ended,
    pub finished_ns: i128,
    /// The fence ended it.
    pub fenced: bool,
}

struct Loop<'a> {
    rules: Rules<'a>,
    /// The deadline as it was last read, on the boot clock.
    fence_at: Option<u64>,
    files: &'a mut Files,
    streams: [(Option<File>, Stream); 2],
    ended: Option<(Ended, i128)>,
    any_left: bool,
    /// When SIGKILL follows, on the boot clock.
    kill_at: Option<u64>,
    killing: bool,
    fenced: bool,
    /// Since when only the streams are waited for.
    drained_by: Option<u64>,
}

/// Runs until the container is over and its output is stored.
pub fn supervise(sources: Sources, rules: Rules, files: &mut Files) -> io::Result<Outcome> {
    for file in [&sources.stdout, &sources.stderr] {
        set_nonblocking(file)?;
    }
    let Sources { stdout, stderr, mut control, signals } = sources;
    let mut state = Loop {
        fence_at: None,
        rules,
        files,
        streams: [(Some(stdout), Stream::new("stdout")), (Some(stderr), Stream::new("stderr"))],
        ended: None,
        any_left: true,
        kill_at: None,
        killing: false,
        fenced: false,
        drained_by: None,
    };
    let mut commands = Vec::new();
    loop {
        state.read_streams();
        if state.drain_signals(&signals) {
            state.stop(state.rules.grace_ms);
        }
        read_commands(&mut control, &mut commands, |grace_ms| state.stop(grace_ms));
        state.reap();
        state.pass_time(clock::boot_ns());
        if let Some(outcome) = state.outcome() {
            return Ok(outcome);
        }
        state.wait(control.as_raw_fd(), signals.as_raw_fd())?;
    }
}

impl Loop<'_> {
    /// Stores what the streams hold now, up to a bound: what is left makes the next wait return at once.
    fn read_streams(&mut self) {
        let mut bytes = [0; READ_BYTES];
        let mut lines = Vec::new();
        for (file, stream) in &mut self.streams {
            for _ in 0..READS_A_ROUND {
                let Some(open) = file else { break };
                match open.read(&mut bytes) {
                    Ok(0) => {
                        stream.finish(clock::wall_ns(), &mut lines);
                        *file = None;
                    }
                    Ok(length) => stream.feed(&bytes[..length], clock::wall_ns(), &mut lines),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => break,
                }
                if !lines.is_empty() {
                    self.files.append(&lines);
                    lines.clear();
                }
            }
        }
    }

    /// True when the shim itself is asked to end.
    fn drain_signals(&self, signals: &OwnedFd) -> bool {
        let mut asked = false;
        let size = size_of::<libc::signalfd_siginfo>();
        loop {
            // SAFETY: an all-zero signalfd_siginfo is valid, and the kernel writes at most its size.
            let (read, info) = unsafe {
                let mut info: libc::signalfd_siginfo = std::mem::zeroed();
                (libc::read(signals.as_raw_fd(), (&raw mut info).cast(), size), info)
            };
            if usize::try_from(read) != Ok(size) {
                return asked;
            }
            asked |= info.ssi_signo == libc::SIGTERM as u32;
        }
    }

    /// SIGTERM now, SIGKILL after the grace; a second stop can only shorten it.
    fn stop(&mut self, grace_ms: u64) {
        let at = clock::boot_ns().saturating_add(grace_ms.saturating_mul(1_000_000));
        if self.kill_at.is_none() && !self.killing && grace_ms > 0 {
            reaper::signal_group(self.rules.first_pid, libc::SIGTERM);
            // A stopped process can't take the signal.
            reaper::signal_group(self.rules.first_pid, libc::SIGCONT);
        }
        self.kill_at = Some(self.kill_at.map_or(at, |already| already.min(at)));
    }

    fn reap(&mut self) {
        let reaped = reaper::reap(self.rules.first_pid);
        self.any_left = reaped.any_left;
        if let Some(ended) = reaped.first {
            self.ended = Some((ended, clock::wall_ns()));
            self.killing = true;
        }
        if self.killing && self.any_left {
            reaper::kill_rest(self.rules.first_pid);
        }
    }

    fn pass_time(&mut self, now_ns: u64) {
        self.fence_at = self.rules.deadline.as_mut().map(Deadline::at);
        if self.fence_at.is_some_and(|at| now_ns >= at) && !self.fenced && self.ended.is_none() {
            self.fenced = true;
            self.killing = true;
        }
        self.killing |= self.kill_at.is_some_and(|at| now_ns >= at);
        if self.killing && self.ended.is_none() {
            reaper::signal_group(self.rules.first_pid, libc::SIGKILL);
        }
        if self.ended.is_some() && !self.any_left && self.drained_by.is_none() {
            self.drained_by = Some(now_ns + DRAIN.as_nanos() as u64);
        }
    }

    fn outcome(&mut self) -> Option<Outcome> {
        let (ended, finished_ns) = self.ended?;
        let deadline = self.drained_by?;
        let open = self.streams.iter().any(|(file, _)| file.is_some());
        if open && clock::boot_ns() < deadline {
            return None;
        }
        let mut lines = Vec::new();
        for (_, stream) in &mut self.streams {
            stream.finish(clock::wall_ns(), &mut lines);
        }
        if !lines.is_empty() {
            self.files.append(&lines);
        }
        Some(Outcome { ended, finished_ns, fenced: self.fenced })
    }

    /// Sleeps until a source has something or the next moment that matters.
    fn wait(&self, control: i32, signals: i32) -> io::Result<()> {
        let mut polled: Vec<libc::pollfd> = self
            .streams
            .iter()
            .filter_map(|(file, _)| file.as_ref().map(AsRawFd::as_raw_fd))
            .chain([control, signals])
            .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 })
            .collect();
        let timeout_ms = self.timeout_ms(clock::boot_ns());
        // SAFETY: the list is valid for its length.
        let result = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout_ms) };
        match io::Error::last_os_error() {
            error if result < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// -1: nothing is due. Sleeps are cut short so that a suspended machine, whose poll does not
    /// count the sleep, is late by no more than this after it wakes.
    fn timeout_ms(&self, now_ns: u64) -> i32 {
        const LONGEST_MS: u64 = 5_000;
        if self.killing && self.any_left {
            return SWEEP.as_millis() as i32;
        }
        let due = [self.kill_at, self.fence_at, self.drained_by].into_iter().flatten().min();
        match due {
            None => -1,
            Some(at) => {
                let ms = at.saturating_sub(now_ns).div_ceil(1_000_000).clamp(1, LONGEST_MS);
                i32::try_from(ms).unwrap_or(i32::MAX)
            }
        }
    }
}

/// Takes whole lines `stop MILLISECONDS` from the control FIFO; others are passed over.
fn read_commands(control: &mut File, pending: &mut Vec<u8>, mut stop: impl FnMut(u64)) {
    const PENDING_BYTES_MAX: usize = 4096;
    let mut bytes = [0; 256];
    while let Ok(length @ 1..) = control.read(&mut bytes) {
        pending.extend_from_slice(&bytes[..length]);
    }
    while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&pending[..end]).into_owned();
        pending.drain(..=end);
        if let Some(grace_ms) = line.strip_prefix("stop ").and_then(|ms| ms.trim().parse().ok()) {
            stop(grace_ms);
        }
    }
    if pending.len() > PENDING_BYTES_MAX {
        pending.clear();
    }
}

fn set_nonblocking(file: &File) -> io::Result<()> {
    // SAFETY: plain flag calls on a descriptor that we own.
    let result = unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Blocks SIGCHLD and SIGTERM and gives the descriptor on which they arrive instead.
pub fn listen_for_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset; the new descriptor is ours alone.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        match libc::signalfd(-1, &set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}
