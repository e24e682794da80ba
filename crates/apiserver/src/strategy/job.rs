//! Jobs.

use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::{defaults, prepare};
use api::{validate, warnings};
use proto::batch_v1::{Job, JobStatus};

use super::Form;
use crate::registry::Propagation;

/// The finalizer of a Job that others wait for: it stays until they have recorded how it ended.
pub(crate) const DEPENDENTS: &str = "raftsman.io/dependents";

pub(super) struct Jobs;

impl Form for Jobs {
    type K = Job;
    const GENERATION: bool = true;
    /// As in Kubernetes, for compatibility; kubectl asks for Background.
    const PROPAGATION: Option<Propagation> = Some(Propagation::Orphan);

    fn prepare_create(object: &mut Job, _now: Instant) -> Result<(), StatusError> {
        object.status = Some(JobStatus::default());
        defaults::job(object);
        prepare::job_create(object);
        Ok(())
    }

    fn validate_create(object: &Job) -> Errors {
        validate::job_create(object)
    }

    fn complete_create(object: &mut Job) {
        prepare::job_labels(object);
    }

    fn prepare_update(new: &mut Job, old: &Job) {
        new.status = old.status.clone();
        defaults::job(new);
    }

    fn validate_update(new: &Job, old: &Job) -> Errors {
        validate::job_update(new, old)
    }

    fn prepare_status(new: &mut Job, old: &Job) {
        new.spec = old.spec.clone();
    }

    fn validate_status(new: &Job, old: &Job) -> Errors {
        validate::job_status_update(new, old)
    }

    fn respecified(new: &Job, old: &Job) -> bool {
        !api::meta::same_content(new.spec.as_ref(), old.spec.as_ref())
    }

    fn warnings(object: &Job, old: Option<&Job>) -> Vec<String> {
        warnings::job(object, old)
    }

    /// An unfinished Job that is deleted will never end in a way that its dependents could record.
    fn on_delete(object: &mut Job, _now: Instant) {
        if !finished(object) {
            api::meta::remove_finalizer(object.metadata.get_or_insert_default(), DEPENDENTS);
        }
    }
}

/// Whether the Job has come to its end.
pub(crate) fn finished(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|c| matches!(c.r#type.as_str(), "Complete" | "Failed") && c.status == "True")
}
