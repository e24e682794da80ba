//! How a member learns that it is none any more, or that another process took its place.

use std::time::Duration;

use super::decide;
use crate::services::Context;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks without a leader before the peers are asked: elections are shorter.
const LEADERLESS_LOOKS: u32 = 3;

/// Returns, with words, when this member may not go on. A group of its own is asked for nothing.
pub async fn noticed(context: &Context) -> String {
    let introduction = &context.introduction;
    let own = context.node.id();
    let mut leaderless = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(reason) = replaced(context) {
            return reason;
        }
        leaderless = match context.node.status().leadership.leader {
            Some(_) => 0,
            None => leaderless + 1,
        };
        // A removed member may have heard of it, or only that nobody talks to it any more.
        let doubtful = leaderless >= LEADERLESS_LOOKS || !context.node.has_member(own);
        if !doubtful {
            continue;
        }
        let members = context.node.members().into_iter().flat_map(|member| member.peer_urls);
        let urls = members.chain(introduction.initial.values().cloned());
        let cluster = context.node.identity().cluster();
        let answers = introduction.ask(urls.filter(|url| !url.is_empty()).collect(), own, cluster).await;
        // Their word counts: an old log may well lack this member, while it is being read.
        let gone =
            answers.values().any(|answer| answer.as_ref().is_ok_and(|peer| peer.removed && peer.cluster_id == cluster));
        if gone {
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
