//! Random objects survive each form: protobuf -> Rust -> JSON -> Rust -> protobuf, and the bytes are those of Kubernetes'
//! own definitions (the crate k8s-pb, generated from the upstream .proto files).

use proptest::prelude::*;
use proptest::test_runner::TestRng;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use proto::json::{self, Json};
use proto::{batch_v1, coordination_v1, core_v1, events_v1, meta_v1};

/// Fills a message at random; `depth` bounds nesting, `skip` names fields that are left out.
struct Filler<'a> {
    rng: TestRng,
    skip: &'a [&'a str],
}

impl Filler<'_> {
    fn message(&mut self, descriptor: &MessageDescriptor, depth: u32) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        match descriptor.name() {
            "Time" | "MicroTime" => {
                let precision = if descriptor.name() == "Time" { 0 } else { 1000 };
                message.set_field_by_name("seconds", Value::I64(i64::from(self.rng.random_range(0..2_000_000_000))));
                let nanos = self.rng.random_range(1..1_000_000) * precision;
                if nanos != 0 {
                    message.set_field_by_name("nanos", Value::I32(nanos));
                }
            }
            "Quantity" => {
                let text = ["1", "500m", "2Gi", "1536Mi", "10k", "1e3"][self.rng.random_range(0..6)];
                message.set_field_by_name("string", Value::String(text.into()));
            }
            "IntOrString" if self.rng.random_bool(0.5) => {
                message.set_field_by_name("type", Value::I64(1));
                message.set_field_by_name("strVal", Value::String("http".into()));
            }
            "IntOrString" => message.set_field_by_name("intVal", Value::I32(80)),
            "RawExtension" | "FieldsV1" => {
                let field = descriptor.fields().next().expect("one field");
                message.set_field(&field, Value::Bytes(br#"{"f:a":{}}"#.as_slice().into()));
            }
            _ => {
                for field in descriptor.fields() {
                    let full = format!("{}.{}", descriptor.name(), field.name());
                    if self.rng.random_bool(0.4) && !self.skip.contains(&full.as_str()) {
                        self.field(&mut message, &field, depth);
                    }
                }
            }
        }
        message
    }

    fn field(&mut self, message: &mut DynamicMessage, field: &FieldDescriptor, depth: u32) {
        if depth == 0 && matches!(field.kind(), Kind::Message(_)) {
            return;
        }
        let count = self.rng.random_range(1..3);
        let value = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { panic!("a map has entries") };
            let kind = entry.map_entry_value_field().kind();
            Value::Map((0..count).map(|i| (MapKey::String(format!("k{i}\"\n")), self.value(&kind, depth))).collect())
        } else if field.is_list() {
            Value::List((0..count).map(|_| self.value(&field.kind(), depth)).collect())
        } else {
            self.value(&field.kind(), depth)
        };
        // An empty message cannot be told from an absent one where JSON omits both.
        let empty = value.as_message().is_some_and(|m| m.fields().next().is_none());
        if !empty {
            message.set_field(field, value);
        }
    }

    fn value(&mut self, kind: &Kind, depth: u32) -> Value {
        match kind {
            Kind::String => {
                Value::String(["a", "é\u{1F600}", "x\"y\\z\n\u{7}", "<&>"][self.rng.random_range(0..4)].into())
            }
            Kind::Bool => Value::Bool(true),
            Kind::Int32 => Value::I32([1, -1, i32::MAX, i32::MIN][self.rng.random_range(0..4)]),
            Kind::Int64 => Value::I64([1, -1, i64::MAX, i64::MIN][self.rng.random_range(0..4)]),
            Kind::Bytes => Value::Bytes(vec![0, 255, 7].into()),
            Kind::Message(m) => Value::Message(self.message(m, depth - 1)),
            other => panic!("{other:?}"),
        }
    }
}

fn pool() -> &'static DescriptorPool {
    static POOL: std::sync::OnceLock<DescriptorPool> = std::sync::OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).expect("our descriptors decode"))
}

