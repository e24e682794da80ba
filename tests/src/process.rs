//! Running programs: what they said and how they ended.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The end of a program.
#[derive(Debug)]
pub struct Ran {
    /// The command line, for messages.
    pub line: String,
    /// None: a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Runs to the end, with `input` on stdin.
    pub fn with_input(command: &mut Command, input: &[u8]) -> Ran {
        let line = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = input.to_vec();
        // In a thread, for the program may fill its own pipe before it has read everything. It may also end early.
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("{line}: {error}"));
        let _ended_early = writer.join().expect("the writer does not panic");
        Ran::from_output(line, &output)
    }

    pub fn run(command: &mut Command) -> Ran {
        Ran::with_input(command, b"")
    }

    fn from_output(line: String, output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { line, code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Its stdout; panics with everything it said where it failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.stdout
    }

    /// Its stderr; panics where it did not fail with this code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self}");
        self.stderr
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nended with {:?}\nstdout: {}\nstderr: {}", self.line, self.code, self.stdout, self.stderr)
    }
}

/// Where the binaries of this build lie: beside the test binary's folder, or where RAFTSMAN_BIN says.
pub fn binary(name: &str) -> PathBuf {
    let folder = std::env::var_os("RAFTSMAN_BIN").map_or_else(
        || {
            let test = std::env::current_exe().expect("a test knows its own path");
            test.ancestors().nth(2).expect("tests lie in PROFILE/deps").to_owned()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing; `make test` builds it first (cargo build -p raftsman -p shim)",
        path.display()
    );
    path
}

/// The top of the source tree.
pub fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the tree").to_owned()
}

/// A file of deploy/examples.
pub fn example(name: &str) -> String {
    top().join("deploy/examples").join(name).display().to_string()
}

/// The text of a file in deploy/.
pub fn deployed(name: &str) -> String {
    let path = top().join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address").port()
}
