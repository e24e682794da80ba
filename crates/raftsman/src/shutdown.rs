//! Stopping: the first signal drains, another one later aborts.

use std::process;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What shells report of a process that a signal ended: 128 and the signal's number.
const ABORTED_BY_SIGINT: i32 = 130;
const ABORTED_BY_SIGTERM: i32 = 143;
/// Signals this close are one: `timeout` and shells signal both a process and its group.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// Cancels the returned token at the first SIGTERM or SIGINT and ends the process at one that comes later.
pub fn on_signals() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = token.clone();
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        tracing::info!("stopping; another signal aborts");
        stop.cancel();
        let first = Instant::now();
        loop {
            let code = next(&mut interrupt, &mut terminate).await;
            if first.elapsed() >= ONE_SIGNAL {
                tracing::warn!("aborted by another signal");
                process::exit(code);
            }
        }
    });
    Ok(token)
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> i32 {
    tokio::select! {
        _ = interrupt.recv() => ABORTED_BY_SIGINT,
        _ = terminate.recv() => ABORTED_BY_SIGTERM,
    }
}
