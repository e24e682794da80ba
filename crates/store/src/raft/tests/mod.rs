//! The rules of `reference/raft-store.md` that only a group shows, each by a case in which breaking the rule loses
//! something.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod seat;

use std::time::Duration;

use seat::{Group, PATIENCE, eventually};

/// How often a scene is played whose leader must not change by itself: a busy machine may depose it.
const SCENES_MAX: u32 = 5;

use super::log::memory::Sync;
use super::{ProposeError, ReadError};

/// A leader commits through its followers before its own disk has the entries. When it dies then, its log is shorter
/// than what was acknowledged; if it went on leading its old term after a restart, it would write other entries in
/// their place (R14, section 8).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_leader_does_not_overwrite_what_its_followers_acknowledged() {
    let mut played = 0;
    while let Err(refused) = restarts_behind_its_followers().await {
        played += 1;
        assert!(played < SCENES_MAX, "its followers acknowledge nothing: {refused}");
    }
}

/// Ends early where its leader is another by the time that its disk stalls.
async fn restarts_behind_its_followers() -> Result<(), ProposeError> {
    let mut group = Group::found(3).await;
    let leader = group.leader().await;
    let seat = &group.0[leader];
    for number in 0..10 {
        seat.put(&format!("early-{number}"), "first").await?;
    }
    eventually(async || seat.disk.last_durable().filter(|id| id.index >= 11).ok_or("not on disk yet")).await;
    seat.disk.syncs(Sync::Stalls);
    let durable = seat.disk.last_durable();
    for number in 0..20 {
        // Acknowledged by the two others.
        tokio::time::timeout(PATIENCE, seat.put(&format!("late-{number}"), "first")).await.unwrap()?;
    }
    assert_eq!(seat.disk.last_durable(), durable);
    group.0[leader].kill().await;
    group.0[leader].restart().await;
    // Whatever a client does meanwhile through the member that led.
    eventually(async || group.0[leader].put("after", "second").await).await;
    for seat in &group.0 {
        eventually(async || seat.node().read_barrier().await).await;
        for key in (0..10).map(|number| format!("early-{number}")).chain((0..20).map(|number| format!("late-{number}")))
        {
            assert_eq!(seat.peek(&key), Some(("first".into(), 1)), "{key} on member {}", seat.id);
        }
    }
    Ok(())
}

/// Nothing is acknowledged before the fsync that covers it, also not by a member that is alone (R2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_not_acknowledged_before_it_is_durable() {
    let group = Group::found(1).await;
    let seat = &group.0[group.leader().await];
    seat.put("a", "1").await.unwrap();
    seat.disk.syncs(Sync::Stalls);
    let mut put = Box::pin(seat.put("b", "1"));
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut put).await.is_err());
    assert_eq!(seat.peek("b"), None);
    seat.disk.syncs(Sync::Works);
    put.await.unwrap();
    assert_eq!(seat.peek("b"), Some(("1".into(), 1)));
}

/// The first failure of the disk ends the member: it says so, and takes nothing any more (R3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_ends_the_member() {
    let group = Group::found(1).await;
    let seat = &group.0[group.leader().await];
    seat.put("a", "1").await.unwrap();
    seat.disk.syncs(Sync::Fails);
    assert!(seat.put("b", "1").await.is_err());
    let reason = tokio::time::timeout(PATIENCE, seat.node().failed()).await.unwrap();
    assert!(reason.contains("no such disk"), "{reason}");
    seat.disk.syncs(Sync::Works);
    assert!(seat.put("c", "1").await.is_err());
}

/// A leader that is cut off does not know it; only a quorum can tell it. Until then it must not serve reads as the
/// newest (R9). The write that it could not replicate has no outcome that it could know in time (R10).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_serves_no_reads_and_knows_no_outcome() {
    let mut played = 0;
    while !is_cut_off_while_it_leads().await {
        played += 1;
        assert!(played < SCENES_MAX, "it is deposed before it is cut off, each time");
    }
}

/// Whether it did: who does not lead has no word from a leader to wait for.
async fn is_cut_off_while_it_leads() -> bool {
    let group = Group::found(3).await;
    let old = group.leader().await;
    if group.0[old].put("key", "old").await.is_err() {
        return false;
    }
    group.wire(old, false);
    let led = group.0[old].node().status().leadership.leader == Some(group.0[old].id);
    let lost = group.0[old].put("lost", "1");
    let read = group.0[old].node().read_barrier();
    let elsewhere = async {
        let new = group.leader_among(|index| index != old).await;
        eventually(async || group.0[new].put("key", "new").await).await;
    };
    let (lost, read, ()) = tokio::join!(lost, read, elsewhere);
    assert!(read.is_err() && lost.is_err(), "{read:?}, {lost:?}");
    assert_eq!(group.0[old].peek("key"), Some(("old".into(), 1)));
    if led {
        assert_eq!(read, Err(ReadError::NoQuorum));
        assert!(matches!(lost, Err(ProposeError::TimedOut)), "{lost:?}");
    }

    group.wire(old, true);
    for seat in &group.0 {
        eventually(async || seat.node().read_barrier().await).await;
        assert!(seat.peek("key").is_some_and(|(value, _)| value == "new"));
    }
    led
}

