//! The Pods that wait for a node, in the order in which they get one: higher priority first, then the longer wait.
//!
//! They stand in one line per class. When the head of a line fits nowhere, nobody in that line does, so a pass costs
//! as much as it places, however many wait. A Pod leaves its line when it is placed and comes back when its bind
//! failed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::condition;
use api::proto::core_v1::Pod;
use chrono::{DateTime, TimeDelta, Utc};

use crate::class::Class;

/// The same Pod is told anew that it fits nowhere only when the reason has changed, and at most this often.
pub const REPORT_AGAIN_AFTER: TimeDelta = TimeDelta::seconds(10);

/// A Pod without a node.
#[derive(Debug, Clone)]
pub struct WaitingPod {
    /// Whole, as it was last seen.
    pub pod: Arc<Pod>,
    pub uid: String,
    pub class: Arc<Class>,
    pub priority: i32,
    /// The last answer that it got: the message in its PodScheduled condition, and when it was written.
    pub told: Option<(Arc<str>, DateTime<Utc>)>,
}

impl WaitingPod {
    pub fn new(pod: Arc<Pod>, class: Arc<Class>) -> Self {
        let uid = pod.metadata.as_ref().map(|metadata| metadata.uid.clone()).unwrap_or_default();
        let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default();
        // What an earlier leader has told stands in the Pod.
        let condition = pod.status.as_ref().and_then(|status| condition::find(&status.conditions, "PodScheduled"));
        let told = condition
            .filter(|condition| condition.status == "False" && !condition.message.is_empty())
            .map(|condition| (Arc::from(condition.message.as_str()), DateTime::<Utc>::MIN_UTC));
        Self { pod, uid, class, priority, told }
    }

    /// When this Pod is due to be told `message`; `None`: it has been.
    pub fn report_due(&self, message: &str) -> Option<DateTime<Utc>> {
        match &self.told {
            None => Some(DateTime::<Utc>::MIN_UTC),
            Some((told, _)) if **told == *message => None,
            Some((_, at)) => Some(at.checked_add_signed(REPORT_AGAIN_AFTER).unwrap_or(*at)),
        }
    }
}

/// A place in the order of all waiting Pods: the smaller goes first.
pub type Place = (Reverse<i32>, u64);

/// Lines are told apart by the address of their class, which interning makes unique while it lives.
type LineId = usize;

#[derive(Debug, Default)]
pub struct Pending {
    lines: HashMap<LineId, BTreeMap<Place, WaitingPod>>,
    place_of: HashMap<String, (LineId, Place)>,
    arrivals: u64,
}

impl Pending {
    /// A Pod waits, or has changed while it waited; then it keeps its place and what it was told.
    pub fn insert(&mut self, mut pod: WaitingPod) {
        let line = line_of(&pod.class);
        let mut arrival = None;
        if let Some((old_line, old_place)) = self.place_of.remove(&pod.uid) {
            let old = self.take(old_line, old_place);
            // What was told here is newer than what the watch has brought.
            pod.told = old.and_then(|old| old.told).or(pod.told);
            arrival = Some(old_place.1);
        }
        let arrival = arrival.unwrap_or_else(|| {
            self.arrivals += 1;
            self.arrivals
        });
        let place = (Reverse(pod.priority), arrival);
        self.place_of.insert(pod.uid.clone(), (line, place));
        self.lines.entry(line).or_default().insert(place, pod);
    }

    pub fn remove(&mut self, uid: &str) -> Option<WaitingPod> {
        let (line, place) = self.place_of.remove(uid)?;
        self.take(line, place)
    }

    /// Telling this Pod failed: it is due again after the usual pause.
    pub fn untold(&mut self, uid: &str, now: DateTime<Utc>) {
        let Some((line, place)) = self.place_of.get(uid) else { return };
        if let Some(pod) = self.lines.get_mut(line).and_then(|line| line.get_mut(place)) {
            pod.told = Some((Arc::from(""), now));
        }
    }

    pub fn len(&self) -> usize {
        self.place_of.len()
    }

    pub fn is_empty(&self) -> bool {
        self.place_of.is_empty()
    }

    /// The head of each line.
    pub fn heads(&self) -> impl Iterator<Item = (Place, &WaitingPod)> {
        self.lines.values().filter_map(|line| line.first_key_value()).map(|(place, pod)| (*place, pod))
    }

    /// The head of the line of this class.
    pub fn head(&self, class: &Arc<Class>) -> Option<(Place, &WaitingPod)> {
        let line = self.lines.get(&line_of(class))?;
        line.first_key_value().map(|(place, pod)| (*place, pod))
    }

    /// All who wait in the line of this class, in order.
    pub fn line_mut(&mut self, class: &Arc<Class>) -> impl Iterator<Item = &mut WaitingPod> {
        self.lines.get_mut(&line_of(class)).into_iter().flat_map(|line| line.values_mut())
    }

    fn take(&mut self, line: LineId, place: Place) -> Option<WaitingPod> {
        let waiting = self.lines.get_mut(&line)?;
        let pod = waiting.remove(&place);
        if waiting.is_empty() {
            self.lines.remove(&line);
        }
        pod
    }
}

fn line_of(class: &Arc<Class>) -> LineId {
    Arc::as_ptr(class) as LineId
}
