//! Lists in pages: the first comes from the cache, the rest from the store at the first page's revision.

use std::sync::Arc;

use api::status;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use proto::etcdserverpb as pb;
use serde::{Deserialize, Serialize};

use super::{Listed, StatusError, Target};
use crate::cache::{CachedObject, Filter};
use crate::keys;
use crate::storage::{self, Storage};

/// Objects read from the store at a time while a selector is looking for matches.
const SCAN: i64 = 500;

/// Where the next page starts. Opaque to clients: base64 of Kubernetes' own JSON form.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Token {
    /// The form.
    v: String,
    /// The revision of the first page.
    rv: i64,
    /// The last key sent, after the prefix; a NUL makes it "the next one".
    start: String,
}

const FORM: &str = "meta.k8s.io/v1";

impl Token {
    /// The first page at a stated revision.
    pub(super) fn first(revision: i64) -> Self {
        Token { v: FORM.to_string(), rv: revision, start: String::new() }
    }

    /// From what a client sends back.
    ///
    /// # Errors
    /// 400 for what is no token of ours, or one that points outside of this list.
    pub(super) fn parse(text: &str) -> Result<Self, StatusError> {
        let bad = |why: &str| status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|error| bad(&error.to_string()))?;
        let token: Token = serde_json::from_slice(&json).map_err(|error| bad(&error.to_string()))?;
        if token.v != FORM {
            return Err(bad("server does not recognize this encoded version"));
        }
        if token.rv < 0 || token.start.is_empty() || token.start.starts_with('/') || token.start.contains("..") {
            return Err(bad("encoded start key or version does not belong to this list"));
        }
        Ok(token)
    }

    fn after(revision: i64, key: &str) -> String {
        let token = Token { v: FORM.to_string(), rv: revision, start: format!("{key}\0") };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }
}

/// Cuts what the cache found to the first page.
pub(super) fn cut(listed: &mut Listed, target: Target<'_>, filter: &Filter, limit: i64) {
    let Ok(limit) = usize::try_from(limit) else { return };
    if limit == 0 || listed.items.len() <= limit {
        return;
    }
    let rest = listed.items.len() - limit;
    listed.items.truncate(limit);
    listed.remaining = (!filter.selects()).then(|| i64::try_from(rest).unwrap_or(i64::MAX));
    let last = listed.items.last().expect("limit is not 0");
    listed.continue_token = Token::after(listed.revision, within(target, last.key()));
}

/// The cache's key without the namespace where the list is of one namespace.
fn within<'a>(target: Target<'_>, key: &'a str) -> &'a str {
    if target.namespace.is_empty() { key } else { key.split_once('/').map_or(key, |(_, name)| name) }
}

/// One page as of the token's revision (0: the newest). `current` is the newest that is known here.
///
/// # Errors
/// 410 Expired with a token that goes on at the newest revision, when that one has been compacted; 504 for one to come.
pub(super) async fn read(
    storage: &Arc<Storage>,
    target: Target<'_>,
    filter: &Filter,
    limit: i64,
    token: Token,
    current: i64,
) -> Result<Listed, StatusError> {
    let prefix = api::storage::range_prefix(api::storage::DEFAULT_PREFIX, target.resource.info, target.namespace);
    let end = keys::end_of(&prefix);
    let mut next = Bytes::from(format!("{prefix}{}", token.start));
    let mut listed = Listed { revision: token.rv, ..Listed::default() };
    let wanted = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    loop {
        let room = i64::try_from(wanted - listed.items.len()).unwrap_or(i64::MAX);
        let step = if filter.selects() { SCAN } else { room.min(SCAN) };
        let request = pb::RangeRequest {
            key: next,
            range_end: end.clone(),
            limit: step,
            revision: listed.revision,
            ..Default::default()
        };
        let page = storage.range(request).await.map_err(|failure| unreadable(&failure, &token, current))?;
        if listed.revision == 0 {
            listed.revision = page.header.as_ref().map_or(0, |header| header.revision);
        }
        let mut seen = 0;
        for kv in &page.kvs {
            seen += 1;
            if let Some(object) = object(target, kv).filter(|object| filter.wants(object)) {
                listed.items.push(object);
            }
            if listed.items.len() == wanted {
                break;
            }
        }
        let left = page.count - seen;
        let Some(last) = page.kvs.get(usize::try_from(seen).unwrap_or(0).saturating_sub(1)) else { return Ok(listed) };
        if left <= 0 {
            return Ok(listed);
        }
        if listed.items.len() == wanted {
            let key = String::from_utf8_lossy(&last.key);
            listed.continue_token = Token::after(listed.revision, key.strip_prefix(&prefix).unwrap_or(&key));
            listed.remaining = (!filter.selects()).then_some(left);
            return Ok(listed);
        }
        next = [&last.key[..], &[0]].concat().into();
    }
}

fn object(target: Target<'_>, kv: &proto::mvccpb::KeyValue) -> Option<Arc<CachedObject>> {
    let (resource, key) = crate::strategy::of_key(std::str::from_utf8(&kv.key).ok()?)?;
    let raw = api::storage::unwrap(&kv.value).ok()?.raw;
    debug_assert_eq!(resource.info.resource, target.resource.info.resource);
    CachedObject::new(resource, key, Bytes::copy_from_slice(raw), kv.mod_revision).ok().map(Arc::new)
}

/// Why the store can't show the token's revision.
fn unreadable(failure: &tonic::Status, token: &Token, current: i64) -> StatusError {
    match failure.message() {
        message if message.contains("compacted") => expired(&token.start),
        // etcd's words.
        message if message.contains("required revision is a future revision") => {
            status::too_large_resource_version(token.rv, current)
        }
        _ => storage::unavailable(failure),
    }
}

fn expired(start: &str) -> StatusError {
    let text = "The provided continue parameter is too old to display a consistent list result. You can start a new list \
                without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
                results. Continuing with the provided token results in an inconsistent list - objects that were created, \
                modified, or deleted between the time the first chunk was returned and now may show up in the list.";
    let mut error = status::expired(text).into_status();
    if !start.is_empty() {
        let next = Token { v: FORM.to_string(), rv: 0, start: start.to_string() };
        let token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&next).unwrap_or_default());
        error.metadata.get_or_insert_default().r#continue = token;
    }
    StatusError::from_status(error)
}
