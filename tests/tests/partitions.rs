//! Members that do not hear each other: cut off, heard in one direction only, delayed, with packets lost. What was
//! acknowledged stays, nothing is read that was overwritten elsewhere, and all come together again when the wires heal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use tests::dice::{Dice, rounds};
use tests::history::expect_kept;
use tests::members::{Members, Program, Setup};
use tests::netns::Network;
use tests::patience::{eventually, seconds};
use tests::store_client::block_on;
use tests::traffic::{Profile, Traffic};

/// Of each kind of fault.
const ROUNDS: usize = 1;
/// How long a fault lasts: several elections.
const FAULT: Duration = Duration::from_millis(3000);
const CALM: Duration = Duration::from_millis(1500);

fn start() -> Members {
    let flags = vec!["--snapshot-count".to_owned(), "300".to_owned()];
    Members::start_with(Setup { flags, network: true, ..Setup::of(Program::Store) })
}

type Fault = (&'static str, fn(&Network, usize, usize));

/// Each has the leader and another member.
const FAULTS: [Fault; 6] = [
    ("the leader is isolated", |network, leader, _| network.isolate(leader)),
    ("a follower is isolated", |network, _, follower| network.isolate(follower)),
    ("leader and one follower do not hear each other", |network, leader, follower| network.cut(leader, follower)),
    ("the leader is heard, but hears not", |network, leader, follower| {
        (0..3).filter(|other| *other != leader).for_each(|other| network.cut_one_way(other, leader));
        network.cut_one_way(follower, leader);
    }),
    ("packets take 75 ms, give or take 50", |network, _, _| {
        network.delay(Duration::from_millis(25), Duration::from_millis(125));
    }),
    ("a fifth of the packets is lost", |network, _, _| network.lose(20)),
];

#[test]
fn histories_hold_over_partitions_delays_and_losses() {
    let mut dice = Dice::thrown();
    let members = start();
    let mut traffic = Traffic::prepare(&members, Profile::default());
    for _ in 0..rounds("RAFTSMAN_PARTITIONS", ROUNDS) {
        for (what, fault) in FAULTS {
            let leader = members.leader();
            let other = (leader + 1 + dice.roll(2) as usize) % members.count();
            let (before, dropped) = (traffic.acknowledged(), members.network().dropped());
            traffic.resume();
            fault(members.network(), leader, other);
            std::thread::sleep(FAULT);
            members.network().heal();
            std::thread::sleep(CALM);
            traffic.pause();
            let lost = members.network().dropped() - dropped;
            println!("{what}: {} writes acknowledged, {lost} packets lost", traffic.acknowledged() - before);
            assert!(lost > 0 || what.starts_with("packets take"), "{what}: the fault hit nothing");
        }
    }
    assert!(traffic.acknowledged() > 200, "only {} writes were acknowledged", traffic.acknowledged());
    let history = traffic.finish();
    println!("{}", expect_kept(&history));
    println!("all members hold the same: hash {:08x}", members.agree());
}

/// A leader that is cut off still believes that it leads, but serves no read that could be old (R9).
#[test]
fn an_isolated_leader_serves_no_linearizable_read() {
    let members = start();
    let leader = members.leader();
    let others: Vec<usize> = (0..members.count()).filter(|other| *other != leader).collect();
    let ask = |index: usize| {
        let (url, identity) = members.stores()[index].clone();
        block_on(async move { tests::store_client::StoreClient::new(&url, &identity).get("key").await })
    };
    let put = |index: usize, value: &'static str| {
        let (url, identity) = members.stores()[index].clone();
        block_on(async move { tests::store_client::StoreClient::new(&url, &identity).put("key", value).await })
    };
    put(leader, "old").unwrap();
    members.network().isolate(leader);
    eventually(seconds(30), || put(others[0], "new").map_err(|status| status.to_string()));
    // As long as it takes to be sure, it answers nothing or the new value, and never the old one.
    let begun = Instant::now();
    while begun.elapsed() < seconds(3) {
        if let Ok(answer) = ask(leader) {
            panic!("the isolated leader answered {:?}", answer.kvs);
        }
    }
    members.network().heal();
    let value = eventually(seconds(30), || ask(leader).map_err(|status| status.to_string()));
    assert_eq!(&value.kvs[0].value[..], b"new");
}
