//! Reading: one pass over the bytes, with Go's error texts.

use super::cursor::{Cursor, Step};
use super::encode::{self, Object};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// A message whose JSON is an object. Implemented by generated code.
pub trait Fields: Default + PartialEq {
    /// "v1.JobSpec".
    const GO: &'static str;
    /// apiVersion and kind of what has them.
    const ROOT: Option<(&'static str, &'static str)>;
    fn encode_fields(&self, object: &mut Object<'_>);
    /// Reads the member `key` if there is one of that name, and says its name; else leaves the value unread.
    fn decode_field<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
        at: &mut Cursor,
    ) -> Result<Option<&'static str>, A::Error>;
}

/// Anything with a JSON form.
pub trait Value: Default {
    fn encode(&self, out: &mut Vec<u8>);
    /// None for null. `go` is the type as errors name it.
    fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, go: &str) -> Result<Option<Self>, D::Error>;
    /// Equal to what an absent member means.
    fn is_unset(&self) -> bool {
        false
    }
    /// A message that stands for no value at all (a Time without fields).
    fn is_no_value(&self) -> bool {
        false
    }
}

/// A decoded document.
#[derive(Debug)]
pub struct Decoded<T> {
    pub value: T,
    /// As the document says; empty where it does not.
    pub api_version: String,
    pub kind: String,
    /// `unknown field "spec.x"`, `duplicate field "metadata.labels.a"`, in the order met.
    pub problems: Vec<String>,
}

/// Why a document could not be decoded; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Error {}

/// Decodes one document.
pub fn decode<T: Fields>(bytes: &[u8]) -> Result<Decoded<T>, Error> {
    let mut at = Cursor::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    // Depth is bounded by the types; what no type knows is skipped without recursion.
    json.disable_recursion_limit();
    let value = T::decode(&mut json, &mut at, T::GO).and_then(|value| json.end().map(|()| value));
    match value {
        Ok(value) => Ok(Decoded {
            value: value.unwrap_or_default(),
            api_version: at.api_version,
            kind: at.kind,
            problems: at.problems,
        }),
        Err(error) => Err(Error(at.error.unwrap_or_else(|| error.to_string()))),
    }
}

/// Reads the value of a member; used by generated code.
pub(super) fn member<'de, T: Value, A: MapAccess<'de>>(
    map: &mut A,
    at: &mut Cursor,
    name: &'static str,
    go: &str,
) -> Result<Option<T>, A::Error> {
    at.path.push(Step::Field(name));
    let value = map.next_value_seed(Seed { at, go, value: PhantomData });
    at.path.pop();
    value
}

/// Reads a member of a message whose fields are inlined; used by generated code.
pub(super) fn inline<'de, T: Fields, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    key: &str,
    map: &mut A,
    at: &mut Cursor,
) -> Result<Option<&'static str>, A::Error> {
    let before = slot.is_some();
    let mut inner = slot.take().unwrap_or_default();
    at.path.push(Step::Inline(T::GO.rsplit('.').next().unwrap_or(T::GO)));
    let known = inner.decode_field(key, map, at)?;
    at.path.pop();
    // A null member leaves no trace: `"emptyDir": null` is a volume without a source.
    if before || inner != T::default() {
        *slot = Some(inner);
    }
    Ok(known)
}

struct Seed<'a, 'g, T> {
    at: &'a mut Cursor,
    go: &'g str,
    value: PhantomData<T>,
}

impl<'de, T: Value> DeserializeSeed<'de> for Seed<'_, '_, T> {
    type Value = Option<T>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Option<T>, D::Error> {
        T::decode(d, self.at, self.go)
    }
}

/// A visitor that knows where it is. The macro below gives it Go's complaint for each type that it does not take.
pub(super) struct Reader<'a, 'g, T> {
    pub at: &'a mut Cursor,
    pub go: &'g str,
    pub value: PhantomData<T>,
}

impl<'a, 'g, T> Reader<'a, 'g, T> {
    pub fn new(at: &'a mut Cursor, go: &'g str) -> Self {
        Reader { at, go, value: PhantomData }
    }

    pub fn mismatch<E: serde::de::Error>(self, found: &str) -> E {
        self.at.mismatch(found, self.go);
        E::custom("type mismatch")
    }
}

