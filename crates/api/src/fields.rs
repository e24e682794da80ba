//! By which fields the objects of each kind can be selected, and their values.

use crate::kind::{self, Kind, KindInfo};
use crate::meta::Object;
use crate::selector::{FieldSelector, InvalidField};
use proto::{batch_v1, coordination_v1, core_v1};

/// The selectable fields of a kind's objects.
pub trait Selectable: Kind {
    /// Name and value of each selectable field that is not empty.
    fn selectable(&self) -> Vec<(&'static str, String)> {
        let mut fields = Fields(Vec::new());
        fields.add("metadata.name", self.name());
        fields.add("metadata.namespace", self.namespace());
        self.add_fields(&mut fields);
        fields.0
    }

    /// Adds what the kind has beyond name and namespace.
    fn add_fields(&self, _fields: &mut Fields) {}
}

/// Collects the fields that are not empty.
pub struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// Adds a field; an empty value is as good as none.
    pub fn add(&mut self, name: &'static str, value: impl Into<String> + AsRef<str>) {
        if !value.as_ref().is_empty() {
            self.0.push((name, value.into()));
        }
    }
}

const NAMED: &[&str] = &["metadata.name", "metadata.namespace"];

/// The fields by which a kind's objects can be selected.
pub fn supported(info: &KindInfo) -> &'static [&'static str] {
    match (info.group, info.kind) {
        ("", "Pod") => &[
            "metadata.name",
            "metadata.namespace",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "Event") => &[
            "metadata.name",
            "metadata.namespace",
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "Node") => &["metadata.name", "spec.unschedulable"],
        ("", "Namespace") => &["metadata.name", "status.phase"],
        ("", "Secret") => &["metadata.name", "metadata.namespace", "type"],
        ("", "Service") => &["metadata.name", "metadata.namespace", "spec.clusterIP", "spec.type"],
        ("batch", "Job") => &["metadata.name", "metadata.namespace", "status.successful"],
        _ => NAMED,
    }
}

/// Events of events.k8s.io/v1 name their fields otherwise: that name, and the name in core/v1.
const EVENT_V1: &[(&str, &str)] = &[
    ("metadata.name", "metadata.name"),
    ("metadata.namespace", "metadata.namespace"),
    ("reason", "reason"),
    ("regarding.kind", "involvedObject.kind"),
    ("regarding.namespace", "involvedObject.namespace"),
    ("regarding.name", "involvedObject.name"),
    ("regarding.uid", "involvedObject.uid"),
    ("regarding.apiVersion", "involvedObject.apiVersion"),
    ("regarding.resourceVersion", "involvedObject.resourceVersion"),
    ("regarding.fieldPath", "involvedObject.fieldPath"),
    ("reportingController", "reportingComponent"),
    ("type", "type"),
];

/// Reads a field selector for a kind.
///
/// # Errors
/// Kubernetes' text, also for a field that this kind cannot be selected by: the message of a 400.
pub fn parse(info: &KindInfo, text: &str) -> Result<FieldSelector, InvalidField> {
    let unsupported = |field: &str| {
        InvalidField::Unsupported(match (info.group, info.kind) {
            ("batch", "Job") => format!("field label {} not supported for Job", crate::field::quote(field)),
            _ if supported(info) == NAMED && info != &kind::EVENT_V1 => format!(
                "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                crate::field::quote(field)
            ),
            _ => format!("field label not supported: {field}"),
        })
    };
    FieldSelector::parse(text)?.map_fields(|field| {
        if info == &kind::EVENT_V1 {
            let found = EVENT_V1.iter().find(|(name, _)| *name == field);
            return found.map(|(_, stored)| *stored).ok_or_else(|| unsupported(field));
        }
        let field = if info.kind == "Pod" && field == "spec.host" { "spec.nodeName" } else { field };
        supported(info).iter().copied().find(|name| *name == field).ok_or_else(|| unsupported(field))
    })
}

