//! Kinds that only store something: ConfigMap, Secret, ServiceAccount, PodTemplate.

use api::time::Instant;
use proto::core_v1::{ConfigMap, PodTemplate, Secret, ServiceAccount};
use serde_json::{Value, json};

use super::{AGE, Column, NAME, column, format};

pub const CONFIG_MAP_COLUMNS: &[Column] = &[NAME, column("Data", "string", "How many entries it has."), AGE];

pub fn config_map_cells(map: &ConfigMap, now: Instant) -> Vec<Value> {
    let entries = map.data.len() + map.binary_data.len();
    vec![format::name(&map.metadata), json!(entries.to_string()), format::age(&map.metadata, now)]
}

pub const SECRET_COLUMNS: &[Column] = &[
    NAME,
    column("Type", "string", "What the secret is for."),
    column("Data", "string", "How many entries it has."),
    AGE,
];

pub fn secret_cells(secret: &Secret, now: Instant) -> Vec<Value> {
    vec![
        format::name(&secret.metadata),
        json!(secret.r#type),
        json!(secret.data.len().to_string()),
        format::age(&secret.metadata, now),
    ]
}

pub const SERVICE_ACCOUNT_COLUMNS: &[Column] =
    &[NAME, column("Secrets", "string", "How many secrets it may use."), AGE];

pub fn service_account_cells(account: &ServiceAccount, now: Instant) -> Vec<Value> {
    let secrets = account.secrets.len().to_string();
    vec![format::name(&account.metadata), json!(secrets), format::age(&account.metadata, now)]
}

pub const POD_TEMPLATE_COLUMNS: &[Column] = &[
    NAME,
    column("Containers", "string", "Names of the template's containers."),
    column("Images", "string", "Images of the template's containers."),
    column("Pod Labels", "string", "Labels of Pods made from it."),
    AGE,
];

pub fn pod_template_cells(template: &PodTemplate, now: Instant) -> Vec<Value> {
    let pod = template.template.clone().unwrap_or_default();
    let (names, images) = format::containers(&pod.spec.unwrap_or_default().containers);
    vec![
        format::name(&template.metadata),
        json!(names),
        json!(images),
        json!(format::labels(&pod.metadata.unwrap_or_default().labels)),
        format::age(&template.metadata, now),
    ]
}
