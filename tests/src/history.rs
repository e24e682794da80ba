//! What clients and watches saw of a store, as JSON lines for the checker in `tests/porcupine` (its history.go names
//! the fields).
//!
//! ```text
//! {"start": {revision, kvs}}     what the store held before the first operation
//! {"op": {call, return, request, response | refused}}     neither: the outcome is unknown, for ever
//! {"watch": {key, end, start, responses}}
//! ```

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use proto::etcdserverpb::{ResponseOp, WatchResponse, response_op::Response as OpResponse};
use proto::mvccpb;
use serde::Serialize;

use crate::peers::peer;
use crate::process::Ran;

/// Values that others write (the API server's objects) are long and of no interest but for being the same.
const VALUE_MAX: usize = 64;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Kv {
    pub key: String,
    pub value: String,
    pub create: i64,
    #[serde(rename = "mod")]
    pub modified: i64,
    pub version: i64,
    pub lease: i64,
}

/// A key or value as text that is the same for the same bytes.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= VALUE_MAX => text.to_owned(),
        _ => {
            // FNV-1a, 64 bits: enough to tell values apart.
            let hash = bytes
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
            format!("#{hash:016x}:{}", bytes.len())
        }
    }
}

impl From<&mvccpb::KeyValue> for Kv {
    fn from(kv: &mvccpb::KeyValue) -> Kv {
        Kv {
            key: String::from_utf8_lossy(&kv.key).into_owned(),
            value: text(&kv.value),
            create: kv.create_revision,
            modified: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        }
    }
}

/// One action of a transaction.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Action {
    /// "put", "delete" or "range".
    pub kind: &'static str,
    pub key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub end: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    pub lease: i64,
}

impl Action {
    pub fn put(key: &str, value: &str, lease: i64) -> Action {
        Action { kind: "put", key: key.into(), value: value.into(), lease, ..Default::default() }
    }

    pub fn delete(key: &str) -> Action {
        Action { kind: "delete", key: key.into(), ..Default::default() }
    }

    /// `end` is empty for the key alone.
    pub fn range(key: &str, end: &str) -> Action {
        Action { kind: "range", key: key.into(), end: end.into(), ..Default::default() }
    }
}

/// Holds if the key has this mod revision; 0 is absence.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Compare {
    pub key: String,
    #[serde(rename = "mod")]
    pub modified: i64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Request {
    pub compare: Option<Compare>,
    pub success: Vec<Action>,
    pub failure: Vec<Action>,
    pub serializable: bool,
    /// Reads an old revision.
    pub at: i64,
    /// A lease to revoke, with the keys that hang on it.
    pub revoke: i64,
    pub compact: i64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    pub kvs: Vec<Kv>,
    pub deleted: i64,
}

impl Outcome {
    pub fn of(op: &ResponseOp) -> Outcome {
        match &op.response {
            Some(OpResponse::ResponseRange(range)) => {
                Outcome { kvs: range.kvs.iter().map(Kv::from).collect(), deleted: 0 }
            }
            Some(OpResponse::ResponseDeleteRange(delete)) => Outcome { kvs: Vec::new(), deleted: delete.deleted },
            _ => Outcome::default(),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Response {
    pub revision: i64,
    pub succeeded: bool,
    pub results: Vec<Outcome>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Operation<'a> {
    pub client: usize,
    pub member: &'a str,
    pub call: u64,
    #[serde(rename = "return")]
    pub ended: u64,
    pub request: &'a Request,
    pub response: Option<&'a Response>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'a str>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Watch {
    pub client: usize,
    pub member: String,
    pub key: String,
    pub end: String,
    pub start: i64,
    pub prev_kv: bool,
    pub no_put: bool,
    pub no_delete: bool,
    pub responses: Vec<Heard>,
}

/// One response of a watch.
#[derive(Clone, Debug, Serialize)]
pub struct Heard {
    pub revision: i64,
    pub created: bool,
    pub canceled: bool,
    pub compact: i64,
    pub fragment: bool,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Event {
    pub delete: bool,
    pub kv: Kv,
    pub prev: Option<Kv>,
}

impl From<&WatchResponse> for Heard {
    fn from(response: &WatchResponse) -> Heard {
        let event = |event: &mvccpb::Event| Event {
            delete: event.r#type() == mvccpb::event::EventType::Delete,
            kv: event.kv.as_ref().map(Kv::from).unwrap_or_default(),
            prev: event.prev_kv.as_ref().map(Kv::from),
        };
        Heard {
            revision: response.header.as_ref().map_or(0, |header| header.revision),
            created: response.created,
            canceled: response.canceled,
            compact: response.compact_revision,
            fragment: response.fragment,
            events: response.events.iter().map(event).collect(),
        }
    }
}

#[derive(Serialize)]
enum Line<'a> {
    #[serde(rename = "start")]
    Start { revision: i64, kvs: &'a [Kv] },
    #[serde(rename = "op")]
    Op(&'a Operation<'a>),
    #[serde(rename = "watch")]
    Watch(&'a Watch),
}

/// A history while it is made.
pub struct Recorder {
    origin: Instant,
    path: PathBuf,
    file: Mutex<BufWriter<File>>,
    acknowledged: AtomicU64,
    unknown: AtomicU64,
}

impl Recorder {
    pub fn new(path: &Path) -> Recorder {
        let file = File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Recorder {
            origin: Instant::now(),
            path: path.to_owned(),
            file: Mutex::new(BufWriter::new(file)),
            acknowledged: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        }
    }

    /// Nanoseconds since the history began.
    pub fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn write(&self, line: &Line<'_>) {
        let mut file = self.file.lock().expect("nobody panics with it");
        serde_json::to_writer(&mut *file, line).expect("a history can be written");
        file.write_all(b"\n").expect("a history can be written");
    }

    pub fn start(&self, revision: i64, kvs: &[Kv]) {
        self.write(&Line::Start { revision, kvs });
    }

    pub fn operation(&self, operation: &Operation<'_>) {
        let writes = operation.request.success.iter().any(|action| action.kind != "range");
        match operation.response {
            Some(response) if writes && response.succeeded => drop(self.acknowledged.fetch_add(1, Ordering::Relaxed)),
            None if operation.refused.is_none() => drop(self.unknown.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        self.write(&Line::Op(operation));
    }

    pub fn watch(&self, watch: &Watch) {
        self.write(&Line::Watch(watch));
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Operations so far of which nobody knows what came of them.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Completes the file.
    pub fn close(&self) -> &Path {
        self.file.lock().expect("nobody panics with it").flush().expect("a history can be written");
        &self.path
    }
}

/// Has a history checked; the checker's last line, or its words about what was broken.
pub fn check(path: &Path) -> Result<String, String> {
    let ran = Ran::run(Command::new(peer("porcupine")).arg(path));
    match ran.code {
        Some(0) => Ok(ran.stdout.trim().to_owned()),
        Some(1) => Err(ran.stdout),
        _ => panic!("the checker failed: {ran}"),
    }
}

/// Has a history checked, and keeps it where the check fails, for whoever looks into it.
#[track_caller]
pub fn expect_kept(path: &Path) -> String {
    check(path).unwrap_or_else(|violations| {
        let kept = std::env::temp_dir().join(format!("raftsman-history-{}.jsonl", std::process::id()));
        let saved = std::fs::copy(path, &kept).is_ok();
        panic!("{violations}the history is {}", if saved { kept.display() } else { path.display() });
    })
}
