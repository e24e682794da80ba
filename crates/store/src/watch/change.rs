//! A change on its way to watchers, with its protobuf form made once however many watch.

use std::cell::OnceCell;

use proto::mvccpb;

use crate::machine::{Event, Record, Revision, View};
use crate::raft::state::RocksDisk;

/// A change, and its two forms as they are asked for.
pub struct Change {
    event: Event,
    plain: OnceCell<mvccpb::Event>,
    with_previous: OnceCell<mvccpb::Event>,
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

    /// Roughly the bytes that it takes in a response.
    pub fn size(&self) -> usize {
        let kv = self.event.record.kv();
        kv.key.len() + kv.value.len() + 64
    }

    /// The event for watchers; with the pair as it was before if `previous`, unless that is compacted.
    pub fn event(&self, view: &View<RocksDisk>, previous: bool) -> mvccpb::Event {
        let plain = self.plain.get_or_init(|| {
            let r#type = if self.deletes() { mvccpb::event::EventType::Delete } else { mvccpb::event::EventType::Put };
            mvccpb::Event { r#type: r#type as i32, kv: Some(self.event.record.kv().clone()), prev_kv: None }
        });
        match self.event.previous {
            Some(at) if previous => {
                self.with_previous.get_or_init(|| mvccpb::Event { prev_kv: read(view, at), ..plain.clone() }).clone()
            }
            _ => plain.clone(),
        }
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
