//! Learning the store's members, and the way back home.
//!
//! A control-plane member's API server knows at first the store beside it alone. That one tells of the others by
//! `Cluster/MemberList`, so that the API server goes on with them when its own store can't serve: because it has no
//! quorum, catches up, or was removed.

use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb as pb;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use tonic::Status;

use super::{Storage, StoreServer, in_time};

/// Time between two looks at the membership, and at home.
const EVERY: Duration = Duration::from_secs(5);
/// A look that takes longer tells nothing good.
const LOOK_MAX: Duration = Duration::from_secs(3);

/// Looks for ever; `discover`: also at who the members are.
pub(crate) async fn run(storage: Arc<Storage>, discover: bool) {
    // Home's own URL may not be the one that it tells others.
    let mut home_id = 0;
    loop {
        if discover {
            let server = storage.server();
            let is_home = storage.endpoints.is_home();
            match members(&server).await {
                Ok(answer) => {
                    if is_home {
                        home_id = answer.header.as_ref().map_or(0, |header| header.member_id);
                    }
                    storage.endpoints.set_others(&client_urls(&answer.members, home_id));
                }
                Err(error) => tracing::debug!(%error, store = %server.url, "asking for the store's members"),
            }
            if !storage.endpoints.is_home() && serves(&storage.endpoints.home()).await {
                storage.endpoints.come_home();
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn members(server: &StoreServer) -> Result<pb::MemberListResponse, Status> {
    let mut cluster = ClusterClient::new(server.channel.clone());
    in_time(LOOK_MAX, cluster.member_list(pb::MemberListRequest { linearizable: false })).await
}

/// Where all but home serve clients. A learner serves none, and who has not started yet has no URL.
fn client_urls(members: &[pb::Member], home_id: u64) -> Vec<String> {
    let others = members.iter().filter(|member| member.id != home_id && !member.is_learner);
    others.filter_map(|member| member.client_urls.first().cloned()).collect()
}

/// Whether a linearizable read succeeds there.
async fn serves(server: &StoreServer) -> bool {
    let mut kv = KvClient::new(server.channel.clone());
    in_time(LOOK_MAX, kv.range(super::needing_leader(crate::keys::nothing()))).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_learners_and_members_that_never_started_are_no_way_out() {
        let member = |id: u64, url: &str, is_learner: bool| pb::Member {
            id,
            client_urls: Some(url.to_owned()).filter(|url| !url.is_empty()).into_iter().collect(),
            is_learner,
            ..Default::default()
        };
        let members = [
            member(1, "https://a:1", false),
            member(2, "https://b:1", false),
            member(3, "", false),
            member(4, "x", true),
        ];
        assert_eq!(client_urls(&members, 1), ["https://b:1"]);
    }
}
