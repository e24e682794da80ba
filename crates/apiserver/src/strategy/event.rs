//! Events.

use api::defaults;
use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::validate;
use proto::core_v1::Event;

use super::Form;

pub(super) struct Events;

impl Form for Events {
    type K = Event;

    fn prepare_create(object: &mut Event, _now: Instant) -> Result<(), StatusError> {
        defaults::event(object);
        Ok(())
    }

    fn validate_create(object: &Event) -> Errors {
        validate::event_create(object)
    }

    fn prepare_update(new: &mut Event, _old: &Event) {
        defaults::event(new);
    }

    fn validate_update(new: &Event, old: &Event) -> Errors {
        validate::event_update(new, old)
    }
}
