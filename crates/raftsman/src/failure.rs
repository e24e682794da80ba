//! How a command ends when it does not end well: one line on stderr and an exit code.

use std::fmt::Display;
use std::process::ExitCode;

/// A failed command. Each variant is an exit code that scripts may rely on.
#[derive(Debug)]
pub enum Failure {
    /// 1: what was asked for did not work, or a watched Job failed.
    Failed(String),
    /// 2: wrong usage; nothing was tried.
    Usage(String),
    /// 2: clap's own report, which has its own layout (and is exit 0 for `--help`).
    Clap(Box<clap::Error>),
    /// 3: no server could be reached.
    Unreachable(String),
    /// 4: the server knows the caller and refuses, or does not know it.
    Denied(String),
}

impl Failure {
    /// The usual failure, from any error that says what happened.
    pub fn failed(error: impl Display) -> Failure {
        Failure::Failed(error.to_string())
    }

    /// Prints the report and turns into the process's exit code.
    pub fn exit(self) -> ExitCode {
        let (code, message) = match self {
            Failure::Clap(error) => {
                // Nothing is left to do when the terminal is gone.
                let _printed = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
            Failure::Failed(message) => (1, message),
            Failure::Usage(message) => (2, message),
            Failure::Unreachable(message) => (3, message),
            Failure::Denied(message) => (4, message),
        };
        if !message.is_empty() {
            eprintln!("raftsman: {}", one_line(&message));
        }
        ExitCode::from(code)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Clap(error) => error.fmt(f),
            Failure::Failed(message)
            | Failure::Usage(message)
            | Failure::Unreachable(message)
            | Failure::Denied(message) => f.write_str(message),
        }
    }
}

/// Reports are one line, whatever an error's text brought along.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

impl From<crate::pki::Error> for Failure {
    fn from(error: crate::pki::Error) -> Failure {
        Failure::failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line() {
        assert_eq!(one_line("a\n  b\n\n"), "a; b");
    }
}
