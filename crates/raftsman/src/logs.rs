//! Logs: to stderr, in one of two forms, filtered by `RUST_LOG`.

use tracing_subscriber::EnvFilter;

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// What is logged when `RUST_LOG` says nothing: our own news, and other crates' warnings. openraft warns of every single
/// call to a member that is away; the store says once who is.
const DEFAULT_FILTER: &str = "info,openraft=error,h2=warn,hyper=warn,tonic=warn,rustls=warn";

/// Starts logging for this process. A filter that does not parse is told and the default used.
pub fn start(format: LogFormat) {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).unwrap_or_else(|error| {
            eprintln!("raftsman: RUST_LOG={text:?} is not understood ({error}); logging as usual");
            EnvFilter::new(DEFAULT_FILTER)
        }),
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
