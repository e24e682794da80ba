//! The one line on stdout by which a daemon says that it is ready, and where.

use std::fmt::Display;
use std::io::Write;

use crate::failure::Failure;

/// Fields of the line, in the order in which they are added.
#[derive(Default)]
pub struct Ready {
    line: String,
}

impl Ready {
    pub fn with(mut self, field: &str, value: impl Display) -> Ready {
        self.line.push_str(&format!(" {field}={value}"));
        self
    }

    /// Prints the line, at once also into a pipe.
    pub fn say(&self) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "ready{}", self.line)
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::Failed(format!("cannot write to stdout: {error}")))
    }
}