/// A leader that is cut off appends a write and loses it to the next leader. Once it has applied an entry of that one
/// it knows so for certain, and proposes the write again: applied once, not twice and not never.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_its_leader_lost_is_proposed_again() {
    let group = Group::found(3).await;
    for round in 0..5 {
        let (key, old) = (format!("lost-{round}"), group.leader().await);
        eventually(async || group.0[old].put("before", "1").await).await;
        group.wire(old, false);
        let lost = group.0[old].put(&key, "1");
        let elsewhere = async {
            let new = group.leader_among(|index| index != old).await;
            eventually(async || group.0[new].put("elsewhere", "1").await).await;
            group.wire(old, true);
        };
        let (lost, ()) = tokio::join!(lost, elsewhere);
        match lost {
            Ok(()) => {
                for seat in &group.0 {
                    eventually(async || seat.node().read_barrier().await).await;
                    assert_eq!(seat.peek(&key), Some(("1".into(), 1)));
                }
                return;
            }
            // The election took too long on this machine, or it was deposed before it was cut off.
            Err(error) => assert!(matches!(error, ProposeError::TimedOut | ProposeError::NoLeader), "{error}"),
        }
    }
    panic!("in no round the lost write was proposed again");
}

/// What a leader decided, as that a lease has run out, is void once another leads: it is not handed on to that one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposed_leader_has_no_say_in_the_next_term() {
    let group = Group::found(3).await;
    let (old, term) = eventually(async || {
        let old = group.leader().await;
        let led = group.0[old].node().status().leadership;
        let moved = group.0[old].node().transfer_leader(group.0[(old + 1) % 3].id).await;
        let deposed = led.leader == Some(group.0[old].id) && group.leader().await != old;
        if deposed { Ok((old, led.term)) } else { Err(format!("it leads still: {moved:?}")) }
    })
    .await;
    let put = |key: &str| {
        let put = proto::etcdserverpb::PutRequest { key: key.to_owned().into(), ..Default::default() };
        proto::raftsman_store_v1::command::Change::Put(put)
    };
    let said = group.0[old].node().propose_in(term, put("late")).await;
    assert!(matches!(said, Err(ProposeError::NoLeader)), "{said:?}");
    // Whoever leads by then: on a busy machine it may be another one again.
    eventually(async || {
        let new = group.0[group.leader().await].node();
        new.propose_in(new.status().leadership.term, put("now")).await.map(|_| ())
    })
    .await;
    eventually(async || group.0[old].node().read_barrier().await).await;
    assert_eq!((group.0[old].peek("late"), group.0[old].peek("now").is_some()), (None, true));
}

/// A member that was cut off asks before it stands for election, and is told no: it does not depose a leader that
/// all others follow (R14).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_back_does_not_depose_the_leader() {
    // A busy machine may depose a leader by itself, but hardly three times.
    let mut deposed = 0;
    while comes_back_and_deposes().await {
        deposed += 1;
        assert!(deposed < 3, "the leader was deposed each time");
    }
}

/// Cuts a member off for several of its elections; whether the leader is another, or of another term, after its return.
async fn comes_back_and_deposes() -> bool {
    let group = Group::found(3).await;
    let away = (group.leader().await + 1) % 3;
    group.wire(away, false);
    tokio::time::sleep(Duration::from_secs(4)).await;
    // What became of the leader meanwhile is not the work of who heard nothing.
    let leader = group.leader_among(|index| index != away).await;
    let before = group.0[leader].node().status().leadership;
    group.wire(away, true);
    eventually(async || group.0[leader].put("key", "value").await).await;
    eventually(async || group.0[away].peek("key").ok_or("not there yet")).await;
    group.0[leader].node().status().leadership != before
}

/// Reads through any member see what was acknowledged anywhere before (R9).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_reads_what_was_acknowledged_before() {
    let group = Group::found(3).await;
    group.leader().await;
    for round in 1..=60 {
        let (writer, reader) = (round as usize % 3, (round as usize + 1) % 3);
        // Without a leader for a while it is refused, or nobody knows: then it may be written twice.
        eventually(async || group.0[writer].put("key", &round.to_string()).await).await;
        eventually(async || group.0[reader].node().read_barrier().await).await;
        let (value, times) = group.0[reader].peek("key").unwrap();
        assert!(value == round.to_string() && times >= round, "{value}, written {times} times, in round {round}");
    }
}

/// A follower's proposals survive its leader's death: those that are lost with it are proposed again, those that are
/// not are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarded_writes_are_applied_once_over_a_change_of_leader() {
    let mut group = Group::found(3).await;
    let leader = group.leader().await;
    let follower = (leader + 1) % 3;
    let node = group.0[follower].node().clone();
    let writes = (0..200).map(|number| {
        let node = node.clone();
        let put = proto::etcdserverpb::PutRequest {
            key: format!("key-{number}").into(),
            value: "1".into(),
            ..Default::default()
        };
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(number * 2)).await;
            node.propose(proto::raftsman_store_v1::command::Change::Put(put)).await
        })
    });
    let writes: Vec<_> = writes.collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    group.0[leader].kill().await;
    for (number, write) in writes.into_iter().enumerate() {
        let outcome = write.await.unwrap();
        eventually(async || group.0[follower].node().read_barrier().await).await;
        let found = group.0[follower].peek(&format!("key-{number}"));
        match outcome {
            Ok(_) => assert_eq!(found, Some(("1".into(), 1)), "key-{number}"),
            Err(ProposeError::NoLeader) => assert_eq!(found, None, "key-{number}, which nobody took"),
            Err(error) => assert!(matches!(error, ProposeError::TimedOut), "{error}"),
        }
    }
}
