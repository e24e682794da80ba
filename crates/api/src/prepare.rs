//! What the server itself puts into new objects, beyond defaults.

use proto::batch_v1::Job;

use crate::meta::Object;

/// Labels of a Job's Pods: the name and the uid of their Job, each also under the older name without prefix.
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// See [`JOB_NAME`].
pub const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
/// See [`JOB_NAME`].
pub const LEGACY_JOB_NAME: &str = "job-name";
/// See [`JOB_NAME`].
pub const LEGACY_CONTROLLER_UID: &str = "controller-uid";

/// Gives a Job the selector of its Pods and their template the labels that it selects, from the Job's name and uid. Labels
/// that are there already stay; validation refuses the wrong ones. Nothing happens where the user selects
/// (`manualSelector`).
pub fn job_create(job: &mut Job) {
    let (name, uid) = (job.name().to_string(), job.uid().to_string());
    let spec = job.spec.get_or_insert_default();
    if spec.manual_selector == Some(true) {
        return;
    }
    let labels = &mut spec.template.get_or_insert_default().metadata.get_or_insert_default().labels;
    for (key, value) in
        [(LEGACY_JOB_NAME, &name), (JOB_NAME, &name), (LEGACY_CONTROLLER_UID, &uid), (CONTROLLER_UID, &uid)]
    {
        labels.entry(key.to_string()).or_insert_with(|| value.clone());
    }
    let selected = &mut spec.selector.get_or_insert_default().match_labels;
    selected.entry(CONTROLLER_UID.to_string()).or_insert(uid);
}
