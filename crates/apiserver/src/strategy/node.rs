//! Nodes.

use api::defaults;
use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::validate;
use proto::core_v1::Node;

use super::Form;

pub(super) struct Nodes;

impl Form for Nodes {
    type K = Node;

    // A kubelet registers itself with its status, so a new Node keeps it.
    fn prepare_create(object: &mut Node, _now: Instant) -> Result<(), StatusError> {
        defaults::node(object);
        Ok(())
    }

    fn validate_create(object: &Node) -> Errors {
        validate::node_create(object)
    }

    fn prepare_update(new: &mut Node, old: &Node) {
        new.status = old.status.clone();
        defaults::node(new);
    }

    fn validate_update(new: &Node, old: &Node) -> Errors {
        validate::node_update(new, old)
    }

    fn prepare_status(new: &mut Node, old: &Node) {
        new.spec = old.spec.clone();
    }
}
