//! From groups of asks to answers: rounds of prepare and commit until each group has its answer.
//!
//! ```text
//!  pending groups --prepare--> ready (disjoint keys) --one Txn--> done
//!        ^            |                                  | conflict: the cache reaches the winner's revision
//!        |            +-- refused on a cache that may lag: a consistent read first, then for good
//!        +----------------------------------------------+
//! ```

use std::collections::HashSet;

use api::status;

use super::ask::{Ask, Check, Done, Effect, GroupAnswer, GroupAsk, Refused};
use super::prepare::{Prepared, cache_key};
use super::{Registry, StatusError};
use crate::commit::{
    Condition, MAX_BYTES, MAX_GROUP_OPERATIONS, MAX_GROUPS, MAX_TXN_OPERATIONS, Outcome, PreparedGroup,
};
use crate::context::RequestContext;
use crate::keys;

/// Rounds that a group may lose against other writers.
const MAX_ATTEMPTS: u32 = 6;

/// Where a condition came from.
#[derive(Clone, Copy)]
enum Source {
    /// The object of this write.
    Write(usize),
    /// Another key that this write depends on: a guard, a companion.
    Beside,
    Check,
    Fence,
}

/// A group that is ready: what is sent, and what is told when it has been written.
struct Ready {
    group: PreparedGroup,
    sources: Vec<Source>,
    writes: Vec<Prepared>,
    needs_fresh: bool,
}

/// How far a group has come.
#[derive(Default)]
struct Progress {
    answer: Option<GroupAnswer>,
    attempts: u32,
    /// The cache was as new as the store when this group began its current attempt.
    fresh: bool,
}

impl Progress {
    /// After a consistent read. Where it failed the group can't go on; the answers of others, which may be written, stay.
    fn read(&mut self, fresh: &Result<i64, StatusError>) {
        self.fresh = true;
        if let (Err(error), None) = (fresh, &self.answer) {
            self.answer = Some(Err(Refused { error: error.clone(), index: 0 }));
        }
    }
}

impl Registry {
    /// One write, as a Commit of one.
    ///
    /// # Errors
    /// Why it was refused.
    pub(crate) async fn one(&self, ctx: &RequestContext, ask: Ask<'_>, dry_run: bool) -> Result<Done, StatusError> {
        let group = GroupAsk { writes: vec![ask], ..GroupAsk::default() };
        let answer = self.commit(ctx, &[group], dry_run).await?.pop().expect("one answer a group");
        let (_, mut done) = answer.map_err(|refused| refused.error)?;
        Ok(done.pop().expect("one entry a write"))
    }