/// The visits that a reader refuses; null is always taken, as None.
macro_rules! refuse {
    ($($what:ident)*) => {
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.go)
        }
        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        $($crate::json::decode::refuse_one!($what);)*
    };
}
macro_rules! refuse_one {
    (text) => {
        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
            Err(self.mismatch("string"))
        }
    };
    (boolean) => {
        fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
            Err(self.mismatch("bool"))
        }
    };
    (number) => {
        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
            Err(self.mismatch("number"))
        }
        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
            Err(self.mismatch("number"))
        }
        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
            Err(self.mismatch("number"))
        }
    };
    (array) => {
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(self.mismatch("array"))
        }
    };
    (object) => {
        fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(self.mismatch("object"))
        }
    };
}
pub(super) use {refuse, refuse_one};

impl<T: Fields> Value for T {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        self.encode_fields(&mut object);
        object.close();
    }

    fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, go: &str) -> Result<Option<Self>, D::Error> {
        d.deserialize_any(Reader::<T>::new(at, go))
    }

    fn is_unset(&self) -> bool {
        *self == T::default()
    }
}

impl<'de, T: Fields> Visitor<'de> for Reader<'_, '_, T> {
    type Value = Option<T>;
    refuse!(text boolean number array);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let at = self.at;
        let outer = std::mem::replace(&mut at.within, T::GO.rsplit('.').next().unwrap_or(T::GO));
        let within = at.within;
        let mut value = T::default();
        let mut seen: Vec<&'static str> = Vec::with_capacity(16);
        while let Some(key) = map.next_key_seed(Key)? {
            let known = match (T::ROOT, key.as_ref()) {
                (Some(_), "kind") => type_meta(&mut map, at, "kind", |at| &mut at.kind)?,
                (Some(_), "apiVersion") => type_meta(&mut map, at, "apiVersion", |at| &mut at.api_version)?,
                (_, key) => value.decode_field(key, &mut map, at)?,
            };
            at.within = within;
            match known {
                Some(name) if seen.contains(&name) => at.duplicate(name),
                Some(name) => seen.push(name),
                None => {
                    map.next_value::<IgnoredAny>()?;
                    at.unknown(&key);
                }
            }
        }
        at.within = outer;
        Ok(Some(value))
    }
}

/// apiVersion and kind count at the top of a document only; an element of a list may repeat them.
fn type_meta<'de, A: MapAccess<'de>>(
    map: &mut A,
    at: &mut Cursor,
    name: &'static str,
    slot: fn(&mut Cursor) -> &mut String,
) -> Result<Option<&'static str>, A::Error> {
    let top = at.path.is_empty();
    let text: Option<String> = member(map, at, name, "string")?;
    if top {
        *slot(at) = text.unwrap_or_default();
    }
    Ok(Some(name))
}

/// A member's name, borrowed where it has no escapes.
struct Key;
impl<'de> DeserializeSeed<'de> for Key {
    type Value = std::borrow::Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}
impl<'de> Visitor<'de> for Key {
    type Value = std::borrow::Cow<'de, str>;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a member's name")
    }
    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(text.into())
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.to_owned().into())
    }
}

impl<T: Value> Value for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (i, element) in self.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            element.encode(out);
        }
        out.push(b']');
    }

    fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, go: &str) -> Result<Option<Self>, D::Error> {
        d.deserialize_any(Reader::<Vec<T>>::new(at, go))
    }
}

impl<'de, T: Value> Visitor<'de> for Reader<'_, '_, Vec<T>> {
    type Value = Option<Vec<T>>;
    refuse!(text boolean number object);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let go = self.go.strip_prefix("[]").unwrap_or(self.go);
        let mut elements = Vec::new();
        loop {
            self.at.path.push(Step::Index(elements.len()));
            let element = seq.next_element_seed(Seed { at: self.at, go, value: PhantomData });
            self.at.path.pop();
            match element? {
                Some(element) => elements.push(element.unwrap_or_default()),
                None => return Ok(Some(elements)),
            }
        }
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (i, (key, value)) in self.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            encode::text(key, out);
            out.push(b':');
            value.encode(out);
        }
        out.push(b'}');
    }

    fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, go: &str) -> Result<Option<Self>, D::Error> {
        d.deserialize_any(Reader::<BTreeMap<String, T>>::new(at, go))
    }
}

impl<'de, T: Value> Visitor<'de> for Reader<'_, '_, BTreeMap<String, T>> {
    type Value = Option<BTreeMap<String, T>>;
    refuse!(text boolean number array);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let go = self.go.split_once(']').map_or(self.go, |(_, value)| value);
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key_seed(Key)? {
            self.at.path.push(Step::Key(key.as_ref().to_owned()));
            let value = map.next_value_seed(Seed { at: self.at, go, value: PhantomData });
            self.at.path.pop();
            if entries.insert(key.clone().into_owned(), value?.unwrap_or_default()).is_some() {
                self.at.duplicate(&key);
            }
        }
        Ok(Some(entries))
    }
}