fn random<T: Message + Default>(name: &str, rng: TestRng, skip: &[&str]) -> T {
    let descriptor = pool().get_message_by_name(name).expect("a known message");
    let message = Filler { rng, skip }.message(&descriptor, 7);
    T::decode(message.encode_to_vec().as_slice()).expect("dynamic and typed agree")
}

fn survives<T: Message + Json + Clone>(value: &T) {
    let text = json::to_vec(value);
    let back = json::decode::<T>(&text).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&text)));
    assert!(back.problems.is_empty(), "{:?}", back.problems);
    let again = json::to_vec(&back.value);
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&text));
    serde_json::from_slice::<serde_json::Value>(&text).expect("valid JSON");
}

/// Fields that are Raftsman's own or newer than the crate that we compare with.
const NEWER: &[&str] = &[
    "JobSpec.dependsOn",
    "JobStatus.dependencies",
    "ContainerStatus.failedRestarts",
    "VolumeMountStatus.volumeStatus",
    "ResourceHealth.message",
    "PodStatus.nodeAllocatableResourceClaimStatuses",
    "PodSpec.schedulingGroup",
    "PodSpec.workloadRef",
];

fn same_bytes<T: Message + Json, U: Message + Default>(value: &T) {
    let ours = value.encode_to_vec();
    let theirs = U::decode(ours.as_slice()).expect("upstream decodes our bytes").encode_to_vec();
    let back = T::decode(theirs.as_slice()).expect("we decode upstream's bytes");
    assert_eq!(pretty(&back), pretty(value), "a field that upstream does not know");
    assert!(ours == theirs, "the bytes differ");
}

fn pretty<T: Json>(value: &T) -> String {
    let json: serde_json::Value = serde_json::from_slice(&json::to_vec(value)).expect("valid JSON");
    format!("{json:#}")
}

macro_rules! kinds {
    ($($test:ident $t:path, $name:literal $(, $upstream:path)?;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
            $(#[test]
            fn $test(rng in Just(()).prop_perturb(|(), rng| rng)) {
                survives(&random::<$t>($name, rng.clone(), &[]));
                $(same_bytes::<$t, $upstream>(&random($name, rng, NEWER));)?
            })*
        }
    };
}

kinds! {
    job batch_v1::Job, "k8s.io.api.batch.v1.Job", k8s_pb::api::batch::v1::Job;
    cron_job batch_v1::CronJob, "k8s.io.api.batch.v1.CronJob", k8s_pb::api::batch::v1::CronJob;
    pod core_v1::Pod, "k8s.io.api.core.v1.Pod", k8s_pb::api::core::v1::Pod;
    node core_v1::Node, "k8s.io.api.core.v1.Node", k8s_pb::api::core::v1::Node;
    namespace core_v1::Namespace, "k8s.io.api.core.v1.Namespace", k8s_pb::api::core::v1::Namespace;
    core_event core_v1::Event, "k8s.io.api.core.v1.Event", k8s_pb::api::core::v1::Event;
    event events_v1::Event, "k8s.io.api.events.v1.Event", k8s_pb::api::events::v1::Event;
    config_map core_v1::ConfigMap, "k8s.io.api.core.v1.ConfigMap", k8s_pb::api::core::v1::ConfigMap;
    secret core_v1::Secret, "k8s.io.api.core.v1.Secret", k8s_pb::api::core::v1::Secret;
    service core_v1::Service, "k8s.io.api.core.v1.Service", k8s_pb::api::core::v1::Service;
    lease coordination_v1::Lease, "k8s.io.api.coordination.v1.Lease", k8s_pb::api::coordination::v1::Lease;
    status meta_v1::Status, "k8s.io.apimachinery.pkg.apis.meta.v1.Status";
    delete_options meta_v1::DeleteOptions, "k8s.io.apimachinery.pkg.apis.meta.v1.DeleteOptions";
}
