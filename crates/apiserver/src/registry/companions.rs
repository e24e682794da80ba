//! What comes into being with an object: a new namespace brings its ServiceAccount `default` and its ConfigMap
//! `kube-root-ca.crt`, in the same group.

use proto::core_v1::{ConfigMap, ServiceAccount};
use proto::meta_v1::ObjectMeta;

use super::prepare::{Prepared, put};
use super::{Registry, StatusError, Target, metadata};
use crate::commit::Condition;
use crate::context::RequestContext;
use crate::keys;
use crate::object::AnyObject;

/// The ConfigMap with the authority that Pods shall trust.
pub(crate) const ROOT_CA: &str = "kube-root-ca.crt";

impl Registry {
    /// Adds the companions of a new object to its group.
    pub(super) fn with_companions(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        prepared: &mut Prepared,
    ) -> Result<(), StatusError> {
        if target.resource.index != crate::strategy::namespaces().index {
            return Ok(());
        }
        for mut companion in self.companions() {
            let Some(resource) = super::resource::of(companion.kind()) else { continue };
            let at = Target { resource, namespace: target.name, name: "" };
            metadata::for_create(&mut *companion, at, ctx.now)?;
            resource.strategy.prepare_create(&mut *companion, ctx.now)?;
            let name = companion.metadata().name.clone();
            prepared.conditions.push(Condition { key: keys::object(resource, target.name, &name), revision: 0 });
            prepared.changes.push(put(resource, target.name, &name, &companion));
        }
        Ok(())
    }

    /// The companions of each namespace, without their namespace.
    pub(crate) fn companions(&self) -> [AnyObject; 2] {
        let named = |name: &str| Some(ObjectMeta { name: name.to_string(), ..ObjectMeta::default() });
        let account = ServiceAccount { metadata: named("default"), ..ServiceAccount::default() };
        let mut authority = ConfigMap { metadata: named(ROOT_CA), ..ConfigMap::default() };
        authority.data.insert("ca.crt".to_string(), self.root_ca.clone());
        let about = "Contains a CA bundle that can be used to verify the API server.";
        authority.metadata.get_or_insert_default().annotations.insert("raftsman.io/description".into(), about.into());
        [Box::new(account), Box::new(authority)]
    }
}
