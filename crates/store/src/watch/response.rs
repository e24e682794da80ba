//! What a stream is told. Its events are protobuf already: an event is made once and then only copied, however many
//! watches are given it.

use bytes::{BufMut, Bytes};
use prost::Message;
use proto::etcdserverpb::WatchResponse;
use proto::mvccpb;

/// A response.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// Everything but the events.
    pub head: WatchResponse,
    /// The events, each as `encoded` makes it.
    pub events: Vec<Bytes>,
    /// Whether its watch takes a large response in fragments.
    pub fragment: bool,
}

/// Bytes that a fragment stays below, unless a single event is larger; etcd's.
const FRAGMENT_BYTES: usize = 2 << 20;
/// Bytes of the field that says that a message is a fragment.
const FLAG_BYTES: usize = 2;

impl Response {
    /// The response in as many messages as its client wants to have it in.
    pub fn fragments(self) -> Vec<Self> {
        let mut bytes = self.encoded_len();
        if !self.fragment || bytes < FRAGMENT_BYTES {
            return vec![self];
        }
        let mut fragments: Vec<Self> = Vec::new();
        for event in self.events {
            bytes += event.len();
            match fragments.last_mut() {
                Some(last) if bytes < FRAGMENT_BYTES => last.events.push(event),
                last => {
                    if let Some(last) = last {
                        last.head.fragment = true;
                    }
                    bytes = self.head.encoded_len() + FLAG_BYTES + event.len();
                    fragments.push(Self { head: self.head.clone(), events: vec![event], fragment: true });
                }
            }
        }
        fragments
    }

    /// Bytes of the whole message.
    pub fn encoded_len(&self) -> usize {
        self.head.encoded_len() + self.events.iter().map(Bytes::len).sum::<usize>()
    }

    /// Writes the message. By protobuf's rule that messages are merged by writing one after the other, the fields of
    /// the head and those of the events are one message.
    pub fn encode(&self, buffer: &mut impl BufMut) -> Result<(), prost::EncodeError> {
        self.head.encode(buffer)?;
        for event in &self.events {
            buffer.put_slice(event);
        }
        Ok(())
    }
}

impl From<WatchResponse> for Response {
    fn from(head: WatchResponse) -> Self {
        Self { head, ..Default::default() }
    }
}

/// An event as the field of a response that holds it.
pub fn encoded(event: mvccpb::Event) -> Bytes {
    WatchResponse { events: vec![event], ..Default::default() }.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_events_are_one_message() {
        let event = |key: &'static str| mvccpb::Event {
            r#type: mvccpb::event::EventType::Delete as i32,
            kv: Some(mvccpb::KeyValue { key: key.into(), mod_revision: 7, ..Default::default() }),
            prev_kv: Some(mvccpb::KeyValue { value: vec![1; 300].into(), ..Default::default() }),
        };
        let head = WatchResponse { watch_id: 3, canceled: true, ..Default::default() };
        let events = vec![event("a"), event("b")];
        let encoded = events.iter().cloned().map(encoded).collect();
        let response = Response { head: head.clone(), events: encoded, fragment: false };
        let mut bytes = Vec::new();
        response.encode(&mut bytes).unwrap();
        assert_eq!(bytes.len(), response.encoded_len());
        assert_eq!(WatchResponse::decode(&bytes[..]).unwrap(), WatchResponse { events, ..head });
    }

    #[test]
    fn fragments_are_small_and_leave_nothing_out() {
        let sizes = [1 << 20, 900_000, 500_000, 3 << 20, 10, 20, 2 << 20, 7];
        let events: Vec<Bytes> = sizes.iter().map(|size| vec![0; *size].into()).collect();
        let whole = Response { events: events.clone(), ..Default::default() };
        assert_eq!(whole.clone().fragments().len(), 1, "a watch that did not ask for fragments gets none");
        let fragments = Response { fragment: true, ..whole }.fragments();
        assert!(fragments.iter().all(|part| part.encoded_len() < FRAGMENT_BYTES || part.events.len() == 1));
        let (last, others) = fragments.split_last().unwrap();
        assert!(!last.head.fragment && others.iter().all(|part| part.head.fragment));
        assert_eq!(fragments.len(), 6);
        assert_eq!(fragments.into_iter().flat_map(|part| part.events).collect::<Vec<_>>(), events);
        let small = Response { events: vec![vec![0; 100].into()], fragment: true, ..Default::default() };
        assert_eq!(small.fragments().len(), 1);
    }
}
