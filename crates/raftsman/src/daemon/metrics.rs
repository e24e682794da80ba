//! The metrics of this process: where its boxes put them, and the port of `--listen-metrics` that shows them all.
//!
//! ```text
//!   store                                  -> store  \
//!   API server, controllers, scheduler     -> plane  / -> --listen-metrics: both
//!   this process itself (memory, CPU time) -> both
//! ```
//!
//! Two registries, since each port tells its own: whoever scrapes the store's port and the API's must not count anything
//! twice.

use std::collections::HashSet;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;

use super::boxes::Boxes;
use super::listen::Bound;
use super::process;

/// Handles of both registries; clones are the same.
#[derive(Clone)]
pub struct Metrics {
    /// What the store's port shows.
    pub store: store::SharedRegistry,
    /// What the API's port shows.
    pub plane: apiserver::SharedRegistry,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Metrics { store: Default::default(), plane: Default::default() };
        process::register(&mut metrics.store.lock());
        process::register(&mut metrics.plane.lock());
        metrics
    }
}

impl Metrics {
    /// Serves everything at `/metrics` of this port, in plaintext, to whoever reaches it.
    pub fn serve(&self, boxes: &mut Boxes, port: Option<Bound>) {
        let Some(port) = port else { return };
        let metrics = self.clone();
        let router = Router::new().route("/metrics", get(move || async move { metrics.answer() }));
        boxes.start("metrics", |stop| async move {
            axum::serve(port.listener, router).with_graceful_shutdown(stop).await.map_err(|error| error.to_string())
        });
    }

    fn answer(&self) -> Response {
        let text = |registry: &Registry| {
            let mut text = String::new();
            prometheus_text::encode(&mut text, registry).map(|()| text)
        };
        // One after the other, so that no two locks are held at a time.
        let texts = text(&self.store.lock()).and_then(|store| Ok((store, text(&self.plane.lock())?)));
        match texts {
            Ok((store, plane)) => {
                let all = each_once(&[store, plane]);
                ([(header::CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], all).into_response()
            }
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

/// Joins texts of metrics; of a family that several have (the process's own) the first is kept.
fn each_once(texts: &[String]) -> String {
    let mut seen = HashSet::new();
    let mut all = String::with_capacity(texts.iter().map(String::len).sum());
    for text in texts {
        let mut keep = true;
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# HELP ").and_then(|rest| rest.split(' ').next()) {
                keep = seen.insert(family);
            }
            if keep {
                all.push_str(line);
                all.push('\n');
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_told_once() {
        let a = "# HELP x X.\n# TYPE x gauge\nx 1\n# HELP y Y.\n# TYPE y gauge\ny 2\n".to_owned();
        let b = "# HELP y Y.\n# TYPE y gauge\ny 3\n# HELP z Z.\n# TYPE z gauge\nz{a=\"b\"} 4\n".to_owned();
        let expected = "# HELP x X.\n# TYPE x gauge\nx 1\n# HELP y Y.\n# TYPE y gauge\ny 2\n# HELP z Z.\n# TYPE z gauge\nz{a=\"b\"} 4\n";
        assert_eq!(each_once(&[a, b]), expected);
    }
}
