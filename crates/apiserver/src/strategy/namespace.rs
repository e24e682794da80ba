//! Namespaces: they end in two steps, for their content has to go first.

use api::defaults;
use api::field::Errors;
use api::status::StatusError;
use api::time::Instant;
use api::validate;
use proto::core_v1::{Namespace, NamespaceStatus};

use super::Form;

/// The finalizer in `spec.finalizers` that stands for "there may be content".
const CONTENT: &str = "kubernetes";
/// The label by which selectors find a namespace by name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) struct Namespaces;

impl Form for Namespaces {
    type K = Namespace;

    fn prepare_create(object: &mut Namespace, _now: Instant) -> Result<(), StatusError> {
        defaults::namespace(object);
        object.status = Some(NamespaceStatus { phase: "Active".into(), ..NamespaceStatus::default() });
        let finalizers = &mut object.spec.get_or_insert_default().finalizers;
        if !finalizers.iter().any(|finalizer| finalizer == CONTENT) {
            finalizers.push(CONTENT.to_string());
        }
        label(object);
        Ok(())
    }

    fn validate_create(object: &Namespace) -> Errors {
        validate::namespace_create(object)
    }

    fn prepare_update(new: &mut Namespace, old: &Namespace) {
        new.spec = old.spec.clone();
        new.status = old.status.clone();
        label(new);
    }

    fn validate_update(new: &Namespace, old: &Namespace) -> Errors {
        validate::namespace_update(new, old)
    }

    fn prepare_status(new: &mut Namespace, old: &Namespace) {
        new.spec = old.spec.clone();
    }

    fn prepare_finalize(new: &mut Namespace, old: &Namespace) {
        new.status = old.status.clone();
    }

    /// The first delete makes it Terminating; a later one, which the registry lets through only when nothing is left in
    /// it, takes the finalizer off.
    fn on_delete(object: &mut Namespace, _now: Instant) {
        let terminating = object.status.as_ref().is_some_and(|status| status.phase == "Terminating");
        if terminating {
            object.spec.get_or_insert_default().finalizers.retain(|finalizer| finalizer != CONTENT);
        }
        object.status.get_or_insert_default().phase = "Terminating".to_string();
    }

    fn may_go(object: &Namespace) -> bool {
        object.spec.as_ref().is_none_or(|spec| spec.finalizers.is_empty())
    }
}

fn label(object: &mut Namespace) {
    let meta = object.metadata.get_or_insert_default();
    meta.labels.insert(NAME_LABEL.to_string(), meta.name.clone());
}
