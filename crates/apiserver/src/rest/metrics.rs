//! `/metrics`: how many requests were answered how, and the process's memory and time.

use std::collections::BTreeMap;
use std::fmt::Write;

use http::{Method, StatusCode};
use parking_lot::Mutex;

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answered requests by method, resource (empty for other paths) and code.
#[derive(Default)]
pub struct Requests(Mutex<BTreeMap<(String, String, u16), u64>>);

/// Names come from request paths, so their number is bounded here.
const MAX_SERIES: usize = 2_000;

impl Requests {
    pub fn count(&self, method: &Method, resource: &str, code: StatusCode) {
        // A resource that does not exist is not worth a series.
        let resource = if code == StatusCode::NOT_FOUND { "" } else { resource };
        let key = (method.to_string(), resource.to_string(), code.as_u16());
        let mut counts = self.0.lock();
        if counts.len() < MAX_SERIES || counts.contains_key(&key) {
            *counts.entry(key).or_default() += 1;
        }
    }

    /// Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# HELP apiserver_request_total Requests that were answered.\n# TYPE apiserver_request_total counter\n",
        );
        for ((method, resource, code), count) in self.0.lock().iter() {
            let labels = format!("verb=\"{method}\",resource=\"{resource}\",code=\"{code}\"");
            let _ = writeln!(text, "apiserver_request_total{{{labels}}} {count}");
        }
        if let Some(bytes) = resident_bytes() {
            text.push_str("# HELP process_resident_memory_bytes Resident memory.\n");
            text.push_str("# TYPE process_resident_memory_bytes gauge\n");
            let _ = writeln!(text, "process_resident_memory_bytes {bytes}");
        }
        text
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_code() {
        let requests = Requests::default();
        requests.count(&Method::GET, "jobs", StatusCode::OK);
        requests.count(&Method::GET, "jobs", StatusCode::OK);
        requests.count(&Method::GET, "no-such", StatusCode::NOT_FOUND);
        let text = requests.text();
        assert!(text.contains("apiserver_request_total{verb=\"GET\",resource=\"jobs\",code=\"200\"} 2\n"));
        assert!(text.contains("resource=\"\",code=\"404\"} 1\n"));
    }
}
