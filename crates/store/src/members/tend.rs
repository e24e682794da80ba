//! What the leader does for its members without being asked: a voter that was added gets its vote when it has
//! caught up, and a change that an earlier leader left half done is completed.

use std::sync::Arc;
use std::time::Duration;

use super::change::{self, Standings};
use super::rules;
use crate::raft::{Membership, Reshape};
use crate::services::Context;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Looks after the members for as long as it is polled; does nothing where this member does not lead.
pub async fn run(context: &Arc<Context>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let _turn = context.changes.lock().await;
        let Some(standing) = change::standing(context) else { continue };
        let Some(due) = due(&context.node.members(), context.node.is_unsettled(), &standing) else { continue };
        tracing::info!("members change: {due}");
        if let Err(error) = context.node.reshape(due).await {
            tracing::warn!("the members could not be changed: {error}; tried again");
        }
    }
}

/// What is to be done next.
fn due(members: &[Membership], unsettled: bool, standing: &Standings) -> Option<Reshape> {
    if unsettled {
        return Some(Reshape::Settled);
    }
    let caught_up = |member: &&Membership| {
        let found = standing.members.iter().find(|seen| seen.id == member.id);
        member.learner && member.joins_as_voter && found.is_some_and(|seen| rules::in_sync(seen, standing.last))
    };
    members.iter().find(caught_up).map(|member| Reshape::Vote(member.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::rules::Standing;

    #[test]
    fn only_a_voter_to_be_that_has_caught_up_gets_its_vote() {
        let member = |id, learner, joins_as_voter| Membership {
            id,
            name: String::new(),
            peer_urls: Vec::new(),
            learner,
            joins_as_voter,
        };
        let seen = |id, matched| Standing { id, started: true, active: true, matched, ..Default::default() };
        let standing = |matched| Standings { members: vec![seen(1, Some(100)), seen(2, matched)], last: 100 };
        let joining = [member(1, false, false), member(2, true, true)];
        assert_eq!(due(&joining, false, &standing(Some(100))), Some(Reshape::Vote(2)));
        assert_eq!(due(&joining, false, &standing(Some(10))), None);
        assert_eq!(due(&[member(1, false, false), member(2, true, false)], false, &standing(Some(100))), None);
        assert_eq!(due(&[member(1, false, false), member(2, false, true)], false, &standing(Some(100))), None);
        assert_eq!(due(&joining, true, &standing(Some(100))), Some(Reshape::Settled));
    }
}
