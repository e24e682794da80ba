//! ConfigMaps.

use api::defaults;
use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::validate;
use proto::core_v1::ConfigMap;

use super::Form;

pub(super) struct ConfigMaps;

impl Form for ConfigMaps {
    type K = ConfigMap;

    fn prepare_create(object: &mut ConfigMap, _now: Instant) -> Result<(), StatusError> {
        defaults::config_map(object);
        Ok(())
    }

    fn validate_create(object: &ConfigMap) -> Errors {
        validate::config_map_create(object)
    }

    fn prepare_update(new: &mut ConfigMap, _old: &ConfigMap) {
        defaults::config_map(new);
    }

    fn validate_update(new: &ConfigMap, old: &ConfigMap) -> Errors {
        validate::config_map_update(new, old)
    }
}
