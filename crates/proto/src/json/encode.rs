//! Writing.

use super::{Fields, Json, Value};

/// An object that is being written.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    pub(super) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, first: true }
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, name: &'static str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        // Field names need no escapes: they are identifiers.
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Writes a member.
    pub fn put<T: Value>(&mut self, name: &'static str, value: &T) {
        self.key(name);
        value.encode(self.out);
    }

    /// Writes a member whose value is JSON already.
    pub fn raw(&mut self, name: &'static str, json: &'static str) {
        self.key(name);
        self.out.extend_from_slice(json.as_bytes());
    }
}

/// The JSON of a message; a kind's starts with kind and apiVersion.
pub fn to_vec<T: Json>(message: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut object = Object::open(&mut out);
    if let Some((api_version, kind)) = <T as Fields>::ROOT {
        object.put("kind", &kind.to_owned());
        object.put("apiVersion", &api_version.to_owned());
    }
    message.encode_fields(&mut object);
    object.close();
    out
}

/// [`to_vec`] as text.
pub fn to_string<T: Json>(message: &T) -> String {
    String::from_utf8(to_vec(message)).expect("the encoder writes UTF-8 only")
}

pub(super) fn text(value: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a Vec takes every byte");
}
