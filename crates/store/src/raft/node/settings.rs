//! How openraft is set up.

use openraft::{Config, SnapshotPolicy};

/// Entries between two snapshots, and entries kept behind the newest for members that lag.
const SNAPSHOT_ENTRIES: u64 = 50_000;
const KEEP_ENTRIES: u64 = 5_000;
/// Most entries of one message to a follower; their bytes are bounded by the log's reader.
const MESSAGE_ENTRIES: u64 = 1_024;

/// The settings of every member. `snapshot_entries` is the number of entries between two snapshots, 0 the default.
pub fn settings(snapshot_entries: u64) -> Config {
    let snapshot_entries = if snapshot_entries > 0 { snapshot_entries } else { SNAPSHOT_ENTRIES };
    Config {
        cluster_name: "raftsman".into(),
        heartbeat_interval: 100,
        election_timeout_min: 400,
        election_timeout_max: 800,
        // A leader that resumes its term after a restart may have acknowledged, through its followers, entries
        // that its own log lost: it would write others in their place.
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        // A member asks its peers before it may take part; see `Node::open`.
        enable_elect: false,
        quorum_loss_probe_interval: Some(1600),
        // Followers write while the leader does, not after it.
        broadcast_submitted_on_append: Some(true),
        max_payload_entries: MESSAGE_ENTRIES,
        install_snapshot_timeout: 60_000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_entries),
        replication_lag_threshold: snapshot_entries.saturating_mul(2),
        max_in_snapshot_log_to_keep: KEEP_ENTRIES.min(snapshot_entries),
        purge_batch_size: 1024,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// openraft's default for a restarted leader loses acknowledged writes, that for pre-vote grants blindly (R14).
    #[test]
    fn settings_are_the_safe_ones() {
        let settings = settings(0).validate().unwrap();
        assert_eq!(settings.enable_leader_restore, Some(false));
        assert_eq!(settings.enable_pre_vote, Some(true));
        assert!(settings.quorum_loss_probe_interval.unwrap() >= 2 * settings.election_timeout_max);
        assert_eq!(settings.allow_log_reversion, None);
    }
}
