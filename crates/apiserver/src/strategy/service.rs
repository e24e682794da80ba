//! Services.

use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::validate;
use api::{defaults, prepare};
use proto::core_v1::Service;

use super::Form;

pub(super) struct Services;

impl Form for Services {
    type K = Service;

    fn prepare_create(object: &mut Service, _now: Instant) -> Result<(), StatusError> {
        object.status = None;
        defaults::service(object);
        Ok(())
    }

    fn validate_create(object: &Service) -> Errors {
        validate::service_create(object)
    }

    fn prepare_update(new: &mut Service, old: &Service) {
        new.status = old.status.clone();
        prepare::service_update(new, old);
        defaults::service(new);
    }

    fn prepare_status(new: &mut Service, old: &Service) {
        new.spec = old.spec.clone();
    }

    fn validate_update(new: &Service, old: &Service) -> Errors {
        validate::service_update(new, old)
    }
}
