//! CronJobs: NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE.

use api::time::Instant;
use proto::batch_v1::CronJob;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, column, format, wide};

pub const COLUMNS: &[Column] = &[
    NAME,
    column("Schedule", "string", "When Jobs are started, in crontab's five fields."),
    column("Timezone", "string", "The time zone of the schedule."),
    column("Suspend", "boolean", "Whether no further Jobs are started for now."),
    column("Active", "integer", "Jobs that run now."),
    column("Last Schedule", "string", "How long ago a Job was last started."),
    AGE,
    wide("Containers", "Names of the template's containers."),
    wide("Images", "Images of the template's containers."),
    wide("Selector", "The label selector of the Jobs' Pods."),
];

pub fn cells(cron_job: &CronJob, now: Instant) -> Vec<Value> {
    let spec = cron_job.spec.clone().unwrap_or_default();
    let job = spec.job_template.and_then(|template| template.spec).unwrap_or_default();
    let pod = job.template.and_then(|template| template.spec).unwrap_or_default();
    let (names, images) = format::containers(&pod.containers);
    let status = cron_job.status.as_ref();
    let suspend = match spec.suspend {
        None => "<unset>",
        Some(true) => "True",
        Some(false) => "False",
    };
    let last = status
        .and_then(|status| api::time::opt(&status.last_schedule_time))
        .map_or_else(|| format::NONE.to_string(), |at| api::duration::human(now - at));
    vec![
        format::name(&cron_job.metadata),
        json!(spec.schedule),
        json!(spec.time_zone.as_deref().unwrap_or(format::NONE)),
        json!(suspend),
        json!(status.map_or(0, |status| status.active.len())),
        json!(last),
        format::age(&cron_job.metadata, now),
        json!(names),
        json!(images),
        json!(format::selector(&job.selector)),
    ]
}
