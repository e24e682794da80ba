//! The registry: every read and every write of both faces, for every kind alike.
//!
//! ```text
//!  rest, grpc --> Registry::{create, update, ...}
//!                   1 authorize (identity, verb, resource, namespace, name, object)
//!                   2 current state from the watch cache
//!                   3 strategy of the kind: defaults, prepare, validate      (strategy/<kind>.rs)
//!                   4 commit: one etcd Txn under the resourceVersion seen    (commit/)
//!                   5 conflict? wait for the cache, again from 2
//! ```
//!
//! Neither face contains a rule; what differs by kind is in that kind's strategy. Objects travel as [`AnyObject`]
//! (decoded, to be changed) or as `Arc<CachedObject>` (shared with the cache, encoded bytes and what selectors need).
//! All errors are [`StatusError`]: code, reason and message as Kubernetes words them.

mod ask;
mod bind;
mod committing;
mod companions;
pub(crate) mod delete;
mod dependencies;
mod event_lease;
mod freshness;
mod metadata;
mod options;
mod output;
mod page;
mod prepare;
mod read;
mod resource;
mod review;

use std::sync::Arc;

pub use api::status::StatusError;
pub use ask::{Ask, Change, Check, Done, Effect, Fence, GroupAnswer, GroupAsk, Part, Refused};
pub(crate) use bind::{binding_ask, pods};
pub(crate) use event_lease::EventLease;
pub use options::*;
pub use resource::{Decoded, Resource};

use crate::agents::Agents;
use crate::auth::{Authorizer, ServiceAccountKeys};
use crate::cache::Caches;
use crate::commit::Committer;
use crate::context::RequestContext;
use crate::object::AnyObject;

/// What makes the new object from the current one: a PUT's body, a patch. It may run more than once, each time on a
/// fresher object, whose `metadata.resourceVersion` is set. The resourceVersion of what it returns is the precondition;
/// an empty one means "whatever is there".
pub type Modify<'a> = &'a (dyn Fn(&AnyObject) -> Result<AnyObject, StatusError> + Send + Sync);

/// All of the API server behind its two faces. Cheap to share (`Arc<Registry>`); every call may run concurrently.
pub struct Registry {
    pub(crate) caches: Arc<Caches>,
    pub(crate) committer: Committer,
    pub(crate) authorizer: Authorizer,
    pub(crate) keys: Arc<ServiceAccountKeys>,
    pub(crate) event_lease: EventLease,
    /// PEM of the API's authority, for `kube-root-ca.crt`; empty with `--insecure`.
    pub(crate) root_ca: String,
    /// The agents whose streams end here.
    pub agents: Arc<Agents>,
    /// `gitVersion` of `/version`.
    pub version: String,
}

/// One object addressed: its kind, its namespace (empty for kinds without one) and its name.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The kind.
    pub resource: &'static Resource,
    /// The namespace; empty for kinds that have none, and in lists over all namespaces.
    pub namespace: &'a str,
    /// The name; empty for collections.
    pub name: &'a str,
}

