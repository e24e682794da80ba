//! The Job of one start.

use api::meta::{self, Object};
use api::proto::batch_v1::{CronJob, Job};
use api::proto::meta_v1::ObjectMeta;
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

/// The annotation that says for which time a Job was started.
const SCHEDULED_TIMESTAMP: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// `<cronjob>-<minutes since 1970>`: one name a minute, so the name itself forbids a second start.
pub fn job_name(cron_job: &CronJob, scheduled: DateTime<Utc>) -> String {
    format!("{}-{}", cron_job.name(), scheduled.timestamp().div_euclid(60))
}

/// The Job for `scheduled`. `uid` is a proposal, for the status names the Job in the same group.
pub fn job(cron_job: &CronJob, scheduled: DateTime<Utc>, zone: Tz, uid: &str) -> Job {
    let template = cron_job.spec.as_ref().and_then(|spec| spec.job_template.clone()).unwrap_or_default();
    let ObjectMeta { labels, mut annotations, .. } = template.metadata.unwrap_or_default();
    let local = scheduled.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true);
    annotations.insert(SCHEDULED_TIMESTAMP.to_owned(), local);
    let metadata = ObjectMeta {
        name: job_name(cron_job, scheduled),
        namespace: cron_job.namespace().to_owned(),
        uid: uid.to_owned(),
        labels,
        annotations,
        owner_references: vec![meta::controller_reference(cron_job)],
        ..Default::default()
    };
    Job { metadata: Some(metadata), spec: template.spec, status: None }
}
