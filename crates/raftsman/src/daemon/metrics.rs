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

use std::collections::{HashMap, HashSet};

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

/// Joins texts of metrics: each family once, with the series of all; of a series that several tell (the process's own)
/// the first is kept.
fn each_once(texts: &[String]) -> String {
    let mut families: Vec<Vec<&str>> = Vec::new();
    let mut place_of: HashMap<&str, usize> = HashMap::new();
    let mut seen = HashSet::new();
    for text in texts {
        let mut place = 0;
        let mut told = false;
        for line in text.lines() {
            let comment = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
            match comment {
                Some(("HELP", rest)) => {
                    let name = rest.split(' ').next().unwrap_or_default();
                    told = place_of.contains_key(name);
                    place = *place_of.entry(name).or_insert(families.len());
                    if !told {
                        families.push(vec![line]);
                    }
                }
                Some(_) if told => {}
                None if !seen.insert(line.rsplit_once(' ').map_or(line, |(series, _)| series)) => {}
                _ => families.get_mut(place).into_iter().for_each(|family| family.push(line)),
            }
        }
    }
    families.concat().into_iter().flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_told_once_with_all_its_series() {
        let a = "# HELP x X.\n# TYPE x gauge\nx{a=\"1\"} 1\n# HELP y Y.\n# TYPE y gauge\ny 2\n".to_owned();
        let b = "# HELP y Y.\n# TYPE y gauge\ny 3\n# HELP x X.\n# TYPE x gauge\nx{a=\"2\"} 4\n".to_owned();
        let expected = "# HELP x X.\n# TYPE x gauge\nx{a=\"1\"} 1\nx{a=\"2\"} 4\n# HELP y Y.\n# TYPE y gauge\ny 2\n";
        assert_eq!(each_once(&[a, b]), expected);
    }
}
