//! Secrets.

use api::defaults;
use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::validate;
use proto::core_v1::Secret;

use super::Form;

pub(super) struct Secrets;

impl Form for Secrets {
    type K = Secret;

    fn prepare_create(object: &mut Secret, _now: Instant) -> Result<(), StatusError> {
        defaults::secret(object);
        Ok(())
    }

    fn validate_create(object: &Secret) -> Errors {
        validate::secret_create(object)
    }

    fn prepare_update(new: &mut Secret, _old: &Secret) {
        defaults::secret(new);
    }

    fn validate_update(new: &Secret, old: &Secret) -> Errors {
        validate::secret_update(new, old)
    }
}
