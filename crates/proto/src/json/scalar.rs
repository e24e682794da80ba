//! The scalars: Go's basic types, and the messages whose JSON is not an object.

use super::cursor::Cursor;
use super::decode::{Reader, Value, refuse};
use super::encode;
use super::instant::{self, Layout};
use crate::intstr::IntOrString;
use crate::meta_v1::{FieldsV1, MicroTime, Time};
use crate::resource::Quantity;
use crate::runtime::RawExtension;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::value::RawValue;

impl Value for String {
    fn encode(&self, out: &mut Vec<u8>) {
        encode::text(self, out);
    }
    fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, go: &str) -> Result<Option<Self>, D::Error> {
        d.deserialize_any(Reader::<String>::new(at, go))
    }
}
impl<'de> Visitor<'de> for Reader<'_, '_, String> {
    type Value = Option<String>;
    refuse!(boolean number array object);
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }
}

impl Value for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
    fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, go: &str) -> Result<Option<Self>, D::Error> {
        d.deserialize_any(Reader::<bool>::new(at, go))
    }
}
impl<'de> Visitor<'de> for Reader<'_, '_, bool> {
    type Value = Option<bool>;
    refuse!(text number array object);
    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value))
    }
}

macro_rules! integer {
    ($t:ty) => {
        impl Value for $t {
            fn encode(&self, out: &mut Vec<u8>) {
                serde_json::to_writer(out, self).expect("a Vec takes every byte");
            }
            fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, go: &str) -> Result<Option<Self>, D::Error> {
                d.deserialize_any(Reader::<$t>::new(at, go))
            }
        }
        impl<'de> Visitor<'de> for Reader<'_, '_, $t> {
            type Value = Option<$t>;
            refuse!(text boolean array object);
            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                let fits = <$t>::try_from(value).ok();
                fits.map(Some).ok_or_else(|| self.mismatch(&format!("number {value}")))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                let fits = <$t>::try_from(value).ok();
                fits.map(Some).ok_or_else(|| self.mismatch(&format!("number {value}")))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
                Err(self.mismatch(&format!("number {value:?}")))
            }
        }
    };
}
integer!(i32);
integer!(i64);

/// Bytes are base64 text.
impl Value for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode::text(&STANDARD.encode(self), out);
    }
    fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, go: &str) -> Result<Option<Self>, D::Error> {
        d.deserialize_any(Reader::<Vec<u8>>::new(at, go))
    }
}
impl<'de> Visitor<'de> for Reader<'_, '_, Vec<u8>> {
    type Value = Option<Vec<u8>>;
    refuse!(boolean number array object);
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        // Go skips line breaks in base64.
        let compact: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        STANDARD.decode(&compact).map(Some).map_err(|error| {
            let offset = match error {
                base64::DecodeError::InvalidByte(offset, _) | base64::DecodeError::InvalidLastSymbol(offset, _) => {
                    offset
                }
                // Go counts from where the group of four begins that is cut short.
                _ => compact.len() / 4 * 4,
            };
            self.at.fail(format!("illegal base64 data at input byte {offset}"));
            E::custom("base64")
        })
    }
}

fn at(seconds: Option<i64>, nanos: Option<i32>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds?, u32::try_from(nanos.unwrap_or(0)).unwrap_or(0))
}

