//! How a member learns that it is none any more, or that another process took its place.

use std::time::Duration;

use super::decide::{self, Hello};
use crate::services::Context;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Looks without an answer of the leader before all are asked: elections are shorter.
const SILENT_LOOKS: u32 = 2;

/// Returns, with words, when this member may not go on.
///
/// Nobody talks to a member that was removed, and raft does not tell it why. So it asks: the leader, and when that
/// one does not answer, everybody. Only their word counts, for an old log may well lack this member while it is
/// being read.
pub async fn noticed(context: &Context) -> String {
    let introduction = &context.introduction;
    let own = context.node.id();
    let mut silent = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(reason) = replaced(context) {
            return reason;
        }
        let cluster = context.node.identity().cluster();
        if cluster == 0 || (context.node.leads() && context.node.has_member(own)) {
            continue;
        }
        let gone = |peer: &Hello| peer.removed && peer.cluster_id == cluster;
        let leader = match context.node.leader_channel() {
            Some(channel) => introduction.ask_at(channel, own, cluster).await.ok(),
            None => None,
        };
        silent = if leader.is_some() { 0 } else { silent + 1 };
        let mut removed = leader.as_ref().is_some_and(gone);
        if silent >= SILENT_LOOKS {
            let members = context.node.members().into_iter().flat_map(|member| member.peer_urls);
            let urls = members.chain(introduction.initial.values().cloned()).filter(|url| !url.is_empty());
            let answers = introduction.ask(urls.collect(), own, cluster).await;
            removed |= answers.values().flatten().any(gone);
        }
        if removed {
            return decide::removed(&introduction.name, own);
        }
    }
}

/// Whether another process has been taken for this member since it started.
fn replaced(context: &Context) -> Option<String> {
    let group = context.view.shared().group.read();
    let published = group.published.get(&context.node.id())?;
    (published.starts > context.introduction.starts).then(|| {
        format!(
            "another process has started as member {} from a copy of this data directory; a data directory belongs \
             to one process: stop both, and go on with the newer directory alone",
            context.introduction.name
        )
    })
}
