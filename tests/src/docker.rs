//! Docker: the machine's own where one runs, else a dockerd for this test alone.
//!
//! Ours has its data, its socket and its networks under one folder of the cache, and touches neither the firewall nor
//! the machine's docker: no bridge of its own, no iptables, no forwarding. Containers of one network reach each other
//! and are reached from here; they reach nothing else. It ends with this process, however that ends.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::patience::eventually;
use crate::peers::cache;
use crate::process::Ran;

const INSTALL: &str = "install them with: sudo apt-get install docker.io docker-compose debootstrap (`scripts/needs.sh \
                       test` does it, as root)";
/// How long a dockerd may take to start or stop.
const DAEMON_WITHIN: Duration = Duration::from_secs(90);

/// A docker to use.
pub struct Docker {
    own: Option<Own>,
}

struct Own {
    daemon: Child,
    folder: TempDir,
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

impl Docker {
    /// Uses the docker that runs, or starts one.
    ///
    /// # Panics
    /// With what is to be installed or done, where there can't be one.
    pub fn get() -> Docker {
        let missing: Vec<&str> = ["docker", "docker-compose"].into_iter().filter(|name| !has(name)).collect();
        assert!(missing.is_empty(), "{} is missing; {INSTALL}", missing.join(" and "));
        let running = Ran::run(Command::new("docker").arg("info"));
        let own = (running.code != Some(0) || running.stdout.contains("ERROR:")).then(Own::start);
        Docker { own }
    }

    /// `docker ARGS`, of this docker.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(args);
        self.point(&mut command);
        command
    }

    /// `docker ARGS` to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::run(&mut self.command(args))
    }

    /// `docker-compose`, of this docker.
    pub fn compose(&self) -> Command {
        let mut command = Command::new("docker-compose");
        self.point(&mut command);
        command
    }

    /// Makes a program use this docker.
    pub fn point(&self, command: &mut Command) {
        if let Some(own) = &self.own {
            command.env("DOCKER_HOST", own.socket());
        }
    }
}

impl Own {
    fn start() -> Own {
        assert!(has("dockerd"), "no docker runs and dockerd is missing; {INSTALL}");
        // SAFETY: asks for a number.
        let user = unsafe { libc::geteuid() };
        assert_eq!(user, 0, "no docker runs, and starting one needs root: start the machine's docker, or be root");
        let place = cache().join("docker");
        std::fs::create_dir_all(&place).expect("the cache can be written");
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(&place).expect("the cache can be written");
        let at = |name: &str| folder.path().join(name);
        let log = File::create(at("log")).expect("the cache can be written");
        let mut command = Command::new("dockerd");
        command.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec")).arg("--pidfile").arg(at("pid"));
        command.arg("--host").arg(socket(folder.path()));
        command.args(["--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]);
        // Apart from what the machine's docker keeps in a containerd of the machine.
        command.args([
            "--containerd-namespace",
            "raftsman-tests",
            "--containerd-plugins-namespace",
            "raftsman-plugins",
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        // SAFETY: one system call that may be made between fork and exec.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let daemon = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut own = Own { daemon, folder };
        eventually(DAEMON_WITHIN, || {
            if let Some(ended) = own.daemon.try_wait().expect("a child can be waited for") {
                panic!("dockerd ended with {ended}:\n{}", own.log());
            }
            let info = Ran::run(Command::new("docker").arg("info").env("DOCKER_HOST", own.socket()));
            if info.code == Some(0) { Ok(()) } else { Err(format!("{info}\n{}", own.log())) }
        });
        own
    }

    fn socket(&self) -> String {
        socket(self.folder.path())
    }

    /// The end of what dockerd has said.
    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn socket(folder: &Path) -> String {
    format!("unix://{}", folder.join("docker.sock").display())
}

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: kill(2) takes plain numbers; the child is ours and not yet waited for.
        unsafe { libc::kill(self.daemon.id() as i32, libc::SIGTERM) };
        let begun = std::time::Instant::now();
        while begun.elapsed() < DAEMON_WITHIN {
            if !matches!(self.daemon.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        eprintln!("dockerd did not stop:\n{}", self.log());
        let killed = self.daemon.kill().and_then(|()| self.daemon.wait());
        eprintln!("so it was killed: {killed:?}");
    }
}
