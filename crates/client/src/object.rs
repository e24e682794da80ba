//! The kinds that a Commit can carry: each is one arm of the `Object` message.

use proto::batch_v1::{CronJob, Job};
use proto::coordination_v1::Lease;
use proto::core_v1::{ConfigMap, Event, Namespace, Node, Pod, PodTemplate, Secret, Service, ServiceAccount};
use proto::raftsman_v1::{Object, object};

use crate::resource::Resource;

/// A kind that can be written by a Commit.
pub trait Storable: Resource {
    fn into_object(self) -> Object;
}

macro_rules! storable {
    ($($kind:ident),* $(,)?) => {$(
        impl Storable for $kind {
            fn into_object(self) -> Object {
                Object { object: Some(object::Object::$kind(self)) }
            }
        }
    )*};
}

storable!(Pod, Node, Namespace, Event, ConfigMap, Secret, ServiceAccount, Service, PodTemplate, Job, CronJob, Lease,);
