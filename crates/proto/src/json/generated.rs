//! The members of each message, and the kinds' apiVersion and kind.

use super::cursor::Cursor;
use super::decode::{Fields, Value, inline, member};
use super::encode::Object;
use crate::{Root, RootList};
use serde::de::MapAccess;

/// A named list of strings: its JSON is the list.
macro_rules! wrapper {
    ($t:path) => {
        impl Value for $t {
            fn encode(&self, out: &mut Vec<u8>) {
                self.items.encode(out);
            }
            fn decode<'de, D: serde::Deserializer<'de>>(
                d: D,
                at: &mut Cursor,
                go: &str,
            ) -> Result<Option<Self>, D::Error> {
                Ok(Vec::decode(d, at, go)?.map(|items| Self { items }))
            }
            fn is_unset(&self) -> bool {
                self.items.is_empty()
            }
        }
    };
}

macro_rules! root {
    ($t:path, $group:literal, $version:literal, $kind:literal) => {
        impl Root for $t {
            const GROUP: &'static str = $group;
            const VERSION: &'static str = $version;
            const KIND: &'static str = $kind;
            fn metadata(&self) -> Option<&crate::meta_v1::ObjectMeta> {
                self.metadata.as_ref()
            }
            fn metadata_mut(&mut self) -> &mut crate::meta_v1::ObjectMeta {
                self.metadata.get_or_insert_default()
            }
        }
    };
}

macro_rules! root_list {
    ($t:path, $item:path) => {
        impl RootList for $t {
            type Item = $item;
            fn new(metadata: crate::meta_v1::ListMeta, items: Vec<$item>) -> Self {
                Self { metadata: Some(metadata), items }
            }
            fn metadata(&self) -> Option<&crate::meta_v1::ListMeta> {
                self.metadata.as_ref()
            }
            fn items(&self) -> &[$item] {
                &self.items
            }
            fn into_items(self) -> Vec<$item> {
                self.items
            }
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/json.rs"));