    /// Groups of writes (design D2): each is atomic, all go in one Txn where their objects are disjoint.
    ///
    /// # Errors
    /// Only what concerns the whole request (limits); everything else is told group by group.
    pub async fn commit(
        &self,
        ctx: &RequestContext,
        groups: &[GroupAsk<'_>],
        dry_run: bool,
    ) -> Result<Vec<GroupAnswer>, StatusError> {
        require_limits(groups)?;
        let lease = if dry_run { 0 } else { self.lease_for(groups).await? };
        let mut progress: Vec<Progress> = groups.iter().map(|_| Progress::default()).collect();
        while progress.iter().any(|group| group.answer.is_none()) {
            let mut round = Vec::new();
            let mut taken = HashSet::new();
            let (mut bytes, mut widest) = (0, 0);
            let mut lagging = false;
            for (index, (group, state)) in groups.iter().zip(&mut progress).enumerate() {
                if state.answer.is_some() {
                    continue;
                }
                match self.ready(ctx, group, lease) {
                    Err(_) if !state.fresh => lagging = true,
                    Err(refused) => state.answer = Some(Err(refused)),
                    // Nothing to write, or nothing to be written: the answer must be true of the store, not of a lagging cache.
                    Ok(ready) if !state.fresh && (dry_run || ready.needs_fresh || ready.group.changes.is_empty()) => {
                        lagging = true;
                    }
                    Ok(ready) if dry_run || (ready.group.changes.is_empty() && group.writes.len() == 1) => {
                        state.answer = Some(self.unsent(ready));
                    }
                    Ok(ready) => {
                        // A key twice in one Txn, or too many bytes, is refused by the store: the later group waits for
                        // the next round.
                        let most = widest.max(ready.group.width());
                        let fits = round.is_empty()
                            || bytes + ready.group.bytes() <= MAX_BYTES && round.len() + 1 + most <= MAX_TXN_OPERATIONS;
                        if fits && ready.group.changes.iter().all(|change| !taken.contains(change.key())) {
                            taken.extend(ready.group.changes.iter().map(|change| change.key().to_string()));
                            bytes += ready.group.bytes();
                            widest = most;
                            round.push((index, ready));
                        }
                    }
                }
            }
            self.send(round, &mut progress).await;
            if lagging {
                let fresh = self.caches.consistent().await;
                progress.iter_mut().for_each(|group| group.read(&fresh));
            }
        }
        Ok(progress.into_iter().map(|group| group.answer.expect("the loop ended")).collect())
    }

    /// Prepares all writes and checks of one group.
    fn ready(&self, ctx: &RequestContext, group: &GroupAsk<'_>, lease: i64) -> Result<Ready, Refused> {
        let mut ready =
            Ready { group: PreparedGroup::default(), sources: Vec::new(), writes: Vec::new(), needs_fresh: false };
        for (index, ask) in group.writes.iter().enumerate() {
            let refused = |error| Refused { error, index: i32::try_from(index).unwrap_or(i32::MAX) };
            let mut prepared = self.prepare(ctx, ask, lease).map_err(refused)?;
            if group.writes.len() > 1 {
                prepared.write_anyway(ask.target());
            }
            for (at, condition) in prepared.conditions.drain(..).enumerate() {
                // What many writes depend on (their namespace) is compared once.
                if at == 0 || !ready.group.conditions.contains(&condition) {
                    ready.sources.push(if at == 0 { Source::Write(index) } else { Source::Beside });
                    ready.group.conditions.push(condition);
                }
            }
            ready.needs_fresh |= prepared.needs_fresh;
            ready.group.changes.append(&mut prepared.changes);
            ready.writes.push(prepared);
        }
        let mut written = HashSet::new();
        if let Some(twice) = ready.group.changes.iter().find(|change| !written.insert(change.key())) {
            // The store would refuse the whole Txn, and with it the groups of others.
            let error = status::bad_request(format!("a group writes {} twice", twice.key()));
            return Err(Refused { error, index: 0 });
        }
        for (index, check) in group.checks.iter().enumerate() {
            let at = i32::try_from(group.writes.len() + index).unwrap_or(i32::MAX);
            let condition = self.condition(ctx, check).map_err(|error| Refused { error, index: at })?;
            ready.group.conditions.push(condition);
            ready.sources.push(Source::Check);
        }
        if let Some(fence) = &group.fence {
            ready.group.conditions.push(Condition { key: keys::claim(&fence.claim), revision: fence.epoch });
            ready.sources.push(Source::Fence);
        }
        if ready.group.width() >= MAX_TXN_OPERATIONS {
            let error = status::request_entity_too_large(format!(
                "a group's writes and what they depend on need {} compares; the store takes {MAX_TXN_OPERATIONS}",
                ready.group.width()
            ));
            return Err(Refused { error, index: 0 });
        }
        Ok(ready)
    }

    fn condition(&self, ctx: &RequestContext, check: &Check<'_>) -> Result<Condition, StatusError> {
        let target = check.target;
        self.authorizer.authorize(&self.caches, &ctx.identity, "get", target, "", None)?;
        let current = self.caches.kind(target.resource).get(&cache_key(target));
        if check.uid.is_empty() && check.resource_version.is_empty() {
            // Asks that there is no such object.
            let key = keys::object(target.resource, target.namespace, target.name);
            return match current {
                Some(_) => Err(status::already_exists(target.resource.info, target.name)),
                None => Ok(Condition { key, revision: 0 }),
            };
        }
        let current = current.ok_or_else(|| status::not_found(target.resource.info, target.name))?;
        let seen = current.revision().to_string();
        if !check.resource_version.is_empty() && check.resource_version != seen {
            return Err(status::conflict(target.resource.info, target.name, status::MODIFIED));
        }
        if !check.uid.is_empty() && check.uid != current.uid() {
            return Err(status::precondition_failed(
                target.resource.info,
                target.name,
                "UID",
                &check.uid,
                &current.uid(),
            ));
        }
        Ok(Condition {
            key: keys::object(target.resource, target.namespace, target.name),
            revision: current.revision(),
        })
    }

    /// Of a name that is taken by an object on its way out, that it is on its way out.
    fn leaving(&self, refused: Refused, writes: &[Prepared]) -> Refused {
        let write = usize::try_from(refused.index).ok().and_then(|index| writes.get(index));
        let Some(write) = write.filter(|_| refused.error.is_already_exists()) else { return refused };
        let (info, meta) = (write.object.kind(), write.object.metadata());
        let key = if info.namespaced { format!("{}/{}", meta.namespace, meta.name) } else { meta.name.clone() };
        let resource = self.resource(info.group, info.version, info.resource);
        let there = resource.and_then(|resource| self.caches.kind(resource).get(&key));
        match there.is_some_and(|there| api::meta::is_deleting(there.decode().metadata())) {
            true => Refused { error: status::being_deleted(info, &meta.name), ..refused },
            false => refused,
        }
    }

    /// The answer of a group that is not sent: a dry run, or a single write that changes nothing.
    fn unsent(&self, ready: Ready) -> GroupAnswer {
        for condition in &ready.group.conditions {
            if condition.revision == 0 && self.caches.holds(&condition.key) {
                let write = ready.writes.first().expect("a condition has a write");
                let error = status::already_exists(write.object.kind(), &write.object.metadata().name);
                return Err(self.leaving(Refused { error, index: 0 }, &ready.writes));
            }
        }
        let done = ready.writes.into_iter().map(|write| Done {
            object: write.object,
            warnings: write.warnings,
            effect: write.effect,
        });
        Ok((0, done.collect()))
    }

    async fn send(&self, round: Vec<(usize, Ready)>, progress: &mut [Progress]) {
        if round.is_empty() {
            return;
        }
        let (mut indices, mut groups, mut rests) = (Vec::new(), Vec::new(), Vec::new());
        for (index, ready) in round {
            indices.push(index);
            groups.push(ready.group);
            rests.push((ready.sources, ready.writes));
        }
        let outcomes = match self.committer.commit(&groups).await {
            Ok(outcomes) => outcomes,
            Err(failure) => {
                if failure.message().contains("requested lease not found") {
                    self.event_lease.forget().await;
                }
                let error = crate::storage::unavailable(&failure);
                for index in indices {
                    progress[index].answer = Some(Err(Refused { error: error.clone(), index: 0 }));
                }
                return;
            }
        };
        for ((index, outcome), (sources, writes)) in indices.into_iter().zip(outcomes).zip(rests) {
            let state = &mut progress[index];
            match outcome {
                Outcome::Done { revision } => state.answer = Some(Ok((revision, finished(writes, revision)))),
                Outcome::Conflict { found, revision } => {
                    state.attempts += 1;
                    let error = lost(&found, &sources, &writes, state.attempts);
                    if let Some(refused) = error {
                        state.answer = Some(Err(self.leaving(refused, &writes)));
                    } else if let Err(error) = self.caches.reached(revision).await {
                        state.answer = Some(Err(Refused { error, index: 0 }));
                    } else {
                        state.fresh = true;
                    }
                }
            }
        }
    }
}

fn finished(writes: Vec<Prepared>, revision: i64) -> Vec<Done> {
    let finish = |mut write: Prepared| {
        if write.effect != Effect::Unchanged {
            write.object.metadata_mut().resource_version = revision.to_string();
        }
        Done { object: write.object, warnings: write.warnings, effect: write.effect }
    };
    writes.into_iter().map(finish).collect()
}

/// The error of a group that lost, or `None` when it may try again on the winner's state.
fn lost(found: &[(usize, i64)], sources: &[Source], writes: &[Prepared], attempts: u32) -> Option<Refused> {
    for (condition, revision) in found {
        match sources[*condition] {
            Source::Fence => {
                let subject = status::Subject { group: "raftsman.io", resource: "claims" };
                let error = status::conflict(subject, "", "the claim of this writer is held no more in its epoch");
                return Some(Refused { error, index: -1 });
            }
            Source::Check | Source::Beside => {}
            Source::Write(index) => {
                let write = &writes[index];
                let (info, name) = (write.object.kind(), write.object.metadata().name.clone());
                let index = i32::try_from(index).unwrap_or(i32::MAX);
                if !write.retry && *revision > 0 {
                    return Some(Refused { error: status::already_exists(info, &name), index });
                }
                if attempts >= MAX_ATTEMPTS {
                    return Some(Refused { error: status::conflict(info, &name, status::MODIFIED), index });
                }
            }
        }
    }
    if attempts >= MAX_ATTEMPTS {
        let error = status::failure(409, "Conflict", "other writers were faster too often; try again");
        return Some(Refused { error, index: 0 });
    }
    None
}

fn require_limits(groups: &[GroupAsk<'_>]) -> Result<(), StatusError> {
    if groups.len() > MAX_GROUPS {
        return Err(status::request_entity_too_large(format!(
            "a Commit has at most {MAX_GROUPS} groups, not {}",
            groups.len()
        )));
    }
    for group in groups {
        if group.fence.as_ref().is_some_and(|fence| fence.claim.is_empty() || fence.epoch <= 0) {
            // Epoch 0 would compare with "nobody holds it", which is the opposite of a fence.
            return Err(status::bad_request("a fence names a claim and the epoch in which it was won"));
        }
        let operations = group.writes.len() + group.checks.len();
        if operations > MAX_GROUP_OPERATIONS {
            return Err(status::request_entity_too_large(format!(
                "a group has at most {MAX_GROUP_OPERATIONS} writes and preconditions, not {operations}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stays_told_when_the_store_goes_away() {
        let mut written = Progress { answer: Some(Ok((7, Vec::new()))), ..Progress::default() };
        let mut waiting = Progress::default();
        for group in [&mut written, &mut waiting] {
            group.read(&Err(status::service_unavailable("no leader")));
        }
        assert!(matches!(written.answer, Some(Ok((7, _)))));
        let Some(Err(refused)) = waiting.answer else { panic!("it has no answer") };
        assert_eq!(refused.error.status().code, 503);
    }
}
