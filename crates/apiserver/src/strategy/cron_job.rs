//! CronJobs.

use api::defaults;
use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::{validate, warnings};
use proto::batch_v1::{CronJob, CronJobStatus};

use super::Form;

pub(super) struct CronJobs;

impl Form for CronJobs {
    type K = CronJob;
    const GENERATION: bool = true;

    fn prepare_create(object: &mut CronJob, _now: Instant) -> Result<(), StatusError> {
        object.status = Some(CronJobStatus::default());
        defaults::cron_job(object);
        Ok(())
    }

    fn validate_create(object: &CronJob) -> Errors {
        validate::cron_job_create(object)
    }

    fn prepare_update(new: &mut CronJob, old: &CronJob) {
        new.status = old.status.clone();
        defaults::cron_job(new);
    }

    fn validate_update(new: &CronJob, old: &CronJob) -> Errors {
        validate::cron_job_update(new, old)
    }

    fn prepare_status(new: &mut CronJob, old: &CronJob) {
        new.spec = old.spec.clone();
    }

    fn validate_status(_new: &CronJob, _old: &CronJob) -> Errors {
        Errors::new()
    }

    fn respecified(new: &CronJob, old: &CronJob) -> bool {
        !api::meta::same_content(new.spec.as_ref(), old.spec.as_ref())
    }

    fn warnings(object: &CronJob, old: Option<&CronJob>) -> Vec<String> {
        warnings::cron_job(object, old)
    }
}
