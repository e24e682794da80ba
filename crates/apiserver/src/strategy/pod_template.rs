//! PodTemplates.

use api::defaults;
use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::{validate, warnings};
use proto::core_v1::PodTemplate;

use super::Form;

pub(super) struct PodTemplates;

impl Form for PodTemplates {
    type K = PodTemplate;

    fn prepare_create(object: &mut PodTemplate, _now: Instant) -> Result<(), StatusError> {
        defaults::pod_template(object);
        Ok(())
    }

    fn validate_create(object: &PodTemplate) -> Errors {
        validate::pod_template_create(object)
    }

    fn prepare_update(new: &mut PodTemplate, _old: &PodTemplate) {
        defaults::pod_template(new);
    }

    fn validate_update(new: &PodTemplate, old: &PodTemplate) -> Errors {
        validate::pod_template_update(new, old)
    }

    fn warnings(object: &PodTemplate, old: Option<&PodTemplate>) -> Vec<String> {
        warnings::pod_template(object, old)
    }
}