/// RFC 3339 text; `$format` is how it is written.
macro_rules! instant_value {
    ($t:ty, $layout:expr, $format:expr, $keep_nanos:expr) => {
        impl Value for $t {
            fn encode(&self, out: &mut Vec<u8>) {
                match at(self.seconds, self.nanos) {
                    Some(at) => encode::text(&$format(at), out),
                    None => out.extend_from_slice(b"null"),
                }
            }
            fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, _go: &str) -> Result<Option<Self>, D::Error> {
                // Go reads a text first, so that is the type it asks for.
                d.deserialize_any(Reader::<$t>::new(at, "string"))
            }
            fn is_unset(&self) -> bool {
                self.seconds.is_none()
            }
            fn is_no_value(&self) -> bool {
                self.seconds.is_none()
            }
        }
        impl<'de> Visitor<'de> for Reader<'_, '_, $t> {
            type Value = Option<$t>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.go)
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
            super::decode::refuse_one!(boolean);
            super::decode::refuse_one!(number);
            super::decode::refuse_one!(array);
            super::decode::refuse_one!(object);
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                match instant::parse(text, $layout) {
                    Ok(time) => Ok(Some(<$t>::from_instant(time))),
                    Err(problem) => {
                        self.at.fail(problem);
                        Err(E::custom("time"))
                    }
                }
            }
        }
        impl $t {
            /// The instant, with this type's precision.
            pub fn from_instant(at: DateTime<Utc>) -> Self {
                let nanos: i32 = $keep_nanos(at.timestamp_subsec_nanos());
                Self { seconds: Some(at.timestamp()), nanos: (nanos != 0).then_some(nanos) }
            }
            /// None for "no time".
            pub fn to_instant(&self) -> Option<DateTime<Utc>> {
                at(self.seconds, self.nanos)
            }
        }
    };
}
instant_value!(Time, Layout::Seconds, |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true), |_: u32| 0);
instant_value!(
    MicroTime,
    Layout::Micros,
    |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true),
    |nanos: u32| (nanos / 1000 * 1000) as i32
);

impl Value for IntOrString {
    fn encode(&self, out: &mut Vec<u8>) {
        match self.r#type {
            0 => self.int_val.encode(out),
            _ => self.str_val.encode(out),
        }
    }
    fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, go: &str) -> Result<Option<Self>, D::Error> {
        d.deserialize_any(Reader::<IntOrString>::new(at, go))
    }
    fn is_unset(&self) -> bool {
        *self == Self::default()
    }
}
impl<'de> Visitor<'de> for Reader<'_, '_, IntOrString> {
    type Value = Option<IntOrString>;
    refuse!(boolean array object);
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(IntOrString { r#type: 1, int_val: 0, str_val: text.to_owned() }))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        match i32::try_from(value) {
            Ok(int_val) => Ok(Some(IntOrString { r#type: 0, int_val, str_val: String::new() })),
            Err(_) => Err(Reader::<i32>::new(self.at, "int32").mismatch(&format!("number {value}"))),
        }
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Err(Reader::<i32>::new(self.at, "int32").mismatch(&format!("number {value:?}")))
    }
}

impl Value for Quantity {
    fn encode(&self, out: &mut Vec<u8>) {
        encode::text(if self.string.is_empty() { "0" } else { &self.string }, out);
    }
    fn decode<'de, D: Deserializer<'de>>(d: D, at: &mut Cursor, go: &str) -> Result<Option<Self>, D::Error> {
        d.deserialize_any(Reader::<Quantity>::new(at, go))
    }
    fn is_unset(&self) -> bool {
        self.string.is_empty()
    }
}
impl Reader<'_, '_, Quantity> {
    fn canonical<E: Error>(self, text: &str) -> Result<Option<Quantity>, E> {
        match crate::quantity::canonical(text.trim()) {
            Ok(string) => Ok(Some(Quantity { string })),
            Err(error) => {
                self.at.fail(error.to_string());
                Err(E::custom("quantity"))
            }
        }
    }
}
impl<'de> Visitor<'de> for Reader<'_, '_, Quantity> {
    type Value = Option<Quantity>;
    refuse!(boolean array object);
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.canonical(text)
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.canonical(&value.to_string())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.canonical(&value.to_string())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        self.canonical(&value.to_string())
    }
}

/// Free-form JSON, kept as the bytes that came.
macro_rules! raw_value {
    ($t:ty) => {
        impl Value for $t {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(if self.raw.is_empty() { b"null" } else { &self.raw });
            }
            fn decode<'de, D: Deserializer<'de>>(d: D, _: &mut Cursor, _: &str) -> Result<Option<Self>, D::Error> {
                let raw = Box::<RawValue>::deserialize(d)?;
                Ok((raw.get() != "null").then(|| Self { raw: raw.get().as_bytes().to_vec() }))
            }
            fn is_unset(&self) -> bool {
                self.raw.is_empty()
            }
        }
    };
}
raw_value!(RawExtension);
raw_value!(FieldsV1);
