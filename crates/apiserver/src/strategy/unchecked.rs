//! Until api::validate is there.
use api::field::Errors;
macro_rules! none { ($($create:ident $update:ident $status:ident $t:ty),*) => { $(
  pub fn $create(_o: &$t) -> Errors { Errors::new() }
  pub fn $update(_n: &$t, _o: &$t) -> Errors { Errors::new() }
  pub fn $status(_n: &$t, _o: &$t) -> Errors { Errors::new() } )* } }
none! {config_map_create config_map_update config_map_status_update proto::core_v1::ConfigMap, secret_create secret_update secret_status_update proto::core_v1::Secret,
service_account_create service_account_update service_account_status_update proto::core_v1::ServiceAccount, pod_template_create pod_template_update pod_template_status_update proto::core_v1::PodTemplate,
lease_create lease_update lease_status_update proto::coordination_v1::Lease, event_create event_update event_status_update proto::core_v1::Event, service_create service_update service_status_update proto::core_v1::Service,
node_create node_update node_status_update proto::core_v1::Node, namespace_create namespace_update namespace_status_update proto::core_v1::Namespace, pod_create pod_update pod_status_update proto::core_v1::Pod,
job_create job_update job_status_update proto::batch_v1::Job, cron_job_create cron_job_update cron_job_status_update proto::batch_v1::CronJob}
pub fn job(_n: &proto::batch_v1::Job, _o: Option<&proto::batch_v1::Job>) -> Vec<String> {
    Vec::new()
}
pub fn cron_job(_n: &proto::batch_v1::CronJob, _o: Option<&proto::batch_v1::CronJob>) -> Vec<String> {
    Vec::new()
}