impl Registry {
    /// Every kind that is served, in the order of discovery.
    pub fn resources(&self) -> &'static [Resource] {
        resource::all()
    }

    /// The kind served as `group`/`version`/`plural` (`""` is the core group).
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
        resource::find(group, version, plural)
    }

    /// Whether `identity` may do `verb` here; the same question that each call asks by itself. Faces ask it for what is no
    /// registry call (`/metrics`).
    ///
    /// # Errors
    /// 403 Forbidden in Kubernetes' words.
    pub fn authorize(
        &self,
        ctx: &RequestContext,
        verb: &str,
        target: Target<'_>,
        subresource: &str,
    ) -> Result<(), StatusError> {
        self.authorizer.authorize(&self.caches, &ctx.identity, verb, target, subresource, None)
    }

    /// Creates `object`, in `target.namespace`; `target.name` is ignored (the object's own counts, or its generateName).
    ///
    /// # Errors
    /// 400 namespace mismatch or resourceVersion set, 403 (also: the namespace is being deleted), 404 no such namespace, 409
    /// AlreadyExists, 422 Invalid.
    pub async fn create(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        object: AnyObject,
        options: &WriteOptions,
    ) -> Result<Written, StatusError> {
        let done = self.one(ctx, Ask::Create { target, object }, options.dry_run).await?;
        Ok(Written::from(done))
    }

    /// Replaces the object by what `modify` makes of it; status is kept as it was. A change to nothing writes nothing.
    ///
    /// # Errors
    /// 404, 409 Conflict (precondition, or other writers won too often), 422 Invalid, and what `modify` returns.
    pub async fn update(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        modify: Modify<'_>,
        options: &WriteOptions,
    ) -> Result<Written, StatusError> {
        let ask = Ask::Update { target, part: Part::Main, change: Change::By(modify) };
        Ok(Written::from(self.one(ctx, ask, options.dry_run).await?))
    }

    /// As [`Registry::update`] for the subresource `status`: the spec is kept as it was, labels and annotations may change.
    ///
    /// # Errors
    /// As [`Registry::update`].
    pub async fn update_status(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        modify: Modify<'_>,
        options: &WriteOptions,
    ) -> Result<Written, StatusError> {
        let ask = Ask::Update { target, part: Part::Status, change: Change::By(modify) };
        Ok(Written::from(self.one(ctx, ask, options.dry_run).await?))
    }

    /// As [`Registry::update`] for `namespaces/finalize`: only `spec.finalizers` may change.
    ///
    /// # Errors
    /// As [`Registry::update`].
    pub async fn finalize(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        modify: Modify<'_>,
        options: &WriteOptions,
    ) -> Result<Written, StatusError> {
        let ask = Ask::Update { target, part: Part::Finalize, change: Change::By(modify) };
        Ok(Written::from(self.one(ctx, ask, options.dry_run).await?))
    }

    /// One object.
    ///
    /// # Errors
    /// 403, 404.
    pub async fn get(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        freshness: Freshness,
    ) -> Result<Arc<crate::cache::CachedObject>, StatusError> {
        self.get_object(ctx, target, freshness).await
    }

    /// The objects of `target.namespace` (empty: of all namespaces) that the selectors match.
    ///
    /// # Errors
    /// 400 for a field that cannot be selected by, 403, 410 Expired for an old token or exact revision, 504 for a revision that
    /// the store has not reached.
    pub async fn list(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        options: &ListOptions,
    ) -> Result<Listed, StatusError> {
        self.list_objects(ctx, target, options).await
    }

    /// Watches what [`Registry::list`] would list. The stream ends after an error item, or when the server drains.
    ///
    /// # Errors
    /// As [`Registry::list`]; a start that is compacted away is an error item of the stream.
    pub async fn watch(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        options: WatchOptions,
    ) -> Result<crate::cache::WatchStream, StatusError> {
        self.watch_objects(ctx, target, options).await
    }

    /// Deletes one object, gracefully where its kind knows how.
    ///
    /// # Errors
    /// 403, 404, 409 for a precondition or a namespace that is still being emptied.
    pub async fn delete(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        options: &DeleteOptions,
    ) -> Result<Deleted, StatusError> {
        self.delete_object(ctx, target, options).await
    }

    /// Deletes all objects that `list` matches; answers with them as they were.
    ///
    /// # Errors
    /// As [`Registry::list`] and [`Registry::delete`]; objects that went meanwhile are no error.
    pub async fn delete_collection(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<Listed, StatusError> {
        self.delete_matching(ctx, target, options, list).await
    }

    /// `pods/binding`: gives the Pod its node.
    ///
    /// # Errors
    /// 404, 409 when it has a node already or is being deleted, 422.
    pub async fn bind(
        &self,
        ctx: &RequestContext,
        namespace: &str,
        name: &str,
        binding: &proto::core_v1::Binding,
        options: &WriteOptions,
    ) -> Result<(), StatusError> {
        self.bind_pod(ctx, namespace, name, binding, options).await
    }

    /// `pods/eviction`: a graceful delete of the Pod.
    ///
    /// # Errors
    /// As [`Registry::delete`].
    pub async fn evict(
        &self,
        ctx: &RequestContext,
        namespace: &str,
        name: &str,
        eviction: &proto::policy_v1::Eviction,
        options: &WriteOptions,
    ) -> Result<(), StatusError> {
        self.evict_pod(ctx, namespace, name, eviction, options).await
    }
}
