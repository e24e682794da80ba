//! How far a Job is: read from its object alone.

use api::time::{self, Instant};
use proto::batch_v1::Job;

/// What a Job is doing, in the word that kubectl's STATUS column has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    /// For other Jobs that it depends on.
    Waiting,
    Suspended,
    Terminating,
    Complete,
    Failed,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::Running => "Running",
            State::Waiting => "Waiting",
            State::Suspended => "Suspended",
            State::Terminating => "Terminating",
            State::Complete => "Complete",
            State::Failed => "Failed",
        }
    }
}

/// Counts of a Job's Pods and what they add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub state: State,
    pub running: i32,
    pub succeeded: i32,
    pub failed: i32,
    /// Successes that end the Job; a work queue ends with its first.
    pub wanted: i32,
    /// As kubectl's COMPLETIONS column has it: `3/8`, or `0/1 of 4` for a work queue.
    pub completions: String,
    /// Why the Job failed, waits or is suspended; empty otherwise.
    pub message: String,
}

impl Progress {
    pub fn of(job: &Job) -> Progress {
        let spec = job.spec.clone().unwrap_or_default();
        let status = job.status.clone().unwrap_or_default();
        let state = state(job);
        let completions = match spec.completions {
            Some(wanted) => format!("{}/{wanted}", status.succeeded),
            None => match spec.parallelism.unwrap_or(1) {
                parallelism @ 2.. => format!("{}/1 of {parallelism}", status.succeeded),
                _ => format!("{}/1", status.succeeded),
            },
        };
        let told_by: &[&str] = match state {
            State::Failed => &["Failed"],
            State::Suspended => &["Suspended"],
            _ => &[],
        };
        let condition = status.conditions.iter().find(|condition| told_by.contains(&condition.r#type.as_str()));
        let message = match (state, condition) {
            (_, Some(condition)) => format!("{}: {}", condition.reason, condition.message),
            (State::Waiting, None) => waits_for(job),
            (_, None) => String::new(),
        };
        Progress {
            state,
            running: status.active,
            succeeded: status.succeeded,
            failed: status.failed,
            wanted: spec.completions.unwrap_or(1),
            completions,
            message,
        }
    }

    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Complete | State::Failed)
    }

    /// One line: what `job watch` prints where there is no terminal.
    pub fn line(&self, name: &str) -> String {
        let Progress { running, succeeded, failed, .. } = self;
        let mut line = format!(
            "{name}   {}   {}   running {running}, succeeded {succeeded}, failed {failed}",
            self.state.word(),
            self.completions
        );
        if !self.message.is_empty() {
            line.push_str(&format!("   {}", self.message));
        }
        line
    }
}

/// How long the Job ran, or has run until now; None before its start.
pub fn duration(job: &Job, now: Instant) -> Option<chrono::TimeDelta> {
    let status = job.status.as_ref()?;
    let start = time::opt(&status.start_time)?;
    let end = time::opt(&status.completion_time).or_else(|| failed_at(job));
    Some(end.unwrap_or(now) - start)
}

fn failed_at(job: &Job) -> Option<Instant> {
    let conditions = &job.status.as_ref()?.conditions;
    let failed = conditions.iter().find(|condition| condition.r#type == "Failed" && condition.status == "True")?;
    time::opt(&failed.last_transition_time)
}

fn state(job: &Job) -> State {
    let status = job.status.as_ref();
    let holds = |kind: &str| {
        status.is_some_and(|status| {
            let mut conditions = status.conditions.iter();
            conditions.any(|condition| condition.r#type == kind && condition.status == "True")
        })
    };
    let metadata = job.metadata.as_ref();
    match () {
        () if holds("Complete") => State::Complete,
        () if holds("Failed") => State::Failed,
        () if metadata.is_some_and(|meta| meta.deletion_timestamp.is_some()) => State::Terminating,
        () if holds("Suspended") => State::Suspended,
        () if !waits_for(job).is_empty() => State::Waiting,
        () => State::Running,
    }
}

/// "waits for extract, transform": the dependencies that are not met yet.
fn waits_for(job: &Job) -> String {
    let Some(status) = &job.status else {
        return String::new();
    };
    let waiting: Vec<&str> = status
        .dependencies
        .iter()
        .filter(|dependency| dependency.state == "Waiting")
        .map(|dependency| dependency.name.as_str())
        .collect();
    match waiting.is_empty() {
        true => String::new(),
        false => format!("waits for {}", waiting.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::batch_v1::{JobCondition, JobDependencyStatus, JobSpec, JobStatus};

    fn job(spec: JobSpec, status: JobStatus) -> Job {
        Job { metadata: None, spec: Some(spec), status: Some(status) }
    }

    fn condition(kind: &str) -> JobCondition {
        JobCondition {
            r#type: kind.into(),
            status: "True".into(),
            reason: "BackoffLimitExceeded".into(),
            message: "Job has reached the specified backoff limit".into(),
            ..Default::default()
        }
    }

    #[test]
    fn completions_read_as_in_kubectl() {
        let of = |completions, parallelism| {
            let spec = JobSpec { completions, parallelism, ..Default::default() };
            Progress::of(&job(spec, JobStatus::default())).completions
        };
        assert_eq!(of(Some(8), Some(2)), "0/8");
        assert_eq!(of(None, Some(4)), "0/1 of 4");
        assert_eq!(of(None, None), "0/1");
    }

    #[test]
    fn a_failed_job_says_why() {
        let status = JobStatus { conditions: vec![condition("Failed")], failed: 3, ..Default::default() };
        let progress = Progress::of(&job(JobSpec::default(), status));
        assert!(progress.is_finished());
        assert!(
            progress
                .line("x")
                .ends_with("failed 3   BackoffLimitExceeded: Job has reached the specified backoff limit")
        );
    }

    #[test]
    fn a_waiting_job_names_what_it_waits_for() {
        let waiting = JobDependencyStatus { name: "extract".into(), state: "Waiting".into(), ..Default::default() };
        let status = JobStatus { dependencies: vec![waiting], ..Default::default() };
        let progress = Progress::of(&job(JobSpec::default(), status));
        assert_eq!(progress.state, State::Waiting);
        assert_eq!(progress.message, "waits for extract");
    }
}
