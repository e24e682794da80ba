//! Containers as processes of this machine, each under a shim of its own.
//!
//! ```text
//! DATA/pods/UID/pod                      the Pod as it was accepted, durable before its first start
//! DATA/pods/UID/CONTAINER/NUMBER/        one start: see crates/shim/src/record.rs
//! ```
//!
//! Nothing that matters is kept in memory: an agent that begins anew finds every start, running or ended, in these files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, Utc};
use prost::Message;
use proto::core_v1::Pod;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

use super::shim_files::{self, Fence, Started};
use super::{Runtime, RuntimeError, Start, StartId};
use crate::worker::life::{Exit, Run};

/// Starts wait for the disk twice; more of them at once only queue there.
const STARTS_AT_ONCE: usize = 16;
/// How often a shim is looked at that has its lock but no start record yet.
const STARTING_POLL: Duration = Duration::from_millis(20);

pub struct ProcessRuntime {
    pods: PathBuf,
    lease: PathBuf,
    shim: PathBuf,
    starts: Semaphore,
}

impl ProcessRuntime {
    /// `data` is the agent's data directory, `shim` the program `raftsman-shim`.
    pub fn open(data: &Path, shim: PathBuf) -> Result<ProcessRuntime, RuntimeError> {
        let pods = data.join("pods");
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| RuntimeError::File { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&pods).map_err(at(&pods))?;
        if !shim.is_file() {
            let problem = "the shim is not there; it belongs beside the raftsman program".to_owned();
            return Err(RuntimeError::Shim { path: shim, problem });
        }
        Ok(ProcessRuntime { pods, lease: data.join("lease"), shim, starts: Semaphore::new(STARTS_AT_ONCE) })
    }

    /// The file that holds the boot-clock time of the last committed renewal of the node's lease.
    pub fn lease_file(&self) -> &Path {
        &self.lease
    }

    fn pod_dir(&self, uid: &str) -> Result<PathBuf, RuntimeError> {
        if is_plain(uid) { Ok(self.pods.join(uid)) } else { Err(RuntimeError::Name(uid.to_owned())) }
    }

    fn start_dir(&self, id: &StartId) -> Result<PathBuf, RuntimeError> {
        if !is_plain(&id.container) {
            return Err(RuntimeError::Name(id.container.clone()));
        }
        Ok(self.pod_dir(&id.pod_uid)?.join(&id.container).join(id.number.to_string()))
    }
}

