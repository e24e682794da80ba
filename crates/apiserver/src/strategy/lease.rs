//! Leases.

use api::defaults;
use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::validate;
use proto::coordination_v1::Lease;

use super::Form;

pub(super) struct Leases;

impl Form for Leases {
    type K = Lease;

    fn prepare_create(object: &mut Lease, _now: Instant) -> Result<(), StatusError> {
        defaults::lease(object);
        Ok(())
    }

    fn validate_create(object: &Lease) -> Errors {
        validate::lease_create(object)
    }

    fn prepare_update(new: &mut Lease, _old: &Lease) {
        defaults::lease(new);
    }

    fn validate_update(new: &Lease, old: &Lease) -> Errors {
        validate::lease_update(new, old)
    }
}
