//! The boxes of one process: started in order, watched together, stopped in the reverse order.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::failure::Failure;

/// How long a box may take to stop before the process goes without it.
const STOP_MAX: Duration = Duration::from_secs(20);
/// How often a running box is looked at: only its unexpected end depends on it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A running box.
struct Running {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

/// All boxes of this process, in the order in which they were started.
#[derive(Default)]
pub struct Boxes {
    running: Vec<Running>,
    farewell: Option<BoxFuture<'static, ()>>,
}

impl Boxes {
    /// Starts a box. `run` gets the signal that tells it to stop.
    pub fn start<F, E>(&mut self, name: &'static str, run: impl FnOnce(WaitForCancellationFutureOwned) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let stop = CancellationToken::new();
        let future = run(stop.clone().cancelled_owned());
        let task = tokio::spawn(async move { future.await.map_err(|error| error.to_string()) });
        self.running.push(Running { name, stop, task });
    }

    /// What is done first when the process is told to stop, while all boxes still run.
    pub fn before_stop(&mut self, farewell: impl Future<Output = ()> + Send + 'static) {
        self.farewell = Some(farewell.boxed());
    }

    /// Waits for `event`, such as a box's readiness; a box that ends before it is a failure.
    pub async fn until<T>(&mut self, event: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::pin!(event);
        loop {
            tokio::select! {
                biased;
                done = &mut event => return Ok(done),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Some(ended) = self.running.iter().position(|running| running.task.is_finished()) {
                let running = self.running.remove(ended);
                return Err(ended_early(running.name, running.task.await));
            }
        }
    }

    /// Waits for a box to say that it is ready. A box that drops its sender has failed and says why by its end.
    pub async fn ready<T>(&mut self, ready: tokio::sync::oneshot::Receiver<T>) -> Result<T, Failure> {
        self.until(async {
            match ready.await {
                Ok(value) => value,
                Err(_) => std::future::pending().await,
            }
        })
        .await
    }

    /// Stops all boxes, the last started first. Each is told alone and waited for, so that what it uses still runs.
    pub async fn stop(mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        while let Some(running) = self.running.pop() {
            running.stop.cancel();
            let name = running.name;
            match tokio::time::timeout(STOP_MAX, running.task).await {
                Ok(Ok(Ok(()))) => tracing::debug!("{name} has stopped"),
                Ok(ended) => outcome = Err(ended_early(name, ended)),
                Err(_) => outcome = Err(Failure::Failed(format!("{name} did not stop within {STOP_MAX:?}"))),
            }
        }
        outcome
    }

    /// The whole life after the start: until `shutdown`, or until a box ends by itself; then stops the others.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Failure> {
        let mut ended = self.until(shutdown.cancelled()).await;
        if ended.is_ok()
            && let Some(farewell) = self.farewell.take()
        {
            ended = self.until(farewell).await;
        }
        let stopped = self.stop().await;
        // The first thing that went wrong is the one to tell.
        ended.and(stopped)
    }

    /// Stops what was started when a later step of the start failed, and returns that failure.
    pub async fn abandon(self, failure: Failure) -> Failure {
        if let Err(Failure::Failed(message)) = self.stop().await {
            tracing::debug!("while stopping: {message}");
        }
        failure
    }
}

fn ended_early(name: &str, ended: Result<Result<(), String>, tokio::task::JoinError>) -> Failure {
    match ended {
        Ok(Ok(())) => Failure::Failed(format!("{name} ended by itself")),
        Ok(Err(message)) => Failure::Failed(message),
        Err(panicked) => Failure::Failed(format!("{name} failed: {panicked}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn boxes_stop_in_reverse_order() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut boxes = Boxes::default();
        for name in ["store", "apiserver"] {
            let order = order.clone();
            boxes.start(name, |stop| async move {
                stop.await;
                order.lock().unwrap().push(name);
                Ok::<(), String>(())
            });
        }
        let farewell = order.clone();
        boxes.before_stop(async move { farewell.lock().unwrap().push("farewell") });
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        boxes.run(shutdown).await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["farewell", "apiserver", "store"]);
    }

    #[tokio::test]
    async fn a_box_that_fails_ends_the_process_with_its_words() {
        let mut boxes = Boxes::default();
        boxes.start("scheduler", |stop| async move {
            stop.await;
            Ok::<(), String>(())
        });
        boxes.start("store", |_| async { Err("the log is damaged") });
        let (_never, ready) = tokio::sync::oneshot::channel::<()>();
        let Failure::Failed(message) = boxes.ready(ready).await.unwrap_err() else { panic!() };
        assert_eq!(message, "the log is damaged");
    }
}
