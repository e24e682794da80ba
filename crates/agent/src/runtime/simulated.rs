//! Containers without processes, for scale tests: each runs for as long, and ends as its Pod's annotation
//! `raftsman.io/simulate: "run=250ms,exit=0"` says (default: at once, exit 0).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use proto::core_v1::Pod;
use tokio::sync::Notify;

use super::{Runtime, RuntimeError, Start, StartId};
use crate::worker::life::{Exit, Run};

pub const ANNOTATION: &str = "raftsman.io/simulate";

/// What the annotation says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Simulation {
    pub run: Duration,
    pub exit: i32,
}

impl Simulation {
    /// Errors are one line for an event.
    pub fn parse(text: &str) -> Result<Simulation, String> {
        let mut simulation = Simulation::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("{ANNOTATION}: {part:?}: expected run=DURATION (250ms, 3s, 2m) or exit=CODE");
            match part.split_once('=') {
                Some(("run", value)) => simulation.run = duration(value).ok_or_else(wrong)?,
                Some(("exit", value)) => simulation.exit = value.parse().map_err(|_| wrong())?,
                _ => return Err(wrong()),
            }
        }
        Ok(simulation)
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let ms = match &text[digits..] {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(ms).map(Duration::from_millis)
}

struct Running {
    started_at: DateTime<Utc>,
    simulation: Simulation,
    stopped: Notify,
}

/// Keeps what runs and nothing else.
#[derive(Default)]
pub struct SimulatedRuntime {
    running: Mutex<HashMap<StartId, Arc<Running>>>,
}

impl SimulatedRuntime {
    fn begin(&self, id: &StartId, pod: &Pod, started_at: DateTime<Utc>) {
        let annotation = pod.metadata.as_ref().and_then(|metadata| metadata.annotations.get(ANNOTATION));
        // A wrong annotation ends the container with a usage error.
        let simulation = match annotation.map(|text| Simulation::parse(text)) {
            None => Simulation::default(),
            Some(parsed) => parsed.unwrap_or(Simulation { exit: 2, ..Simulation::default() }),
        };
        let running = Running { started_at, simulation, stopped: Notify::new() };
        self.running.lock().insert(id.clone(), Arc::new(running));
    }
}

#[async_trait::async_trait]
impl Runtime for SimulatedRuntime {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn is_simulated(&self) -> bool {
        true
    }

    /// Nothing is on disk, but the reported status tells what ran: it goes on from there.
    async fn recover(&self, pod: &Pod) -> Result<Vec<(StartId, Run)>, RuntimeError> {
        let uid = pod.metadata.as_ref().map(|metadata| metadata.uid.clone()).unwrap_or_default();
        let status = pod.status.as_ref();
        let statuses = status.map(|status| status.init_container_statuses.iter().chain(&status.container_statuses));
        let mut found = Vec::new();
        for container in statuses.into_iter().flatten() {
            let number = u32::try_from(container.restart_count).unwrap_or(0);
            let id = StartId { pod_uid: uid.clone(), container: container.name.clone(), number };
            let Some(state) = &container.state else { continue };
            if let Some(running) = &state.running {
                let started_at = api::time::opt(&running.started_at).unwrap_or_default();
                self.begin(&id, pod, started_at);
                found.push((id, Run::Running { started_at }));
            } else if let Some(terminated) = &state.terminated {
                let exit = Exit {
                    code: terminated.exit_code,
                    signal: 0,
                    reason: terminated.reason.clone(),
                    message: terminated.message.clone(),
                    started_at: api::time::opt(&terminated.started_at).unwrap_or_default(),
                    finished_at: api::time::opt(&terminated.finished_at).unwrap_or_default(),
                };
                found.push((id, Run::Exited(exit)));
            }
        }
        Ok(found)
    }

    async fn start(&self, start: Start<'_>) -> Result<Run, RuntimeError> {
        self.begin(start.id, start.pod, start.now);
        Ok(Run::Running { started_at: start.now })
    }

    async fn wait(&self, id: &StartId) -> Exit {
        let running = self.running.lock().get(id).cloned();
        let Some(running) = running else {
            return exit(137, Utc::now(), Utc::now());
        };
        let length = TimeDelta::from_std(running.simulation.run).unwrap_or(TimeDelta::MAX);
        let due = running.started_at.checked_add_signed(length).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let left = (due - Utc::now()).to_std().unwrap_or_default();
        let code = tokio::select! {
            () = tokio::time::sleep(left) => running.simulation.exit,
            () = running.stopped.notified() => 143,
        };
        self.running.lock().remove(id);
        exit(code, running.started_at, Utc::now())
    }

    async fn stop(&self, id: &StartId, _grace: Duration) {
        if let Some(running) = self.running.lock().get(id) {
            running.stopped.notify_one();
        }
    }

    async fn remove(&self, pod_uid: &str) -> Result<(), RuntimeError> {
        self.running.lock().retain(|id, _| id.pod_uid != pod_uid);
        Ok(())
    }

    async fn recorded(&self) -> Result<Vec<String>, RuntimeError> {
        Ok(Vec::new())
    }

    fn output(&self, _id: &StartId) -> Option<PathBuf> {
        None
    }
}

fn exit(code: i32, started_at: DateTime<Utc>, finished_at: DateTime<Utc>) -> Exit {
    let reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
    Exit { code, signal: 0, reason, message: String::new(), started_at, finished_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotation_says_how_long_and_how_it_ends() {
        let of = |run, exit| Ok(Simulation { run: Duration::from_millis(run), exit });
        for (text, simulation) in [
            ("run=250ms,exit=0", of(250, 0)),
            ("exit=3", of(0, 3)),
            ("run=2s", of(2000, 0)),
            ("", of(0, 0)),
            ("run=1m, exit=1", of(60_000, 1)),
        ] {
            assert_eq!(Simulation::parse(text), simulation, "{text}");
        }
        for text in ["run=fast", "exit=x", "walk=1s", "run"] {
            assert!(Simulation::parse(text).is_err(), "{text}");
        }
    }
}
