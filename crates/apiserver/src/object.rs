//! One decoded object of any kind.
//!
//! The registry and both faces handle kinds they do not know: an [`AnyObject`] is a boxed message of `proto` behind the
//! trait [`Object`]. Code that does know the kind gets it back by [`Object::downcast_ref`].

use std::any::Any;

use api::kind::{Kind, KindInfo};
use proto::meta_v1::ObjectMeta;

/// A decoded object of some kind, owned.
pub type AnyObject = Box<dyn Object>;

/// What every kind can do, whatever its type.
pub trait Object: Any + Send + Sync + std::fmt::Debug {
    /// Group, version, kind and resource of this object.
    fn kind(&self) -> &'static KindInfo;
    /// The object's metadata; an empty one when the message has none.
    fn metadata(&self) -> &ObjectMeta;
    /// The object's metadata, inserted when absent.
    fn metadata_mut(&mut self) -> &mut ObjectMeta;
    /// The protobuf message, without the storage envelope.
    fn encode(&self) -> Vec<u8>;
    /// The REST JSON, with `apiVersion` and `kind`.
    fn json(&self) -> Vec<u8>;
    /// A deep copy.
    fn clone_box(&self) -> AnyObject;
    /// Whether both are of one kind and equal field by field.
    fn same(&self, other: &dyn Object) -> bool;
    #[doc(hidden)]
    fn as_any(&self) -> &dyn Any;
    #[doc(hidden)]
    fn as_any_mut(&mut self) -> &mut dyn Any;
    #[doc(hidden)]
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl dyn Object {
    /// The object as the message type `K`, if it is one.
    pub fn downcast_ref<K: Kind>(&self) -> Option<&K> {
        self.as_any().downcast_ref()
    }

    /// The object as the message type `K`, if it is one.
    pub fn downcast_mut<K: Kind>(&mut self) -> Option<&mut K> {
        self.as_any_mut().downcast_mut()
    }

    /// The message itself, or `None` when it is of another type.
    pub fn downcast<K: Kind>(self: Box<Self>) -> Option<K> {
        self.into_any().downcast().ok().map(|object| *object)
    }
}

impl<K: Kind + std::fmt::Debug> Object for K {
    fn kind(&self) -> &'static KindInfo {
        K::INFO
    }

    fn metadata(&self) -> &ObjectMeta {
        static EMPTY: std::sync::LazyLock<ObjectMeta> = std::sync::LazyLock::new(ObjectMeta::default);
        proto::Root::metadata(self).unwrap_or(&EMPTY)
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        proto::Root::metadata_mut(self)
    }

    fn encode(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    fn json(&self) -> Vec<u8> {
        proto::json::to_vec(self)
    }

    fn clone_box(&self) -> AnyObject {
        Box::new(self.clone())
    }

    fn same(&self, other: &dyn Object) -> bool {
        other.downcast_ref::<K>().is_some_and(|other| other == self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
