//! Who is wrong when members' contents differ.

use std::collections::{BTreeMap, BTreeSet};

use proto::raftsman_store_v1::HashReport;

/// The members whose reports differ from what most of the group says of the same revision. Nobody, while the rest may
/// still tip the scales; all who reported, when everybody has and no side has a majority.
pub fn accused(members: &BTreeSet<u64>, reports: &BTreeMap<u64, HashReport>) -> Vec<u64> {
    let mut rounds: BTreeMap<i64, Vec<(u64, u32)>> = BTreeMap::new();
    for (member, report) in reports.iter().filter(|(member, _)| members.contains(member)) {
        rounds.entry(report.revision).or_default().push((*member, report.hash));
    }
    rounds.into_values().flat_map(|round| differing(members.len(), &round)).collect()
}

fn differing(members: usize, round: &[(u64, u32)]) -> Vec<u64> {
    let mut sides: BTreeMap<u32, usize> = BTreeMap::new();
    for (_, hash) in round {
        *sides.entry(*hash).or_default() += 1;
    }
    let majority = sides.iter().find(|(_, count)| **count * 2 > members).map(|(hash, _)| *hash);
    match majority {
        Some(majority) => round.iter().filter(|(_, hash)| *hash != majority).map(|(member, _)| *member).collect(),
        None if sides.len() > 1 && round.len() == members => round.iter().map(|(member, _)| *member).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(members: u64, reports: &[(u64, i64, u32)]) -> Vec<u64> {
        let members = (1..=members).collect();
        let report = |(member_id, revision, hash): &(u64, i64, u32)| HashReport {
            member_id: *member_id,
            revision: *revision,
            hash: *hash,
        };
        accused(&members, &reports.iter().map(|of| (of.0, report(of))).collect())
    }

    #[test]
    fn the_minority_is_accused() {
        assert!(judge(3, &[(1, 5, 7), (2, 5, 7), (3, 5, 7)]).is_empty());
        assert_eq!(judge(3, &[(1, 5, 7), (2, 5, 8), (3, 5, 7)]), [2]);
        // Two of three are enough to know.
        assert!(judge(3, &[(1, 5, 7), (2, 5, 7)]).is_empty());
        assert_eq!(judge(5, &[(1, 5, 7), (2, 5, 7), (3, 5, 7), (4, 5, 1)]), [4]);
    }

    #[test]
    fn nobody_is_accused_too_early() {
        assert!(judge(3, &[(1, 5, 7), (2, 5, 8)]).is_empty());
        assert!(judge(5, &[(1, 5, 7), (2, 5, 8), (3, 5, 7), (4, 5, 8)]).is_empty());
        // Of different revisions, hashes say nothing about each other.
        assert!(judge(3, &[(1, 5, 7), (2, 6, 8), (3, 7, 9)]).is_empty());
        assert!(judge(3, &[(1, 5, 7), (9, 5, 8)]).is_empty());
    }

    #[test]
    fn without_a_majority_all_are_accused() {
        assert_eq!(judge(2, &[(1, 5, 7), (2, 5, 8)]), [1, 2]);
        assert_eq!(judge(3, &[(1, 5, 7), (2, 5, 8), (3, 5, 9)]), [1, 2, 3]);
    }
}
