//! What a list or a watch wants to see.

use api::selector::{FieldSelector, LabelSelector};

use super::CachedObject;

/// Namespace, labels and fields together. The default wants everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The namespace; empty for all.
    pub namespace: String,
    /// Labels; `None` for all.
    pub labels: Option<LabelSelector>,
    /// Selectable fields; `None` for all.
    pub fields: Option<FieldSelector>,
}

impl Filter {
    /// Whether this object is wanted.
    pub fn wants(&self, object: &CachedObject) -> bool {
        self.in_namespace(object) && self.fields_match(object) && self.labels_match(object)
    }

    /// Whether something beside the namespace narrows the view.
    pub fn selects(&self) -> bool {
        self.labels.is_some() || self.fields.is_some()
    }

    fn in_namespace(&self, object: &CachedObject) -> bool {
        self.namespace.is_empty() || object.namespace() == self.namespace
    }

    fn fields_match(&self, object: &CachedObject) -> bool {
        let value = |field: &str| match field {
            "metadata.name" => object.name(),
            "metadata.namespace" => object.namespace(),
            field => object.field(field),
        };
        self.fields.as_ref().is_none_or(|fields| fields.matches(value))
    }

    fn labels_match(&self, object: &CachedObject) -> bool {
        self.labels.as_ref().is_none_or(|labels| labels.matches(&object.labels()))
    }
}
