//! A change on its way to watchers, with its protobuf form made once however many watch.

use std::cell::OnceCell;

use bytes::Bytes;
use proto::mvccpb;

use super::response::encoded;
use crate::machine::{Event, Record, Revision, View};
use crate::raft::state::RocksDisk;

/// A change, and its two forms as they are asked for.
pub struct Change {
    event: Event,
    plain: OnceCell<Bytes>,
    with_previous: OnceCell<Bytes>,
}

impl Change {
    /// A change that the machine made.
    pub fn new(event: Event) -> Self {
        Self { event, plain: OnceCell::new(), with_previous: OnceCell::new() }
    }

    /// Main revision.
    pub fn revision(&self) -> i64 {
        self.event.record.kv().mod_revision
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.event.record.kv().key
    }

    /// Whether the key was deleted.
    pub fn deletes(&self) -> bool {
        matches!(self.event.record, Record::Delete(_))
    }

    /// Whether the key existed before.
    pub fn has_previous(&self) -> bool {
        self.event.previous.is_some()
    }

    /// Roughly the bytes that it takes in a response, without what was before.
    pub fn size(&self) -> usize {
        let kv = self.event.record.kv();
        kv.key.len() + kv.value.len() + 64
    }

    /// The event as watchers are given it; with the pair as it was before if `previous`, unless that is compacted.
    pub fn event(&self, view: &View<RocksDisk>, previous: bool) -> Bytes {
        let form = match self.event.previous {
            Some(at) if previous => self.with_previous.get_or_init(|| self.encode(read(view, at))),
            _ => self.plain.get_or_init(|| self.encode(None)),
        };
        form.clone()
    }

    fn encode(&self, prev_kv: Option<mvccpb::KeyValue>) -> Bytes {
        let r#type = if self.deletes() { mvccpb::event::EventType::Delete } else { mvccpb::event::EventType::Put };
        encoded(mvccpb::Event { r#type: r#type as i32, kv: Some(self.event.record.kv().clone()), prev_kv })
    }
}

fn read(view: &View<RocksDisk>, at: Revision) -> Option<mvccpb::KeyValue> {
    match view.value(at) {
        Ok(kv) => kv,
        Err(error) => {
            tracing::error!("the version at revision {} can't be read: {error}", at.main);
            None
        }
    }
}
