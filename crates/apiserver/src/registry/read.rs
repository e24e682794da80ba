//! Gets, lists and watches: served from the watch cache, with the freshness that the reader asks for.

use std::sync::Arc;

use api::selector::FieldSelector;
use api::status;

use super::prepare::cache_key;
use super::{Freshness, ListOptions, Listed, Registry, StatusError, Target, WatchOptions, WatchStart, page};
use crate::cache::{CachedObject, Filter, WatchStream, Watcher};
use crate::context::RequestContext;

impl Registry {
    pub(super) async fn get_object(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        freshness: Freshness,
    ) -> Result<Arc<CachedObject>, StatusError> {
        self.freshen(freshness).await?;
        let found = self.caches.kind(target.resource).get(&cache_key(target));
        let decoded = found.as_ref().map(|found| found.decode());
        self.authorizer.authorize(&self.caches, &ctx.identity, "get", target, "", decoded.as_deref())?;
        found.ok_or_else(|| status::not_found(target.resource.info, target.name))
    }

    /// Waits until the cache is as new as the reader wants.
    async fn freshen(&self, freshness: Freshness) -> Result<(), StatusError> {
        match freshness {
            Freshness::Any if self.caches.ready() => Ok(()),
            Freshness::Any | Freshness::Consistent => self.caches.consistent().await.map(|_| ()),
            Freshness::NotOlderThan(revision) | Freshness::Exact(revision) => self.caches.reached(revision).await,
        }
    }

    pub(super) async fn list_objects(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        options: &ListOptions,
    ) -> Result<Listed, StatusError> {
        let filter = filter(target, options.labels.clone(), options.fields.clone())?;
        self.authorizer.authorize_list(&ctx.identity, "list", target, &filter)?;
        if !options.continue_token.is_empty() {
            let token = page::Token::parse(&options.continue_token)?;
            return self.page(target, &filter, options.limit, token).await;
        }
        if let Freshness::Exact(revision) = options.freshness {
            return self.page(target, &filter, options.limit, page::Token::first(revision)).await;
        }
        self.freshen(options.freshness).await?;
        let view = self.caches.kind(target.resource).view(target.namespace, self.caches.revision());
        let mut items = view.objects;
        if filter.selects() {
            items.retain(|object| filter.wants(object));
        }
        let mut listed = Listed { items, revision: view.revision, ..Listed::default() };
        page::cut(&mut listed, target, &filter, options.limit);
        Ok(listed)
    }

    async fn page(
        &self,
        target: Target<'_>,
        filter: &Filter,
        limit: i64,
        token: page::Token,
    ) -> Result<Listed, StatusError> {
        page::read(self.committer.storage(), target, filter, limit, token, self.caches.revision()).await
    }

    pub(super) async fn watch_objects(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        options: WatchOptions,
    ) -> Result<WatchStream, StatusError> {
        self.watcher(ctx, target, options).await.map(Watcher::into_stream)
    }

    /// A watch that the caller may still bind to its connection's progress.
    ///
    /// # Errors
    /// As [`Registry::watch`].
    pub(crate) async fn watcher(
        &self,
        ctx: &RequestContext,
        target: Target<'_>,
        options: WatchOptions,
    ) -> Result<Watcher, StatusError> {
        let filter = filter(target, options.labels, options.fields)?;
        self.authorizer.authorize_list(&ctx.identity, "watch", target, &filter)?;
        let watcher = match options.start {
            WatchStart::After(revision) => {
                if !self.caches.ready() {
                    self.caches.consistent().await?;
                }
                Watcher::after(self.caches.clone(), target.resource, filter, revision)
            }
            start => {
                self.freshen(match start {
                    WatchStart::InitialNotOlderThan(revision) => Freshness::NotOlderThan(revision),
                    WatchStart::Any => Freshness::Any,
                    _ => Freshness::Consistent,
                })
                .await?;
                Watcher::initial(self.caches.clone(), target.resource, filter)
            }
        };
        Ok(watcher.with_bookmarks(options.bookmarks))
    }
}

/// What a list or watch wants; every field must be one that this kind can be selected by.
fn filter(
    target: Target<'_>,
    labels: Option<api::selector::LabelSelector>,
    fields: Option<FieldSelector>,
) -> Result<Filter, StatusError> {
    let labels = labels.filter(|labels| !labels.is_empty());
    let mut fields = fields.filter(|fields| !fields.is_empty());
    if !target.name.is_empty() {
        fields = fields.or_else(|| Some(FieldSelector::equal("metadata.name", target.name)));
    }
    if let Some(fields) = &fields {
        let known = api::fields::supported(target.resource.info);
        for term in fields.terms() {
            let common = term.field == "metadata.name" || term.field == "metadata.namespace";
            if !common && !known.contains(&term.field.as_str()) {
                return Err(status::bad_request(format!("field label not supported: {}", term.field)));
            }
        }
    }
    Ok(Filter { namespace: target.namespace.to_string(), labels, fields })
}
