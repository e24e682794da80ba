//! Starts the container's program: fork, wait at the gate, become it.
//!
//! ```text
//!   shim                                   child
//!   fork ───────────────────────────────▶  own session, dies with the shim
//!   start record: durable                  reads the gate ...
//!   opens the gate ─────────────────────▶  root, group, user, folder, descriptors
//!   reads `told` to its end  ◀───────────  exec: closes `told` empty; failure: writes it there
//! ```
//!
//! A shim that dies before the gate is open leaves a child that reads its end and exits: without a
//! durable start record no program ever runs, which is what lets an agent start a container again.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::spec::Spec;

/// A child that stands before the gate.
pub struct Waiting {
    pub pid: i32,
    gate: File,
    told: File,
    pub stdout: File,
    pub stderr: File,
}

/// Why the program could not be run, as a container runtime tells it.
#[derive(Debug, PartialEq)]
pub struct CannotRun {
    /// 127: no such program; 126: not executable; 128: anything before it.
    pub code: i32,
    pub message: String,
}

/// Forks the child.
pub fn fork(spec: &Spec) -> io::Result<Waiting> {
    let (out_read, out_write) = pipe()?;
    let (err_read, err_write) = pipe()?;
    let (gate_read, gate_write) = pipe()?;
    let (told_read, told_write) = pipe()?;
    // SAFETY: the shim has one thread, so the child may allocate and call anything.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop((out_read, err_read, gate_write, told_read));
            let failure = become_program(spec, gate_read.into(), &out_write, &err_write);
            let text = format!("{}\n{}", failure.code, failure.message);
            // Nobody is left to tell when even this fails: the exit code tells half of it.
            let _ = File::from(told_write).write_all(text.as_bytes());
            // SAFETY: leaves at once, without the parent's buffers and destructors.
            unsafe { libc::_exit(failure.code) }
        }
        pid => Ok(Waiting {
            pid,
            gate: gate_write.into(),
            told: told_read.into(),
            stdout: out_read.into(),
            stderr: err_read.into(),
        }),
    }
}

