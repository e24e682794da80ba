//! `raftsman job watch`: a progress bar on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use client::watch::{Event, WatchOptions};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::batch_v1::Job;

use super::Target;
use super::progress::{Progress, State};
use crate::command::connection::Session;
use crate::failure::Failure;

/// How long a server that went away is waited for: a restart of `dev` takes a few seconds.
const OUTAGE_MAX: Duration = Duration::from_secs(60);
const RETRY_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    #[command(flatten)]
    target: Target,
}

pub async fn run(args: WatchArgs) -> Result<(), Failure> {
    let session = args.target.connection.open()?;
    let name = &args.target.name;
    let mut display = Display::new(name, std::io::stdout().is_terminal());
    let end = follow(&session, name, &mut display).await;
    display.close();
    let last = end?;
    match last.state {
        State::Failed => Err(Failure::Failed(format!("Job {name} failed: {}", last.message))),
        _ => Ok(()),
    }
}

/// Watches until the Job has finished, over interruptions, and returns its last progress.
async fn follow(session: &Session, name: &str, display: &mut Display) -> Result<Progress, Failure> {
    // The first answer decides between "no such Job", "no such server" and going on.
    let job: Job = session.client.get(&session.namespace, name).await?;
    let mut last = Progress::of(&job);
    display.show(&last);
    let mut away_since = None;
    while !last.is_finished() {
        match watch_once(session, name, display, &mut last).await {
            Ok(()) => away_since = None,
            Err(error) if error.is_unreachable() => {
                let since = *away_since.get_or_insert_with(std::time::Instant::now);
                if since.elapsed() > OUTAGE_MAX {
                    return Err(error.into());
                }
            }
            Err(error) if error.is_expired() => {}
            Err(error) => return Err(error.into()),
        }
        if !last.is_finished() {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
    Ok(last)
}

/// One watch, from the present state on, until the Job has finished or the server ends the watch.
async fn watch_once(
    session: &Session,
    name: &str,
    display: &mut Display,
    last: &mut Progress,
) -> Result<(), client::Error> {
    let options = WatchOptions {
        namespace: session.namespace.clone(),
        field_selector: format!("metadata.name={name}"),
        ..Default::default()
    };
    let mut watch = session.client.watch::<Job>(options).await?;
    let mut present = false;
    while let Some(batch) = watch.next().await? {
        for event in batch.events {
            match event {
                Event::Added(job) | Event::Modified(job) => {
                    present = true;
                    *last = Progress::of(&job);
                    display.show(last);
                }
                Event::Deleted(job) => {
                    *last = deleted(&job);
                    display.show(last);
                }
                Event::Bookmark { initial_end: true } if !present => {
                    *last = deleted(&Job::default());
                }
                Event::Bookmark { .. } => {}
            }
            if last.is_finished() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A Job that was deleted before it finished did not do what was asked.
fn deleted(job: &Job) -> Progress {
    let progress = Progress::of(job);
    match progress.state {
        State::Complete | State::Failed => progress,
        _ => Progress { state: State::Failed, message: "it was deleted before it finished".to_owned(), ..progress },
    }
}

/// Where progress is shown.
struct Display {
    name: String,
    bar: Option<ProgressBar>,
    /// The last line printed where there is no bar: unchanged progress prints nothing.
    line: String,
}

impl Display {
    fn new(name: &str, terminal: bool) -> Display {
        let bar = terminal.then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:40.green} {pos}/{len}   {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stdout());
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        Display { name: name.to_owned(), bar, line: String::new() }
    }

    fn show(&mut self, progress: &Progress) {
        let line = progress.line(&self.name);
        if line == self.line {
            return;
        }
        match &self.bar {
            Some(bar) => {
                bar.set_length(u64::try_from(progress.wanted).unwrap_or(0));
                bar.set_position(u64::try_from(progress.succeeded).unwrap_or(0));
                bar.set_message(format!(
                    "{}: running {}, succeeded {}, failed {}",
                    progress.state.word(),
                    progress.running,
                    progress.succeeded,
                    progress.failed
                ));
            }
            None => println!("{line}"),
        }
        self.line = line;
    }

    /// Leaves the bar as it is and the cursor on the next line.
    fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
