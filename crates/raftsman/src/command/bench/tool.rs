//! etcd's own benchmark tool, which judges both stores with the same client.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::rival::Rival;
use crate::failure::Failure;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Requests (or events) per second.
    pub per_second: f64,
    /// Median latency in seconds.
    pub p50: f64,
    /// 99th percentile of the latency in seconds.
    pub p99: f64,
}

/// The tool.
#[derive(Clone, Debug)]
pub struct Tool {
    pub program: PathBuf,
}

impl Tool {
    /// Runs one workload against the leader of `rival`; the figures of each summary that the tool prints, in order.
    pub async fn run(&self, rival: &Rival, args: &[&str]) -> Result<Vec<Figures>, Failure> {
        let urls = rival.client_urls().join(",");
        self.run_with(rival, &[&["--endpoints", &urls, "--target-leader"], args].concat()).await
    }

    /// The same against one member.
    pub async fn run_at(&self, rival: &Rival, member: usize, args: &[&str]) -> Result<Vec<Figures>, Failure> {
        self.run_with(rival, &[&["--endpoints", &rival.client_url(member)], args].concat()).await
    }

    async fn run_with(&self, rival: &Rival, args: &[&str]) -> Result<Vec<Figures>, Failure> {
        let mut command = Command::new(&self.program);
        command.arg("--precise").args(args).kill_on_drop(true);
        for (flag, file) in
            [("--cacert", "store-ca.crt"), ("--cert", "store-client.crt"), ("--key", "store-client.key")]
        {
            command.arg(flag).arg(rival.credential(file));
        }
        let output = command.output().await.map_err(|error| missing(&self.program, &error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let figures = parse(&text);
        if !output.status.success() || figures.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it printed no figures");
            return Err(Failure::Failed(format!("{} {}: {last}", self.program.display(), args.join(" "))));
        }
        Ok(figures)
    }
}

/// A program of the peers that can't be started.
pub fn missing(program: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}; build it with `make peers`, or name it by its flag", program.display()))
}

/// The figures of every summary in the tool's report.
fn parse(report: &str) -> Vec<Figures> {
    let number = |text: &str| text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    let mut all = Vec::new();
    let (mut per_second, mut p50) = (None, None);
    for line in report.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("Requests/sec:") {
            per_second = number(rest);
        } else if let Some(rest) = line.strip_prefix("50% in ") {
            p50 = number(rest);
        } else if let Some(rest) = line.strip_prefix("99% in ")
            && let (Some(per_second), Some(p50), Some(p99)) = (per_second.take(), p50.take(), number(rest))
        {
            all.push(Figures { per_second, p50, p99 });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_summary_is_read() {
        let report = "\nSummary:\n  Total:\t1.99 secs.\n  Requests/sec:\t1002.5\n\nResponse time histogram:\n  0.0009 [1]\t|\n\n\
                      Latency distribution:\n  10% in 0.0007 secs.\n  50% in 0.001 secs.\n  99% in 0.0019 secs.\n  \
                      99.9% in 0.004 secs.\n\nWatch events summary:\n  Requests/sec:\t7\n  50% in 1.5e-05 secs.\n  99% in 2 secs.\n";
        let first = Figures { per_second: 1002.5, p50: 0.001, p99: 0.0019 };
        assert_eq!(parse(report), [first, Figures { per_second: 7.0, p50: 1.5e-5, p99: 2.0 }]);
        assert_eq!(parse("no report"), []);
    }
}
