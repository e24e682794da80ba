//! ServiceAccounts.

use api::defaults;
use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::validate;
use proto::core_v1::ServiceAccount;

use super::Form;

pub(super) struct ServiceAccounts;

impl Form for ServiceAccounts {
    type K = ServiceAccount;

    fn prepare_create(object: &mut ServiceAccount, _now: Instant) -> Result<(), StatusError> {
        defaults::service_account(object);
        Ok(())
    }

    fn validate_create(object: &ServiceAccount) -> Errors {
        validate::service_account_create(object)
    }

    fn prepare_update(new: &mut ServiceAccount, _old: &ServiceAccount) {
        defaults::service_account(new);
    }

    fn validate_update(new: &ServiceAccount, old: &ServiceAccount) -> Errors {
        validate::service_account_update(new, old)
    }
}
