//! Who belongs to the group, and how that changes.
//!
//! ```text
//!   start:           ask the peers --> decide: found the group | be taken in | go on | wait | refuse, in words
//!   MemberAdd & co:  any member --> leader --> rules (etcd's) --> raft's membership entry
//!   added as voter:  a learner until it has caught up, then the leader gives it its vote
//! ```
//!
//! An id is drawn at random for one data directory and never used again. So a member whose data is gone is
//! another member: it is refused under its old name until the old one is removed and it is added anew.

pub mod change;
mod decide;
pub mod departure;
mod meet;
mod peer_urls;
mod rules;
mod service;
pub mod tend;

use std::path::Path;
use std::sync::Arc;

use proto::raftsman_store_v1::member_change::Change;
use proto::raftsman_store_v1::{MemberChange, UpdateMember};

use crate::error::Error;
use crate::marker::{self, Marker};
use crate::peers::Join;
use crate::services::Context;

pub use meet::Introduction;
pub use service::GroupService;

/// Reads whose the directory `dir` is, or makes it a member's. One that a group has taken in asks for its id, for as
/// long as that takes. Counts the start.
pub async fn arrive(dir: &Path, introduction: &mut Introduction) -> Result<Marker, Error> {
    let draw = || rand::random_range(1..=u64::MAX);
    let name = introduction.name.clone();
    let taken_in = introduction.join == Join::Existing;
    let fresh = || Marker::new(&name, if taken_in { 0 } else { draw() }, 0, draw());
    let mut marker = marker::claim(dir, &name, fresh)?;
    introduction.starts = marker.starts + 1;
    // An id that was drawn for a group that never came to be is of no use in one that exists.
    let groupless = marker.cluster_id == 0 && marker.directory != 0;
    if marker.member_id == 0 || (taken_in && groupless) {
        (marker.member_id, marker.cluster_id) = introduction.fetch_id(&marker).await?;
        marker.write(dir).map_err(|source| Error::DataDir { path: dir.to_owned(), source })?;
    }
    Ok(marker)
}

/// Meets the peers until this member may take part, and takes part from then on.
pub async fn enter(context: &Context) -> Result<(), Error> {
    let stopped = |error: std::io::Error| Error::Stopped(error.to_string());
    context.introduction.enter(&context.node).await?;
    context.node.open().await.map_err(stopped)
}

/// Tells a group that was founded without a peer port where this member is reached, now that it has one.
pub async fn readdress(context: &Arc<Context>) -> Result<(), Error> {
    let url = &context.introduction.url;
    let own = context.node.members().into_iter().find(|member| member.id == context.node.id());
    match own {
        Some(own) if own.peer_urls.is_empty() && !url.is_empty() => {
            let update = UpdateMember { id: own.id, peer_urls: vec![url.clone()] };
            let moved = change::anywhere(context, MemberChange { change: Some(Change::Update(update)) }).await;
            moved.map(|_| ()).map_err(|status| Error::Group(status.message().to_owned()))
        }
        Some(own) if !url.is_empty() && !own.peer_urls.contains(url) => {
            tracing::warn!("the group reaches this member at {}, not at {url}", own.peer_urls.join(","));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Waits until a member that was added as a voter has its vote. Others have theirs, or do without.
pub async fn voting(context: &Context) {
    let own = context.node.id();
    let waits =
        || context.node.members().iter().any(|member| member.id == own && member.learner && member.joins_as_voter);
    while waits() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
