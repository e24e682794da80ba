//! The event recorder: tells people, through Event objects, what a component did and why.
//!
//! Events are best effort (design D2): they follow the Commit they tell of, in batches of their own, and are dropped rather than
//! allowed to hold anything up. [`correlate`] decides, without waiting, which of them are written: repetitions become a count,
//! and an object that causes too many is heard less.

mod correlate;

use std::sync::Arc;
use std::time::Duration;

use api::time::to_time;
use chrono::Utc;
use proto::core_v1::{Event, EventSource, ObjectReference};
use proto::meta_v1::ObjectMeta;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::commit::{Fence, Group, GroupResult, Write};
use correlate::{Correlator, Verdict};

/// Events that wait to be written; more are dropped.
const WAITING_MAX: usize = 10_000;
/// How long events are gathered before they are written.
const GATHER: Duration = Duration::from_millis(200);
/// New events of one namespace that are written in one group.
const GROUP_EVENTS_MAX: usize = 50;
/// Where events about objects without a namespace lie.
const DEFAULT_NAMESPACE: &str = "default";

/// What happened to which object.
#[derive(Clone, Debug, PartialEq)]
pub struct EventDraft {
    pub object: ObjectReference,
    /// Something that a user should look at.
    pub warning: bool,
    /// One CamelCase word for machines: `SuccessfulCreate`.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl EventDraft {
    pub fn normal(object: ObjectReference, reason: impl Into<String>, message: impl Into<String>) -> Self {
        EventDraft { object, warning: false, reason: reason.into(), message: message.into() }
    }

    pub fn warning(object: ObjectReference, reason: impl Into<String>, message: impl Into<String>) -> Self {
        EventDraft { object, warning: true, reason: reason.into(), message: message.into() }
    }
}

/// A cloneable handle; the events are written by a task of its own.
#[derive(Clone)]
pub struct Recorder {
    sender: mpsc::Sender<EventDraft>,
}

impl Recorder {
    /// `component` is who tells (`job-controller`), `host` where it runs. With `fence`, events are written only while it holds one,
    /// and under it.
    pub fn start(
        client: Client,
        component: &str,
        host: &str,
        fence: Option<watch::Receiver<Option<Fence>>>,
        shutdown: CancellationToken,
    ) -> Recorder {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let writer = Writer {
            client,
            source: EventSource { component: component.to_owned(), host: host.to_owned() },
            fence,
            correlator: Correlator::default(),
        };
        tokio::spawn(writer.run(receiver, shutdown));
        Recorder { sender }
    }

    /// Hands an event over. Never waits: when too many wait already, this one is dropped.
    pub fn record(&self, event: EventDraft) {
        if let Err(error) = self.sender.try_send(event) {
            tracing::debug!(%error, "an event is dropped");
        }
    }
}

struct Writer {
    client: Client,
    source: EventSource,
    fence: Option<watch::Receiver<Option<Fence>>>,
    correlator: Correlator,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<EventDraft>, shutdown: CancellationToken) {
        let mut drafts = Vec::new();
        loop {
            let stopping = tokio::select! {
                received = receiver.recv_many(&mut drafts, WAITING_MAX) => received == 0,
                () = shutdown.cancelled() => true,
            };
            if !stopping {
                // What comes within the same moment goes into the same Commit.
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = shutdown.cancelled() => {}
                }
            }
            while drafts.len() < WAITING_MAX
                && let Ok(draft) = receiver.try_recv()
            {
                drafts.push(draft);
            }
            self.write(std::mem::take(&mut drafts)).await;
            if stopping {
                return;
            }
        }
    }

    async fn write(&mut self, drafts: Vec<EventDraft>) {
        let fence = self.fence.as_ref().map(|fence| fence.borrow().clone());
        // Fenced, but not leading: whoever leads tells.
        if drafts.is_empty() || fence == Some(None) {
            return;
        }
        let now = Utc::now();
        let (mut new, mut repeated): (Vec<Event>, Vec<Event>) = (Vec::new(), Vec::new());
        for draft in drafts {
            match self.correlator.judge(&draft, now) {
                Verdict::New(name) => new.push(self.event(draft, name, 1, now, now)),
                Verdict::Repeated { name, count, first } => {
                    let event = self.event(draft, name, count, first, now);
                    // Of several repetitions in one batch the last tells all.
                    repeated.retain(|other| meta(other).name != meta(&event).name);
                    match new.iter_mut().find(|other| meta(other).name == meta(&event).name) {
                        Some(unwritten) => *unwritten = event,
                        None => repeated.push(event),
                    }
                }
                Verdict::Drop => {}
            }
        }
        let groups = groups(new, repeated, &fence.flatten());
        self.commit(groups).await;
    }

    async fn commit(&mut self, groups: Vec<(Vec<Arc<str>>, Group)>) {
        let (names, groups): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        match self.client.commit(groups).await {
            Ok(results) => {
                for (names, result) in names.iter().zip(results) {
                    if !matches!(result, GroupResult::Committed { .. }) {
                        tracing::debug!(?result, "events are not written");
                        // An event that has expired meanwhile begins anew next time.
                        self.correlator.forget(names);
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "writing events"),
        }
    }

    fn event(
        &self,
        draft: EventDraft,
        name: Arc<str>,
        count: i32,
        first: chrono::DateTime<Utc>,
        last: chrono::DateTime<Utc>,
    ) -> Event {
        let namespace = match draft.object.namespace.as_str() {
            "" => DEFAULT_NAMESPACE.to_owned(),
            namespace => namespace.to_owned(),
        };
        Event {
            metadata: Some(ObjectMeta { name: name.to_string(), namespace, ..Default::default() }),
            involved_object: Some(draft.object),
            reason: draft.reason,
            message: draft.message,
            r#type: if draft.warning { "Warning" } else { "Normal" }.to_owned(),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            source: Some(self.source.clone()),
            first_timestamp: Some(to_time(first)),
            last_timestamp: Some(to_time(last)),
            count,
            ..Default::default()
        }
    }
}

fn meta(event: &Event) -> &ObjectMeta {
    event.metadata.as_ref().expect("made with metadata")
}

/// New events together, by namespace (one that is being deleted refuses its own only); repeated ones alone, since each may have
/// expired by itself.
fn groups(new: Vec<Event>, repeated: Vec<Event>, fence: &Option<Fence>) -> Vec<(Vec<Arc<str>>, Group)> {
    let mut by_namespace: std::collections::BTreeMap<String, Vec<Event>> = std::collections::BTreeMap::new();
    for event in new {
        by_namespace.entry(meta(&event).namespace.clone()).or_default().push(event);
    }
    let mut groups = Vec::new();
    for events in by_namespace.into_values() {
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            let chunk: Vec<Event> = events.by_ref().take(GROUP_EVENTS_MAX).collect();
            let names = chunk.iter().map(|event| Arc::from(meta(event).name.as_str())).collect();
            let writes = chunk.into_iter().map(Write::create).collect();
            groups.push((names, Group { writes, fence: fence.clone(), ..Default::default() }));
        }
    }
    for event in repeated {
        let names = vec![Arc::from(meta(&event).name.as_str())];
        groups.push((names, Group { writes: vec![Write::update(event)], fence: fence.clone(), ..Default::default() }));
    }
    groups
}