impl Selectable for core_v1::Pod {
    fn add_fields(&self, fields: &mut Fields) {
        if let Some(spec) = &self.spec {
            fields.add("spec.nodeName", spec.node_name.as_str());
            fields.add("spec.restartPolicy", spec.restart_policy.as_str());
            fields.add("spec.schedulerName", spec.scheduler_name.as_str());
            fields.add("spec.serviceAccountName", spec.service_account_name.as_str());
        }
        let host_network = self.spec.as_ref().is_some_and(|spec| spec.host_network);
        fields.add("spec.hostNetwork", host_network.to_string());
        if let Some(status) = &self.status {
            fields.add("status.phase", status.phase.as_str());
            fields.add("status.podIP", status.pod_ip.as_str());
            fields.add("status.podIPs", status.pod_ip.as_str());
            fields.add("status.nominatedNodeName", status.nominated_node_name.as_str());
        }
    }
}

impl Selectable for core_v1::Node {
    fn add_fields(&self, fields: &mut Fields) {
        let unschedulable = self.spec.as_ref().is_some_and(|spec| spec.unschedulable);
        fields.add("spec.unschedulable", unschedulable.to_string());
    }
}

impl Selectable for core_v1::Namespace {
    fn add_fields(&self, fields: &mut Fields) {
        if let Some(status) = &self.status {
            fields.add("status.phase", status.phase.as_str());
        }
    }
}

impl Selectable for core_v1::Event {
    fn add_fields(&self, fields: &mut Fields) {
        if let Some(object) = &self.involved_object {
            fields.add("involvedObject.kind", object.kind.as_str());
            fields.add("involvedObject.namespace", object.namespace.as_str());
            fields.add("involvedObject.name", object.name.as_str());
            fields.add("involvedObject.uid", object.uid.as_str());
            fields.add("involvedObject.apiVersion", object.api_version.as_str());
            fields.add("involvedObject.resourceVersion", object.resource_version.as_str());
            fields.add("involvedObject.fieldPath", object.field_path.as_str());
        }
        let component = self.source.as_ref().map_or("", |source| source.component.as_str());
        let source = if component.is_empty() { self.reporting_component.as_str() } else { component };
        fields.add("source", source);
        fields.add("reason", self.reason.as_str());
        fields.add("reportingComponent", self.reporting_component.as_str());
        fields.add("type", self.r#type.as_str());
    }
}

impl Selectable for core_v1::Secret {
    fn add_fields(&self, fields: &mut Fields) {
        fields.add("type", self.r#type.as_str());
    }
}

impl Selectable for core_v1::Service {
    fn add_fields(&self, fields: &mut Fields) {
        if let Some(spec) = &self.spec {
            fields.add("spec.clusterIP", spec.cluster_ip.as_str());
            fields.add("spec.type", spec.r#type.as_str());
        }
    }
}

impl Selectable for batch_v1::Job {
    fn add_fields(&self, fields: &mut Fields) {
        let succeeded = self.status.as_ref().map_or(0, |status| status.succeeded);
        fields.add("status.successful", succeeded.to_string());
    }
}

impl Selectable for batch_v1::CronJob {}
impl Selectable for core_v1::ConfigMap {}
impl Selectable for core_v1::PodTemplate {}
impl Selectable for core_v1::ServiceAccount {}
impl Selectable for coordination_v1::Lease {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{CONFIG_MAP, JOB, NODE, POD};

    #[test]
    fn unknown_fields_get_each_kinds_text() {
        let error = |info, text| parse(info, text).expect_err(text).to_string();
        assert_eq!(error(&POD, "spec.x=1"), "field label not supported: spec.x");
        assert_eq!(error(&NODE, "metadata.namespace=a"), "field label not supported: metadata.namespace");
        assert_eq!(error(&JOB, "spec.x=1"), "field label \"spec.x\" not supported for Job");
        assert_eq!(
            error(&CONFIG_MAP, "data.a=1"),
            "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
        assert_eq!(parse(&POD, "spec.host=a").expect("an alias").exact("spec.nodeName"), Some("a"));
        let selector = parse(&kind::EVENT_V1, "regarding.name=a").expect("a second view");
        assert_eq!(selector.exact("involvedObject.name"), Some("a"));
    }
}
