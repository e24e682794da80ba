//! Which events are written: repetitions are counted, floods are cut.
//!
//! The same event about the same object within ten minutes is one Event whose count grows. One object may cause 25 new events at
//! once and one more every five minutes after that (what client-go's recorder allows): a Job of 10,000 Pods has 25
//! `SuccessfulCreate`, not 10,000.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::EventDraft;

/// Within so long, the same event is a repetition.
const REPEAT_WITHIN: TimeDelta = TimeDelta::minutes(10);
/// Events that one object may cause at once.
const BURST: f64 = 25.0;
/// Seconds after which it may cause one more.
const REFILL_SECONDS: f64 = 300.0;
/// Beyond so many remembered events or objects, the old ones are dropped.
const REMEMBERED_MAX: usize = 4096;

#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// A new Event of this name.
    New(Arc<str>),
    /// It is written already, under this name.
    Repeated {
        name: Arc<str>,
        count: i32,
        first: DateTime<Utc>,
    },
    Drop,
}

#[derive(Clone, Hash, PartialEq, Eq)]
struct Sameness {
    object: String,
    field_path: String,
    warning: bool,
    reason: String,
    message: String,
}

struct Written {
    name: Arc<str>,
    count: i32,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
}

struct Bucket {
    tokens: f64,
    at: DateTime<Utc>,
}

#[derive(Default)]
pub(super) struct Correlator {
    written: HashMap<Sameness, Written>,
    buckets: HashMap<String, Bucket>,
    /// Sets apart the names of events of one instant.
    sequence: u64,
}

impl Correlator {
    pub(super) fn judge(&mut self, draft: &EventDraft, now: DateTime<Utc>) -> Verdict {
        self.prune(now);
        let object = object_id(draft);
        if !self.take_token(&object, now) {
            return Verdict::Drop;
        }
        let sameness = Sameness {
            object,
            field_path: draft.object.field_path.clone(),
            warning: draft.warning,
            reason: draft.reason.clone(),
            message: draft.message.clone(),
        };
        if let Some(written) = self.written.get_mut(&sameness)
            && now - written.last <= REPEAT_WITHIN
        {
            written.count += 1;
            written.last = now;
            return Verdict::Repeated { name: written.name.clone(), count: written.count, first: written.first };
        }
        self.sequence += 1;
        // As Kubernetes names them: the object's name and a time in hexadecimal, here with room for the sequence.
        let stamp = (now.timestamp_micros() as u64).wrapping_mul(1024) + self.sequence % 1024;
        let name: Arc<str> = format!("{}.{stamp:x}", draft.object.name).into();
        self.written.insert(sameness, Written { name: name.clone(), count: 1, first: now, last: now });
        Verdict::New(name)
    }

    /// These could not be written: the next of their kind is new.
    pub(super) fn forget(&mut self, names: &[Arc<str>]) {
        self.written.retain(|_, written| !names.contains(&written.name));
    }

    fn take_token(&mut self, object: &str, now: DateTime<Utc>) -> bool {
        let full = Bucket { tokens: BURST, at: now };
        let bucket = self.buckets.entry(object.to_owned()).or_insert(full);
        let seconds = (now - bucket.at).as_seconds_f64().max(0.0);
        bucket.tokens = (bucket.tokens + seconds / REFILL_SECONDS).min(BURST);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    fn prune(&mut self, now: DateTime<Utc>) {
        if self.written.len() > REMEMBERED_MAX {
            self.written.retain(|_, written| now - written.last <= REPEAT_WITHIN);
        }
        if self.written.len() > REMEMBERED_MAX * 2 {
            self.written.clear();
        }
        if self.buckets.len() > REMEMBERED_MAX {
            self.buckets.retain(|_, bucket| now - bucket.at <= REPEAT_WITHIN && bucket.tokens < BURST - 1.0);
        }
        if self.buckets.len() > REMEMBERED_MAX * 2 {
            self.buckets.clear();
        }
    }
}

fn object_id(draft: &EventDraft) -> String {
    let object = &draft.object;
    if object.uid.is_empty() {
        format!("{}/{}/{}", object.kind, object.namespace, object.name)
    } else {
        object.uid.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::core_v1::ObjectReference;

    fn draft(uid: &str, message: &str) -> EventDraft {
        let object = ObjectReference { name: "pi".into(), uid: uid.into(), ..Default::default() };
        EventDraft::normal(object, "SuccessfulCreate", message)
    }

    #[test]
    fn repetitions_are_counted_for_ten_minutes() {
        let (mut correlator, start) = (Correlator::default(), DateTime::UNIX_EPOCH);
        let Verdict::New(name) = correlator.judge(&draft("u", "a"), start) else { panic!("the first is new") };
        let later = start + TimeDelta::minutes(9);
        let again = correlator.judge(&draft("u", "a"), later);
        assert_eq!(again, Verdict::Repeated { name: name.clone(), count: 2, first: start });
        let other = correlator.judge(&draft("u", "b"), later);
        assert!(matches!(other, Verdict::New(other) if other != name));
        assert!(matches!(correlator.judge(&draft("u", "a"), later + TimeDelta::minutes(11)), Verdict::New(_)));
    }

    #[test]
    fn one_object_is_cut_and_others_are_heard() {
        let (mut correlator, start) = (Correlator::default(), DateTime::UNIX_EPOCH);
        let heard = (0..100).filter(|n| correlator.judge(&draft("u", &n.to_string()), start) != Verdict::Drop).count();
        assert_eq!(heard, 25);
        assert!(matches!(correlator.judge(&draft("v", "x"), start), Verdict::New(_)));
        let later = start + TimeDelta::seconds(301);
        assert!(matches!(correlator.judge(&draft("u", "x"), later), Verdict::New(_)));
        assert_eq!(correlator.judge(&draft("u", "y"), later), Verdict::Drop);
    }

    #[test]
    fn what_was_not_written_is_new_again() {
        let (mut correlator, start) = (Correlator::default(), DateTime::UNIX_EPOCH);
        let Verdict::New(name) = correlator.judge(&draft("u", "a"), start) else { panic!("the first is new") };
        correlator.forget(&[name]);
        assert!(matches!(correlator.judge(&draft("u", "a"), start), Verdict::New(_)));
    }
}
