//! The Pod that a Job makes.

use api::meta::{self, Object};
use api::proto::batch_v1::Job;
use api::proto::core_v1::{Pod, PodTemplateSpec};
use api::proto::meta_v1::ObjectMeta;

use crate::pod_view::JOB_TRACKING;

/// What the names of its Pods begin with.
pub(super) fn name_base(job: &Job) -> String {
    format!("{}-", job.name())
}

/// A new Pod of the Job: the template's labels, annotations and spec, owned by the Job and held until it is counted.
pub(super) fn pod(job: &Job, name: String) -> Pod {
    let empty = PodTemplateSpec::default();
    let template = job.spec.as_ref().and_then(|spec| spec.template.as_ref()).unwrap_or(&empty);
    let from = template.metadata.as_ref();
    let mut finalizers = from.map(|meta| meta.finalizers.clone()).unwrap_or_default();
    finalizers.push(JOB_TRACKING.to_owned());
    let metadata = ObjectMeta {
        generate_name: name_base(job),
        name,
        namespace: job.namespace().to_owned(),
        labels: from.map(|meta| meta.labels.clone()).unwrap_or_default(),
        annotations: from.map(|meta| meta.annotations.clone()).unwrap_or_default(),
        owner_references: vec![meta::controller_reference(job)],
        finalizers,
        ..Default::default()
    };
    Pod { metadata: Some(metadata), spec: template.spec.clone(), status: None }
}