impl Waiting {
    /// Ends the child, which has not become the program.
    pub fn abandon(self) {
        let pid = self.pid;
        // Its read of the gate ends, and it leaves.
        drop(self);
        // SAFETY: a child of ours; no status is asked for.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }

    /// Lets the program run, and says whether it does; gives its stdout and stderr.
    pub fn release(mut self) -> io::Result<Result<(File, File), CannotRun>> {
        self.gate.write_all(b"1")?;
        let mut told = String::new();
        self.told.read_to_string(&mut told)?;
        let Some((code, message)) = told.split_once('\n') else {
            return Ok(Ok((self.stdout, self.stderr)));
        };
        Ok(Err(CannotRun { code: code.parse().unwrap_or(128), message: message.to_owned() }))
    }
}

/// Runs in the child and returns only on failure.
fn become_program(spec: &Spec, mut gate: File, out: &OwnedFd, err: &OwnedFd) -> CannotRun {
    // SAFETY: plain system calls without pointers.
    unsafe {
        libc::setsid();
        // Should the shim be killed, its container must not go on unseen.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    let mut byte = [0];
    if !matches!(gate.read(&mut byte), Ok(1)) {
        return CannotRun { code: 128, message: "the shim ended before the start".to_owned() };
    }
    match prepare(spec, out, err) {
        Ok(()) => exec(spec),
        Err(message) => CannotRun { code: 128, message },
    }
}

/// Root, working directory, user and descriptors; errors are the whole message.
fn prepare(spec: &Spec, out: &OwnedFd, err: &OwnedFd) -> Result<(), String> {
    if let Some(root) = &spec.root {
        // SAFETY: the path is a C string.
        check(unsafe { libc::chroot(root.as_ptr()) })
            .map_err(|error| format!("chroot to {}: {}", shown(root), reason(&error)))?;
        // SAFETY: as above.
        check(unsafe { libc::chdir(c"/".as_ptr()) }).map_err(|error| reason(&error))?;
        // A container engine makes a missing working directory; on the host's root it is not ours to make.
        let _ = std::fs::create_dir_all(shown(&spec.cwd));
    }
    become_user(spec)?;
    // SAFETY: the path is a C string.
    check(unsafe { libc::chdir(spec.cwd.as_ptr()) })
        .map_err(|error| format!("chdir to cwd ({:?}) failed: {}", shown(&spec.cwd), reason(&error)))?;
    let nothing = File::open("/dev/null").ok();
    let redirect = |from: i32, to: i32| {
        // SAFETY: both are descriptors of this process.
        check(unsafe { libc::dup2(from, to) }).map_err(|error| reason(&error))
    };
    match &nothing {
        Some(file) => redirect(file.as_raw_fd(), 0)?,
        // An image root without /dev: stdin is closed instead.
        // SAFETY: closes descriptor 0, which nothing here uses.
        None => drop(unsafe { libc::close(0) }),
    }
    redirect(out.as_raw_fd(), 1)?;
    redirect(err.as_raw_fd(), 2)?;
    reset_signals();
    Ok(())
}

fn become_user(spec: &Spec) -> Result<(), String> {
    if let Some(gid) = spec.gid {
        // SAFETY: the pointer is valid for the length given.
        check(unsafe { libc::setgroups(spec.groups.len(), spec.groups.as_ptr()) })
            .map_err(|error| format!("setgroups: {}", reason(&error)))?;
        // SAFETY: no pointers.
        check(unsafe { libc::setgid(gid) }).map_err(|error| format!("setgid {gid}: {}", reason(&error)))?;
    }
    if let Some(uid) = spec.uid {
        // SAFETY: no pointers.
        check(unsafe { libc::setuid(uid) }).map_err(|error| format!("setuid {uid}: {}", reason(&error)))?;
        // A change of user clears it.
        // SAFETY: no pointers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    }
    Ok(())
}

/// The shim blocks signals and ignores SIGPIPE; a program inherits neither.
fn reset_signals() {
    // SAFETY: the set is initialised before it is used; SIG_DFL is valid for every signal named.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        for signal in [libc::SIGPIPE, libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Looks the program up in the container's own PATH and becomes it.
fn exec(spec: &Spec) -> CannotRun {
    let program = &spec.args[0];
    let name = shown(program);
    if program.to_bytes().contains(&b'/') {
        let error = exec_at(program, spec);
        let message = match error.raw_os_error() {
            Some(libc::ENOENT) => format!("exec: {name:?}: stat {name}: no such file or directory"),
            _ => format!("exec: {name:?}: {}", reason(&error)),
        };
        return CannotRun { code: code_of(&error), message };
    }
    let mut found_but = None;
    let path = spec.variable("PATH").unwrap_or(DEFAULT_PATH);
    for folder in path.split(|byte| *byte == b':') {
        let folder = if folder.is_empty() { b".".as_slice() } else { folder };
        let candidate =
            CString::new([folder, b"/", program.to_bytes()].concat()).expect("joined from parts without NUL");
        let error = exec_at(&candidate, spec);
        if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) {
            found_but.get_or_insert(error);
        }
    }
    match found_but {
        Some(error) => CannotRun { code: code_of(&error), message: format!("exec: {name:?}: {}", reason(&error)) },
        None => CannotRun { code: 127, message: format!("exec: {name:?}: executable file not found in $PATH") },
    }
}

const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns only when the kernel refuses.
fn exec_at(path: &CString, spec: &Spec) -> io::Error {
    let pointers = |strings: &[CString]| {
        let mut list: Vec<*const libc::c_char> = strings.iter().map(|text| text.as_ptr()).collect();
        list.push(std::ptr::null());
        list
    };
    let (args, env) = (pointers(&spec.args), pointers(&spec.env));
    // SAFETY: both lists are NULL-terminated and outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// The shells' convention, which container engines follow.
fn code_of(error: &io::Error) -> i32 {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => 127,
        Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::EPERM) => 126,
        _ => 128,
    }
}

/// The system's words for an error, as other runtimes print them: lower case, without the number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn shown(text: &CString) -> String {
    text.to_string_lossy().into_owned()
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A pipe that no program inherits.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` takes the two descriptors, which are then owned by nobody else.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}