#[async_trait::async_trait]
impl Runtime for ProcessRuntime {
    fn name(&self) -> &'static str {
        "process"
    }

    async fn recover(&self, pod: &Pod) -> Result<Vec<(StartId, Run)>, RuntimeError> {
        let uid = pod.metadata.as_ref().map(|metadata| metadata.uid.clone()).unwrap_or_default();
        let pod_dir = self.pod_dir(&uid)?;
        let mut found = Vec::new();
        for container in names(&pod_dir)? {
            let container_dir = pod_dir.join(&container);
            let mut numbers: Vec<u32> = names(&container_dir)?.iter().filter_map(|name| name.parse().ok()).collect();
            numbers.sort_unstable();
            for number in numbers {
                let id = StartId { pod_uid: uid.clone(), container: container.clone(), number };
                if let Some(run) = recover_start(&container_dir.join(number.to_string())).await? {
                    found.push((id, run));
                }
            }
        }
        Ok(found)
    }

    async fn start(&self, start: Start<'_>) -> Result<Run, RuntimeError> {
        let pod_dir = self.pod_dir(&start.id.pod_uid)?;
        let dir = self.start_dir(start.id)?;
        let fence = start.deadline.map(|deadline| Fence { lease: &self.lease, deadline });
        let spec = shim_files::spec(start.launch, fence.as_ref())
            .map_err(|problem| RuntimeError::Shim { path: dir.clone(), problem })?;
        let record = start.pod.encode_to_vec();
        let shim = self.shim.clone();
        let _turn = self.starts.acquire().await.expect("the semaphore is never closed");
        let work = move || start_shim(&pod_dir, &dir, &shim, &record, &spec);
        tokio::task::spawn_blocking(work).await.expect("starting a shim does not panic")
    }

    async fn wait(&self, id: &StartId) -> Exit {
        loop {
            let ended = match self.start_dir(id) {
                Ok(dir) => wait_for_end(&dir).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(exit) => return exit,
                // The container may run on: an unreadable disk is no exit code.
                Err(error) => {
                    tracing::warn!(pod = id.pod_uid, container = id.container, %error, "cannot learn how a container fares");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn stop(&self, id: &StartId, grace: Duration) {
        let Ok(dir) = self.start_dir(id) else { return };
        if let Err(error) = shim_files::send_stop(&dir, grace) {
            tracing::warn!(pod = id.pod_uid, container = id.container, %error, "cannot stop a container");
        }
        // A shim that does not run just now can't kill.
        if grace.is_zero()
            && let Ok(Some(started)) = shim_files::read_started(&dir)
            && let Ok(None) = shim_files::read_exit(&dir)
        {
            shim_files::kill_abandoned(&started);
        }
    }

    async fn remove(&self, pod_uid: &str) -> Result<(), RuntimeError> {
        let dir = self.pod_dir(pod_uid)?;
        let work = move || match fs::remove_dir_all(&dir) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(RuntimeError::File { path: dir, source }),
            _ => Ok(()),
        };
        tokio::task::spawn_blocking(work).await.expect("removing files does not panic")
    }

    async fn recorded(&self) -> Result<Vec<String>, RuntimeError> {
        names(&self.pods)
    }

    fn output(&self, id: &StartId) -> Option<PathBuf> {
        self.start_dir(id).ok()
    }

    async fn latest(&self, pod_uid: &str, container: &str) -> Option<u32> {
        if !is_plain(container) {
            return None;
        }
        let dir = self.pod_dir(pod_uid).ok()?.join(container);
        names(&dir).ok()?.iter().filter_map(|name| name.parse().ok()).max()
    }
}

/// Uids and names become paths: whoever can write a Pod must not choose one.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The folders in a folder; none where it does not exist.
fn names(dir: &Path) -> Result<Vec<String>, RuntimeError> {
    let failed = |source| RuntimeError::File { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

/// What became of a start that a former agent made; `None`: it was never made.
async fn recover_start(dir: &Path) -> Result<Option<Run>, RuntimeError> {
    let failed = |source| RuntimeError::File { path: dir.to_owned(), source };
    loop {
        // The lock first: a shim writes its records before it lets go.
        let lock = shim_files::try_lock(dir).map_err(failed)?;
        if let Some(exit) = shim_files::read_exit(dir).map_err(failed)? {
            return Ok(Some(Run::Exited(exit)));
        }
        match (lock, shim_files::read_started(dir).map_err(failed)?) {
            (None, Some(started)) => return Ok(Some(Run::Running { started_at: started.started_at })),
            (None, None) => tokio::time::sleep(STARTING_POLL).await,
            (Some(_), Some(started)) => return Ok(Some(Run::Exited(lost(dir, &started).map_err(failed)?))),
            (Some(_), None) => {
                fs::remove_dir_all(dir).map_err(failed)?;
                return Ok(None);
            }
        }
    }
}

/// The end of a container whose shim was killed: nobody saw its exit code. Kept, so that it is told alike for ever.
fn lost(dir: &Path, started: &Started) -> io::Result<Exit> {
    shim_files::kill_abandoned(started);
    let now = Utc::now();
    let exit = Exit {
        code: 137,
        signal: 9,
        reason: "ContainerStatusUnknown".to_owned(),
        message: "the shim that held the container was killed, and the container with it".to_owned(),
        started_at: started.started_at,
        finished_at: now,
    };
    let nanos = |at: DateTime<Utc>| at.timestamp_nanos_opt().unwrap_or(0);
    let text = format!(
        "code={}\nsignal={}\nstarted_ns={}\nfinished_ns={}\nreason={}\nmessage={}\n",
        exit.code,
        exit.signal,
        nanos(exit.started_at),
        nanos(exit.finished_at),
        exit.reason,
        exit.message
    );
    shim_files::write_durably(dir, "exit", text.as_bytes())?;
    Ok(exit)
}

/// Blocking. Everything up to the running program, in the order that makes a crash between any two steps harmless.
fn start_shim(pod_dir: &Path, dir: &Path, shim: &Path, record: &[u8], spec: &[u8]) -> Result<Run, RuntimeError> {
    let failed = |source| RuntimeError::File { path: dir.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    if !pod_dir.join("pod").exists() {
        shim_files::write_durably(pod_dir, "pod", record).map_err(failed)?;
    }
    let busy = || RuntimeError::Shim { path: dir.to_owned(), problem: "a shim holds this start already".to_owned() };
    let lock = shim_files::try_lock(dir).map_err(failed)?.ok_or_else(busy)?;
    if dir.join("start").exists() {
        let problem = "this start was made already; it is never made twice".to_owned();
        return Err(RuntimeError::Shim { path: dir.to_owned(), problem });
    }
    fs::write(dir.join("spec"), spec).map_err(failed)?;
    let errors = File::create(dir.join("shim.err")).map_err(failed)?;
    let lock_fd = lock.as_raw_fd();
    let mut command = Command::new(shim);
    command.arg(dir).arg(lock_fd.to_string()).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    // The shim inherits the lock itself: from the fork on it is held for as long as the shim lives.
    // SAFETY: between fork and exec this makes one system call, without pointers.
    unsafe {
        command.pre_exec(move || match libc::fcntl(lock_fd, libc::F_SETFD, 0) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let mut child = command.spawn().map_err(|source| RuntimeError::File { path: shim.to_owned(), source })?;
    drop(lock);
    let mut word = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut word).map_err(failed)?;
    }
    if word.trim() == "exited"
        && let Some(exit) = shim_files::read_exit(dir).map_err(failed)?
    {
        child.wait().map_err(failed)?;
        return Ok(Run::Exited(exit));
    }
    prune(dir);
    match shim_files::read_started(dir).map_err(failed)? {
        Some(started) => Ok(Run::Running { started_at: started.started_at }),
        None => {
            child.wait().map_err(failed)?;
            let problem = fs::read_to_string(dir.join("shim.err")).unwrap_or_default().trim().to_owned();
            fs::remove_dir_all(dir).map_err(failed)?;
            Err(RuntimeError::Shim { path: shim.to_owned(), problem })
        }
    }
}

/// A container that restarts for days must not fill the disk: of a start before the previous one only the records stay, which
/// say how often it ran and how it ended.
fn prune(dir: &Path) {
    let number = dir.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
    let Some(old) = number.and_then(|number| number.checked_sub(2)) else { return };
    let Ok(entries) = fs::read_dir(dir.with_file_name(old.to_string())) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name != "start" && name != "exit" {
            // What can't be removed now goes with the Pod.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Sleeps until the shim is gone, and reads what it left.
async fn wait_for_end(dir: &Path) -> Result<Exit, RuntimeError> {
    let failed = |source| RuntimeError::File { path: dir.to_owned(), source };
    if let Some(exit) = shim_files::read_exit(dir).map_err(failed)? {
        reap(dir);
        return Ok(exit);
    }
    let missing = || RuntimeError::Shim { path: dir.to_owned(), problem: "it was never started".to_owned() };
    let started = shim_files::read_started(dir).map_err(failed)?.ok_or_else(missing)?;
    if let Some(process) = open_process(started.shim_pid).map_err(failed)? {
        // The pid could have become another's before it was opened, but not after.
        if shim_files::process_start(started.shim_pid) == Some(started.shim_start) {
            // SAFETY: the descriptor is owned by what is registered, and stays open until that is dropped.
            let registered = unsafe { AsyncFd::register(process) };
            let process = registered.map_err(|error| failed(error.into()))?;
            process.readable().await.map_err(failed)?.retain_ready();
        }
    }
    reap(dir);
    match shim_files::read_exit(dir).map_err(failed)? {
        Some(exit) => Ok(exit),
        None => lost(dir, &started).map_err(failed),
    }
}

/// Takes the ended shim off the process table where it is a child of this agent.
fn reap(dir: &Path) {
    if let Ok(Some(started)) = shim_files::read_started(dir) {
        // SAFETY: no status is asked for. A shim of a former agent is no child: that fails and changes nothing.
        unsafe { libc::waitpid(started.shim_pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
}

/// A descriptor that becomes readable when the process ends; `None`: there is no such process.
fn open_process(pid: i32) -> io::Result<Option<OwnedFd>> {
    // SAFETY: no pointers; the new descriptor is ours alone (and close-on-exec by definition).
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK) };
    match i32::try_from(fd) {
        // SAFETY: as above.
        Ok(fd) if fd >= 0 => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            error => Err(error),
        },
    }
}
